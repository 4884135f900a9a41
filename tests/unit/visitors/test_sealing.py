"""Sealing: beyond the limit, and older than the late window, contributions become totals, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.events.event import Event, check_record
from gateway.model.events.event_kinds import Kind
from gateway.model.visitors import state as state_module
from gateway.model.visitors.context_view import encode_context, view
from gateway.model.visitors.state import MAX_CONTRIBUTIONS, State, Update, absorb, unite
from gateway.model.visitors.state_codec import decode_state, encode_state
from tests.support.strategies import DAY_MS, SETTINGS, START_MS, VISITOR, event_at, events, logged

WITHOUT_CAP = 10**9


def absorbed(batches: Iterable[Sequence[Update]], cap: int, visitor_id: str = VISITOR, *, store_between: bool = False) -> State:
    """Absorb with another limit than the real one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state_module, "MAX_CONTRIBUTIONS", cap)
        state = State(visitor_id)
        for batch in batches:
            state, _ = absorb(state, batch)
            if store_between:
                state = decode_state(encode_state(state, bytes(16)))
    return state


def context(state: State) -> bytes:
    return encode_context(view(state))


def in_order(events: Sequence[Event]) -> list[Update]:
    ordered = sorted(events, key=lambda event: (event.event_time_ms, event.sequence or 0, event.message_id))
    return logged(ordered)


def parted(log: list[Update], size: int) -> list[list[Update]]:
    return [log[index : index + size] for index in range(0, len(log), size)]


@st.composite
def ordered_logs(draw: st.DrawFn) -> list[Update]:
    return in_order([draw(events(f"m{index:02d}")) for index in range(draw(st.integers(1, 18)))])


@SETTINGS
@given(ordered_logs(), st.integers(1, 6), st.integers(1, 5), st.booleans())
def test_a_sealed_history_gives_the_context_of_the_unsealed_one(log: list[Update], cap: int, size: int, store: bool) -> None:
    """In order of arrival, whatever the limit and the batches, stored in between or not: equal to the last digit."""
    sealed = absorbed(parted(log, size), cap, store_between=store)
    assert context(sealed) == context(absorbed([log], WITHOUT_CAP))
    assert len(sealed.parts[VISITOR].contributions) <= cap


@SETTINGS
@given(ordered_logs(), st.integers(1, 6))
def test_redelivery_of_what_was_sealed_changes_nothing(log: list[Update], cap: int) -> None:
    """What is below the seal is dropped and counted."""
    state = absorbed(parted(log, 3), cap)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state_module, "MAX_CONTRIBUTIONS", cap)
        again, outcome = absorb(state, log)
    assert again == state
    assert outcome.fresh == 0
    assert outcome.below_seal == max(0, len(log) - cap)


def many(count: int, prefix: str = "m", minutes: float = 1.0, visitor_id: str = VISITOR) -> list[Event]:
    kinds: list[tuple[str, dict[str, Any]]] = [
        ("PRODUCT_VIEWED", {"product": {"product_id": "p1", "category": "smartphones"}}),
        ("PRODUCT_ADDED", {"product": {"product_id": "p2", "category": "tv", "price": "0.10", "currency": "EUR"}}),
        ("ORDER_COMPLETED", {"order": {"order_id": "o", "value": "0.10", "currency": "EUR", "products": [{"product_id": "p2"}]}}),
        ("BANNER_VIEWED", {"decision": {"placement": "top", "campaign_id": "sale"}}),
    ]
    events = []
    for index in range(count):
        type_name, payload = kinds[index % len(kinds)]
        if type_name == "ORDER_COMPLETED":
            payload = {"order": {**payload["order"], "order_id": f"{prefix}-o{index}"}}
        minute = index * minutes
        events.append(event_at(minute, type_name, payload, message_id=f"{prefix}{index:05d}", visitor_id=visitor_id))
    return events


def test_a_visitor_with_1200_messages_keeps_complete_totals() -> None:
    """Beyond the real limit, the version, the cart, money and scores are those of the whole history; nothing is counted twice."""
    log = logged(many(1200))
    sealed = absorbed(parted(log, 100), MAX_CONTRIBUTIONS, store_between=True)
    assert context(sealed) == context(absorbed([log], WITHOUT_CAP))
    assert view(sealed)["purchases"]["totals"] == {"EUR": "30.00"}
    again, outcome = absorb(sealed, log)
    assert again == sealed
    assert (outcome.below_seal, outcome.duplicates) == (1200 - MAX_CONTRIBUTIONS, MAX_CONTRIBUTIONS)


def test_up_to_the_limit_nothing_is_sealed() -> None:
    """The guarantee of any order holds for 512 contributions: nothing is lost if they arrive backwards."""
    log = logged(many(MAX_CONTRIBUTIONS))
    state = absorbed(parted(log[::-1], 50), MAX_CONTRIBUTIONS)
    assert state.parts[VISITOR].seal is None
    assert context(state) == context(absorbed([log], WITHOUT_CAP))


def test_what_is_older_than_the_late_window_and_a_day_is_sealed() -> None:
    """Eight days after an event its contribution is part of the totals, and a redelivery changes nothing."""
    log = logged([*many(20), *(event_at(9 * 24 * 60 + minute, "PAGE_VIEWED", message_id=f"late{minute}") for minute in range(3))])
    state = absorbed(parted(log, 4), MAX_CONTRIBUTIONS, store_between=True)
    assert len(state.parts[VISITOR].contributions) == 3
    assert context(state) == context(absorbed([log], WITHOUT_CAP))
    assert absorb(state, log)[0] == state


def test_an_event_within_the_late_window_is_never_below_the_seal_of_age() -> None:
    """The latest event that the gateway accepts still counts if the visitor's newest event was received a day later."""
    first = many(3)
    newest = event_at(8 * 24 * 60 - 1, "PAGE_VIEWED", message_id="newest")
    late = event_at(0.5, "PRODUCT_VIEWED", {"product": {"product_id": "late"}}, message_id="late", received=7 * 24 * 60)
    state = absorbed([logged(first), logged([newest], first_offset=10)], MAX_CONTRIBUTIONS)
    assert view(absorb(state, logged([late], first_offset=11))[0])["version"] == 5


def test_sealed_parts_are_summed_and_their_orders_counted_once() -> None:
    """Two sealed parts of one visitor: versions, money and banner counts are added; an order id of both counts once."""
    known = absorbed(parted(logged(many(40)), 10), 8)
    other = absorbed(parted(logged(many(40, prefix="m", visitor_id="anon_1")), 10), 8, "anon_1")
    apart = absorbed(parted(logged(many(40, prefix="a", visitor_id="anon_1")), 10), 8, "anon_1")
    assert view(unite(known, apart))["purchases"] == {**view(known)["purchases"], "count": 20, "totals": {"EUR": "2.00"}}
    assert view(unite(known, apart))["banners"]["sale"]["views"] == 20
    assert view(unite(known, other))["purchases"] == view(known)["purchases"]


def test_the_first_login_is_known_even_if_it_is_sealed() -> None:
    """Both devices and the visitor's own part have only totals from that time, read from storage."""
    parts = []
    for visitor_id, login in (("anon_1", 5), ("anon_2", 3)):
        joining = event_at(login, "IDENTIFY", {"user_id": "u1"}, visitor_id=visitor_id)
        parts.append(absorbed(parted(in_order([joining, *many(20, visitor_id=visitor_id)]), 5), 4, visitor_id, store_between=True))
    assert not any(c.kind == Kind.IDENTIFY for part in parts for c in part.parts[part.visitor_id].contributions.values())
    own = absorbed([logged(many(20, visitor_id="u1"))], 4, "u1", store_between=True)
    for known, expected in ((State("u1"), "anon_2"), (own, "u1")):
        assert view(unite(unite(known, parts[0]), parts[1]))["stable_id"] == expected


def test_a_union_takes_the_longer_sealed_copy_of_a_part() -> None:
    """There are two copies of a part, and one has sealed more: united in either direction they are complete."""
    log = logged(many(30, visitor_id="anon_1"))
    short = absorbed(parted(log[:20], 5), 8, "anon_1")
    long = absorbed(parted(log, 5), 8, "anon_1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state_module, "MAX_CONTRIBUTIONS", 8)
        for first, second in ((short, long), (long, short)):
            assert context(unite(unite(State("u1"), first), second)) == context(unite(State("u1"), long))


def test_interests_of_parts_that_are_years_apart_are_still_a_number() -> None:
    """Scores are only brought forward: going back three years would overflow."""
    record = event_at(0, "PRODUCT_VIEWED", {"product": {"product_id": "p1", "category": "smartphones"}}, visitor_id="anon_1").record()
    later_ms = START_MS + 4 * 365 * DAY_MS
    recent = [
        check_record({**record, "message_id": f"r{index}", "event_time_ms": later_ms + index, "received_at_ms": later_ms + index})
        for index in range(20)
    ]
    known = absorbed([logged(many(4))], MAX_CONTRIBUTIONS)
    joined = unite(known, absorbed(parted(logged(recent), 5), 8, "anon_1"))
    assert view(joined)["interests"]["smartphones"] == pytest.approx(20.0, rel=1e-6)


def test_an_erasure_drops_the_sealed_totals() -> None:
    """Totals cannot be separated: if they contain something from before an erasure, they are dropped as a whole, and stay away."""
    log = logged(many(30))
    delete = logged([event_at(40, "DELETE")], first_offset=100)
    state = absorbed([*parted(log, 5), delete], 8)
    assert view(state)["version"] == 0
    assert view(absorb(state, log)[0])["version"] == 0


def test_an_erasure_of_before_leaves_sealed_totals_of_after_alone() -> None:
    """A late erasure of a time before the whole sealed history removes nothing of it."""
    log = logged(many(30))
    delete = logged([event_at(-10, "DELETE")], first_offset=100)
    assert view(absorbed([*parted(log, 5), delete], 8))["version"] == 30
