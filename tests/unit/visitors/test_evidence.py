"""Evidence, and states at earlier moments: what a field gets its value from, and what had been received by then."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.events.event import Event
from gateway.model.events.event_kinds import EventType, Kind
from gateway.model.events.positions import Positions
from gateway.model.visitors.as_of import covered_by, had_joined, received_by, restrict, state_before_joining, why_unreachable
from gateway.model.visitors.context_view import Context, view
from gateway.model.visitors.evidence import evidence_of
from gateway.model.visitors.export import export_of
from gateway.model.visitors.state import Part, State, Update, absorb, unite
from gateway.model.visitors.totals import Totals, apply_contributions
from tests.support.strategies import (
    CONTRIBUTING,
    HOUR_MS,
    MINUTE_MS,
    SETTINGS,
    SHOPPING,
    START_MS,
    VISITOR,
    event_at,
    events,
    logged,
    logs,
)

WHOLE = ("interested_category", "last_search", "cart", "purchases", "consent")
FIELDS = (*WHOLE, "interests", "recent_products", "banners", "traits")
ANONYMOUS = "anon_1"
ANSWERLESS = tuple(event_type for event_type in CONTRIBUTING if event_type is not EventType.CONSENT)
UNJOINED = tuple(event_type for event_type in CONTRIBUTING if event_type is not EventType.IDENTIFY)


def held(*events: Event) -> State:
    return absorb(State(VISITOR), logged(events))[0]


def names(state: State, field: str) -> list[str | None]:
    return [item.contribution.message_id if item.contribution else None for item in evidence_of(state, [field])]


def only(state: State, field: str, *, with_sealed: bool = True) -> Context:
    """The view of only the evidence of a field, with or without the sealed totals."""
    kept = {(item.contribution.message_id, item.contribution.position) for item in evidence_of(state, [field]) if item.contribution}
    parts = {
        visitor_id: Part({m: c for m, c in part.contributions.items() if (m, c.position) in kept}, part.base if with_sealed else None)
        for visitor_id, part in state.parts.items()
    }
    return view(replace(state, parts=parts))


@SETTINGS
@given(st.one_of(logs(max_messages=24), logs(types=SHOPPING, max_messages=24)), st.sampled_from(WHOLE))
def test_the_evidence_of_a_field_leads_to_its_value(log: list[Update], field: str) -> None:
    """Applied alone, the evidence leads to the same value."""
    state, _ = absorb(State(VISITOR), log)
    assert only(state, field)[field] == view(state)[field]


@SETTINGS
@given(logs(max_messages=12), logs(ANONYMOUS, UNJOINED, 12, "a"), st.sampled_from(WHOLE))
def test_evidence_comes_from_all_parts(log: list[Update], other: list[Update], field: str) -> None:
    """With the part of an anonymous visitor and that of the known one."""
    state = unite(absorb(State(VISITOR), log)[0], absorb(State(ANONYMOUS), other)[0])
    assert only(state, field)[field] == view(state)[field]


@SETTINGS
@given(logs(types=SHOPPING, max_messages=12), logs(types=ANSWERLESS, max_messages=12, prefix="late"))
def test_sealed_totals_are_part_of_the_evidence(early: list[Update], late: list[Update]) -> None:
    """If a value depends on sealed totals, the evidence has an item for them; without that item the value is the same without them."""
    sealed = absorb(State(VISITOR), early)[0]
    base = {key: Part({}, _sealed(part), (START_MS, 0, "")) for key, part in sealed.parts.items()}
    state, _ = absorb(replace(sealed, parts=base), late)
    for field in WHOLE:
        assert only(state, field)[field] == view(state)[field]
        if not any(item.contribution is None for item in evidence_of(state, [field])):
            assert only(state, field, with_sealed=False)[field] == view(state)[field]


def _sealed(part: Part) -> Totals:
    return apply_contributions(Totals(), ((VISITOR, c) for c in sorted(part.contributions.values(), key=lambda c: c.history_key)))


def test_the_evidence_of_each_field() -> None:
    """The latest intent; the lines still in the cart; the contribution by which an order counted."""
    product = {"product": {"product_id": "p1", "category": "tv"}}
    order = {"order": {"order_id": "o1", "products": [{"product_id": "p2"}]}}
    state = held(
        event_at(0, "PRODUCT_ADDED", product, message_id="gone"), event_at(1, "PRODUCT_REMOVED", product, message_id="undone"),
        event_at(2, "PRODUCT_ADDED", product, message_id="kept"),
        event_at(3, "PRODUCT_ADDED", {"product": {"product_id": "p3"}}, message_id="p3"),
        event_at(4, "ORDER_COMPLETED", order, message_id="first"), event_at(5, "ORDER_COMPLETED", order, message_id="again"),
        event_at(6, "PRODUCTS_SEARCHED", {"search": "usb"}, message_id="search"),
        event_at(7, "BANNER_VIEWED", {"decision": {"placement": "t", "campaign_id": "sale"}}, message_id="seen"),
        event_at(8, "IDENTIFY", {"user_id": VISITOR, "traits": {"plan": "a"}}, message_id="who"),
        event_at(9, "CONSENT", {"personalization": True}, message_id="yes"),
    )  # fmt: skip
    assert {field: names(state, field) for field in FIELDS} == {
        "interested_category": ["kept"], "interests": ["gone", "kept"], "cart": ["kept", "p3"], "purchases": ["first"],
        "recent_products": ["kept", "p3", "again"], "last_search": ["search"], "banners": ["seen"], "traits": ["who"],
        "consent": ["yes"],
    }  # fmt: skip
    assert evidence_of(state, ["banners"], ["other"]) == []
    (item,) = evidence_of(state, ["last_search"])
    assert item.contribution is not None
    assert (item.contribution.position.topic, item.contribution.position.offset) == ("page_views", 6)


def test_without_consent_only_consent_has_evidence() -> None:
    """While it is withdrawn the profile is empty; after more than ten minutes everything from before is forgotten forever."""
    events = [event_at(0, "PRODUCTS_SEARCHED", {"search": "usb"}), event_at(1, "CONSENT", {"personalization": False}, message_id="no")]
    state = held(*events)
    assert names(state, "last_search") == []
    assert names(state, "consent") == ["no"]
    state = held(*events, event_at(20, "CONSENT", {"personalization": True}, message_id="yes"))
    assert names(state, "last_search") == []
    assert why_unreachable(state, START_MS + 30_000) is not None
    assert why_unreachable(state, START_MS + 21 * MINUTE_MS) is None


def test_many_contributions_are_bounded() -> None:
    """At most fifty for interests, and one item for the sealed ones."""
    state = held(*(event_at(n, "PRODUCT_VIEWED", {"product": {"product_id": "p", "category": "tv"}}) for n in range(600)))
    items = evidence_of(state, ["interests"])
    assert len(items) == 51
    assert items[0].contribution is None
    assert items[0].sealed_until_ms == START_MS + 87 * MINUTE_MS


@st.composite
def histories(draw: st.DrawFn, visitor_id: str = VISITOR, prefix: str = "m", types: Sequence[EventType] = CONTRIBUTING) -> list[Update]:
    """A log without changed copies: a repeated message was received again later."""
    sent = []
    for index in range(draw(st.integers(1, 14))):
        event = draw(events(f"{prefix}{index}", visitor_id, types))
        sent.append(event)
        if event.received_at_ms >= event.event_time_ms:
            sent += [replace(event, received_at_ms=event.received_at_ms + ms) for ms in draw(st.lists(st.integers(0, HOUR_MS), max_size=2))]
    return logged(draw(st.permutations(sent)), visitor_id)


moments = st.integers(-30, 25 * 60).map(lambda minute: START_MS + minute * MINUTE_MS)


def _shown(state: State) -> Context:
    return {key: value for key, value in view(state).items() if key != "positions"}


@SETTINGS
@given(histories(), moments)
def test_the_past_is_what_had_been_received(log: list[Update], at_ms: int) -> None:
    """Removing what came later is the same as absorbing only what had been received by then."""
    state, _ = absorb(State(VISITOR), log)
    early, _ = absorb(State(VISITOR), [u for u in log if u.event is not None and u.event.received_at_ms <= at_ms])
    past = restrict(state, received_by(at_ms))
    assert _shown(replace(past, positions=replace(past.positions, log_epoch=early.positions.log_epoch))) == _shown(early)


@SETTINGS
@given(histories(), st.integers(0, 40))
def test_the_past_of_a_decision_is_what_its_cursor_covers(log: list[Update], offset: int) -> None:
    """By positions, each topic up to the offset that was read; all copies of a message are equal."""
    log = sorted({u.event.message_id: u for u in log if u.event is not None}.values(), key=lambda u: u.position.offset)
    state, _ = absorb(State(VISITOR), log)
    early, _ = absorb(State(VISITOR), [u for u in log if u.position.offset <= offset])
    past = restrict(state, covered_by({(u.position.topic, u.position.partition): offset for u in log}))
    assert _shown(replace(past, positions=replace(past.positions, log_epoch=early.positions.log_epoch))) == _shown(early)


@SETTINGS
@given(histories(), histories(ANONYMOUS, "a", UNJOINED), st.integers(0, 20), moments)
def test_an_anonymous_visitor_is_its_own_until_it_joined(log: list[Update], other: list[Update], minute: int, at_ms: int) -> None:
    """Before the identify was received, neither contains the other; after it both are the same."""
    joining = event_at(minute * 60, "IDENTIFY", {"user_id": VISITOR}, visitor_id=ANONYMOUS, message_id="join")
    anonymous, _ = absorb(State(ANONYMOUS), [*other, *logged([joining], ANONYMOUS, first_offset=900)])
    alias = replace(anonymous, alias_of=VISITOR)
    owner = unite(absorb(State(VISITOR), log)[0], alias)
    joined = joining.received_at_ms <= at_ms
    assert had_joined(alias, owner, received_by(at_ms)) == joined
    assert (ANONYMOUS in restrict(owner, received_by(at_ms)).parts) == joined
    if not joined:
        alone = restrict(state_before_joining(alias, owner), received_by(at_ms))
        expected, _ = absorb(State(ANONYMOUS), [u for u in other if u.event is not None and u.event.received_at_ms <= at_ms])
        assert _shown(replace(alone, positions=Positions())) == _shown(replace(expected, positions=Positions()))


def test_moments_that_the_state_no_longer_reaches() -> None:
    """Sealed and erased moments are refused, later ones are not."""
    many = held(*(event_at(n, "PAGE_VIEWED") for n in range(600)))
    sealed_ms = START_MS + 87 * MINUTE_MS
    assert "sealed" in (why_unreachable(many, sealed_ms - 1) or "")
    assert why_unreachable(many, sealed_ms) is None
    erased = held(event_at(0, "PAGE_VIEWED"), event_at(5, "DELETE"), event_at(6, "PAGE_VIEWED"))
    assert "erased" in (why_unreachable(erased, START_MS + 5 * MINUTE_MS) or "")
    assert why_unreachable(erased, START_MS + 6 * MINUTE_MS) is None


@SETTINGS
@given(st.one_of(logs(), logs(types=(*CONTRIBUTING,), max_messages=20)))
def test_an_export_is_plain_json_of_every_contribution(log: list[Update]) -> None:
    """Each contribution with its position and fields, and sealed totals; all of it is plain JSON."""
    state, _ = absorb(State(VISITOR), log)
    base = {key: replace(part, base=_sealed(part)) for key, part in state.parts.items()}
    for original in (state, replace(state, parts=base)):
        export = export_of(original, {ANONYMOUS: state}, START_MS)
        assert json.loads(json.dumps(export)) == export
        exported = [e for part in export["state"]["parts"].values() for e in part["events"]]
        assert len(exported) == sum(len(part.contributions) for part in state.parts.values())
        assert {e["kind"] for e in exported} <= {kind.name for kind in Kind}


@pytest.mark.parametrize("field", FIELDS)
def test_nothing_has_no_evidence(field: str) -> None:
    """An empty state has no evidence for any field."""
    assert evidence_of(State(VISITOR), [field, "unknown"]) == []
