"""States and moments rebuilt from the log alone: the same contexts as the live state has, and nothing that was erased."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given

from gateway.model.events.contribution import LoggedEvent
from gateway.model.events.event import Event
from gateway.model.events.event_kinds import EventType
from gateway.model.visitors.as_of import as_of, received_by
from gateway.model.visitors.context_view import view
from gateway.model.visitors.page_moments import PageMoment, Window, owner_and_events, page_moments
from gateway.model.visitors.rebuild import rebuild_states
from gateway.model.visitors.state import MAX_CONTRIBUTIONS, State, Update, absorb
from processors.jobs.log_metadata import LogStart, reach_problem
from tests.support.strategies import MINUTE_MS, SETTINGS, START_MS, VISITOR, event_at, logged, logs

ANONYMOUS = "anon_1"
PHONE = {"product": {"product_id": "p1", "category": "smartphones"}}
TV = {"product": {"product_id": "p2", "category": "tv"}}


def nobody_erased(_: str) -> int | None:
    return None


def found_in(events: Iterable[Event]) -> list[LoggedEvent]:
    return [LoggedEvent(update.position, update.event) for update in logged(list(events)) if update.event is not None]


def joins(minute: float, user_id: str = VISITOR) -> Event:
    return event_at(minute, "IDENTIFY", {"user_id": user_id}, visitor_id=ANONYMOUS, message_id=f"join-{minute}")


@SETTINGS
@given(logs())
def test_a_state_from_the_log_shows_what_the_live_state_shows(log: list[Update]) -> None:
    """Including copies and gaps; if the log has several epochs, only the last one counts."""
    log = [Update(update.visitor_id, update.position, 1, update.event) for update in log]
    live, _ = absorb(State(VISITOR), log)
    own = rebuild_states(
        VISITOR, [LoggedEvent(update.position, update.event) for update in log if update.event is not None], nobody_erased, 1
    ).own
    if not live.parts:
        assert own is None
        return
    assert own is not None
    assert {**view(own), "positions": {}} == {**view(live), "positions": {}}


def test_nothing_is_sealed_however_long_a_history_is() -> None:
    """The first event is still there."""
    events = [event_at(n / 100, "PRODUCT_VIEWED", PHONE, message_id=f"m{n}") for n in range(MAX_CONTRIBUTIONS + 50)]
    own = rebuild_states(VISITOR, found_in(events), nobody_erased, 1).own
    assert own is not None
    assert own.parts[VISITOR].base is None
    assert len(own.parts[VISITOR].contributions) == len(events)


def test_an_anonymous_id_has_its_own_state_until_it_joined() -> None:
    """Then it has that of the visitor it joined first; a second identify has no effect."""
    events = [
        event_at(1, "PRODUCT_ADDED", PHONE, visitor_id=ANONYMOUS),
        event_at(2, "PRODUCT_ADDED", TV),
        joins(3),
        joins(4, "somebody-else"),
    ]
    states = rebuild_states(ANONYMOUS, found_in(events), nobody_erased, 1)

    def cart_at(minute: float) -> list[str]:
        state = as_of(states.own, states.owner, received_by(START_MS + int(minute * MINUTE_MS)))
        assert state is not None
        return sorted(line["product_id"] for line in view(state)["cart"])

    assert [cart_at(minute) for minute in (1, 2.5, 3, 5)] == [["p1"], ["p1"], ["p1", "p2"], ["p1", "p2"]]
    assert rebuild_states("somebody-else", found_in(events), nobody_erased, 1).own is None


def test_what_was_erased_is_in_no_state() -> None:
    """By the topic of erasures or by a DELETE in the log; the erasure of a known visitor includes what joined before it."""
    events = [
        event_at(1, "PRODUCT_ADDED", PHONE, visitor_id=ANONYMOUS),
        joins(2),
        event_at(3, "PRODUCT_ADDED", TV),
        event_at(9, "PRODUCT_ADDED", TV, message_id="later"),
    ]
    cutoff_ms = START_MS + 5 * MINUTE_MS
    deleted = event_at(5, "DELETE", message_id="delete")
    for logged_events, cutoffs in ((found_in(events), {VISITOR: cutoff_ms}), (found_in([*events, deleted]), {})):
        own = rebuild_states(VISITOR, logged_events, cutoffs.get, 1).own
        assert own is not None
        assert own.cutoff_ms == cutoff_ms
        assert {name: list(part.contributions) for name, part in own.parts.items()} == {VISITOR: ["later"]}


def history(events: list[Event], cutoffs: dict[str, int] | None = None, window: Window | None = None) -> list[PageMoment]:
    """The moments of all visitors in a log, as the batch job computes them."""
    cutoff_of = (cutoffs or {}).get
    by_id: dict[str, list[LoggedEvent]] = {}
    for logged_event in found_in(events):
        by_id.setdefault(logged_event.event.visitor_id, []).append(logged_event)
    by_owner: dict[str, list[LoggedEvent]] = {}
    for visitor_id, logged_events in by_id.items():
        owner, kept = owner_and_events(visitor_id, logged_events, cutoff_of)
        by_owner.setdefault(owner, []).extend(kept)
    found_moments = [
        m for owner, logged_events in by_owner.items() for m in page_moments(owner, logged_events, window or Window(), cutoff_of(owner))
    ]
    return sorted(found_moments, key=lambda moment: moment.at_ms)


VISIT = [
    event_at(1, "PAGE_VIEWED", {"page": {"type": "home"}}, visitor_id=ANONYMOUS),
    event_at(2, "PRODUCT_ADDED", PHONE, visitor_id=ANONYMOUS),
    event_at(3, "BANNER_VIEWED", {"decision": {"placement": "top", "campaign_id": "sale"}}, visitor_id=ANONYMOUS),
    event_at(4, "PRODUCT_ADDED", TV),
    event_at(5, "PAGE_VIEWED", visitor_id=ANONYMOUS),
    joins(6),
    event_at(7, "PAGE_VIEWED", visitor_id=ANONYMOUS, received=9),
    event_at(8, "PRODUCT_REMOVED", PHONE, received=8),
]


def told(page_views: list[PageMoment]) -> list[tuple[int, list[str] | None, int]]:
    """Minute, cart and views of the campaign, moment by moment."""
    return [
        (
            (moment.at_ms - START_MS) // MINUTE_MS,
            None if moment.context is None else sorted(line["product_id"] for line in moment.context["cart"]),
            0 if moment.context is None else moment.context["banners"].get("sale", {}).get("views", 0),
        )
        for moment in page_views
    ]


def test_moments_know_what_had_been_received_by_then() -> None:
    """A view does not count for its own moment; an id that joins brings its events; copies of a message are one moment."""
    moments = history([*VISIT, VISIT[0]])
    assert told(moments) == [(1, None, 0), (3, ["p1"], 0), (5, ["p1"], 1), (9, ["p2"], 1)]
    assert [(moment.visitor_id, moment.placement, dict(moment.page)) for moment in moments[:2]] == [
        (ANONYMOUS, None, {"type": "home"}),
        (ANONYMOUS, "top", {}),
    ]


def test_only_moments_of_the_window_count() -> None:
    """Earlier events are still known; for an event without a page, the page of the window is used."""
    window = Window(START_MS + 5 * MINUTE_MS, START_MS + 9 * MINUTE_MS, (EventType.PAGE_VIEWED,), {"type": "cart"})
    moments = history(VISIT, window=window)
    assert told(moments) == [(5, ["p1"], 1)]
    assert dict(moments[0].page) == {"type": "cart"}


def test_erased_moments_do_not_count() -> None:
    """Neither those of the visitor nor those of the anonymous id; afterwards both start over."""
    cutoffs = dict.fromkeys((VISITOR, ANONYMOUS), START_MS + 6 * MINUTE_MS)
    later = event_at(10, "PAGE_VIEWED")
    assert told(history([*VISIT, later], cutoffs)) == [(9, None, 0), (10, [], 0)]


def test_the_reach_of_the_log_is_reported() -> None:
    """A complete log needs no note; a cut one refuses moments before its start, and notes it for later ones."""
    assert reach_problem([], START_MS) == (None, [])
    cut = [LogStart("page_views", 0, START_MS), LogStart("user_actions", 1, START_MS - 5)]
    why, _ = reach_problem(cut, START_MS - 1)
    assert why is not None
    assert "page_views/0 starts at" in why
    why, notes = reach_problem(cut, START_MS)
    assert why is None
    assert "the log starts at" in notes[0]
    assert "is empty now" in str(reach_problem([LogStart("page_views", 0, None)], START_MS)[0])
