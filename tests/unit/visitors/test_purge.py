"""Purging after consent was withdrawn: nothing of the profile is left, and no context depends on when it ran."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.events.event import Event
from gateway.model.events.event_kinds import EventType
from gateway.model.visitors.context_view import encode_context, totals_of, view
from gateway.model.visitors.purge import PURGE_DELAY_MS, purge, purge_due_ms, purge_withdrawn
from gateway.model.visitors.state import State, Update, absorb, unite
from gateway.model.visitors.state_codec import decode_state, encode_state
from gateway.model.visitors.totals import CONSENT_GRACE_MS
from tests.support.strategies import MINUTE_MS, SETTINGS, START_MS, VISITOR, event_at, logged, payloads

WRITE_ID = bytes(16)
DEVICE = "anon_1"
PRODUCT = {"product": {"product_id": "p1", "category": "smartphones"}}
TYPES = (EventType.PRODUCT_ADDED, EventType.ORDER_COMPLETED, EventType.IDENTIFY, EventType.BANNER_VIEWED)


def purged_at(state: State, now_ms: int) -> State:
    return purge_withdrawn(state, totals_of(state).withdrawn_since_ms, now_ms)


def withdrawn_state() -> State:
    messages = [
        event_at(0, "IDENTIFY", {"user_id": VISITOR, "traits": {"email": "secret@example.org"}}),
        event_at(1, "PRODUCT_ADDED", PRODUCT),
        event_at(2, "CONSENT", {"personalization": False, "measurement": True}),
    ]
    return absorb(State(VISITOR), logged(messages))[0]


def test_a_purge_keeps_nothing_of_the_profile() -> None:
    """The stored bytes contain neither products nor traits, but still the withdrawal, and the context is the same as before."""
    state = withdrawn_state()
    purged = purged_at(state, START_MS + 14 * MINUTE_MS)
    kept = encode_state(purged, WRITE_ID)
    assert b"secret@example.org" not in kept
    assert b"smartphones" not in kept
    assert b"p1" not in kept
    assert view(purged) == view(state)
    assert view(purged)["consent"] == {"personalization": False, "measurement": True}
    assert decode_state(kept) == purged


def test_a_purge_waits_for_the_grace_time() -> None:
    """And one more minute: an answer within the grace time may still be on its way."""
    state = withdrawn_state()
    due_ms = START_MS + 2 * MINUTE_MS + CONSENT_GRACE_MS + PURGE_DELAY_MS + 1
    assert purge_due_ms(state, totals_of(state).withdrawn_since_ms) == due_ms
    assert purged_at(state, due_ms - 1) is state
    purged = purged_at(state, due_ms)
    assert purged is not state
    assert purge_due_ms(purged, totals_of(purged).withdrawn_since_ms) is None
    assert purged_at(purged, due_ms + 10**9) is purged
    assert purge_due_ms(state, None) is None
    assert purge_withdrawn(state, None, due_ms) is state


def test_what_a_purge_dropped_stays_out_after_a_redelivery() -> None:
    """The old messages are delivered again, even through an alias that still holds them: nothing of them is stored."""
    state = withdrawn_state()
    purged = purged_at(state, START_MS + 60 * MINUTE_MS)
    again, outcome = absorb(purged, logged([event_at(1, "PRODUCT_ADDED", PRODUCT)]))
    assert (again, outcome.duplicates) == (purged, 1)
    assert unite(purged, state) == purged
    assert unite(state, purged) == purged


def test_sealed_totals_are_purged_too() -> None:
    """What is beyond the limit; the number of messages stays."""
    many = [event_at(n / 100, "PRODUCT_ADDED", PRODUCT, message_id=f"m{n}") for n in range(600)]
    state, _ = absorb(State(VISITOR), logged([*many, event_at(7, "CONSENT", {"personalization": False})]))
    purged = purged_at(state, START_MS + 60 * MINUTE_MS)
    assert b"smartphones" not in encode_state(purged, WRITE_ID)
    assert view(purged) == view(state)
    assert view(purged)["version"] == 601


@pytest.mark.parametrize(("received", "forgotten"), [(11, False), (13, True)])
def test_an_answer_counts_by_when_it_was_received(received: float, forgotten: bool) -> None:
    """Consent that is given again within ten minutes but received later is too late: the profile is purged by then."""
    back = event_at(5, "CONSENT", {"personalization": True}, received=received)
    state, _ = absorb(withdrawn_state(), logged([back], first_offset=9))
    assert (view(state)["cart"] == []) == forgotten


def test_the_answer_that_was_received_last_counts_for_two_devices() -> None:
    """Both gave consent again within ten minutes, but one answer was received only after the purge."""
    answers = [
        event_at(3, "CONSENT", {"personalization": False}, visitor_id=DEVICE),
        event_at(4, "CONSENT", {"personalization": True}, visitor_id=DEVICE, received=20),
        event_at(5, "CONSENT", {"personalization": True}),
    ]
    state, _ = absorb(withdrawn_state(), logged(answers, first_offset=9))
    assert (view(state)["consent"]["personalization"], view(state)["cart"]) == (True, [])


def test_what_came_in_during_a_withdrawal_is_forgotten_with_it() -> None:
    """It is dated after the new consent but was received before it: the purge may have dropped it."""
    early = event_at(20, "PRODUCT_ADDED", PRODUCT, received=30, message_id="early")
    back = event_at(19, "CONSENT", {"personalization": True}, received=40)
    later = event_at(41, "PRODUCT_ADDED", {"product": {"product_id": "p2"}})
    state, _ = absorb(withdrawn_state(), logged([early, back, later], first_offset=9))
    assert [line["product_id"] for line in view(state)["cart"]] == ["p2"]


def test_an_alias_is_purged_as_the_visitor_it_joined_is() -> None:
    """Its own part has no answer on consent."""
    joined = [event_at(0, "PRODUCT_ADDED", PRODUCT, visitor_id=DEVICE), event_at(1, "IDENTIFY", {"user_id": VISITOR}, visitor_id=DEVICE)]
    alias, _ = absorb(State(DEVICE), logged(joined))
    assert purged_at(alias, START_MS + 60 * MINUTE_MS) is alias
    assert b"smartphones" not in encode_state(purge(alias, START_MS + 60 * MINUTE_MS), WRITE_ID)


@st.composite
def withdrawals(draw: st.DrawFn) -> list[Update]:
    """The events of a visitor on two devices, between withdrawals and grants within and beyond the grace time, many received late."""
    answer = st.tuples(st.just(EventType.CONSENT), st.sampled_from([VISITOR, VISITOR, DEVICE]), st.integers(0, 14))
    other = st.tuples(st.sampled_from(TYPES), st.sampled_from([VISITOR, DEVICE]), st.integers(0, 20))
    messages: list[Event] = []
    for index, (event_type, visitor_id, minute) in enumerate(draw(st.lists(answer | other, min_size=1, max_size=7))):
        payload = draw(payloads(event_type, VISITOR))
        late = draw(st.sampled_from([0, 0, 0.5, 4, 9, 20]))
        messages.append(event_at(minute, event_type, payload, message_id=f"m{index}", received=minute + late, visitor_id=visitor_id))
    messages.append(event_at(1, "CONSENT", {"personalization": False}, message_id="away"))
    for visitor_id in (VISITOR, DEVICE):
        # In the end all is given again, so that the context shows what is left.
        minute, late = draw(st.integers(5, 16)), draw(st.sampled_from([0, 0, 4, 9, 20]))
        grant = {"personalization": True}
        messages.append(event_at(minute, "CONSENT", grant, message_id=f"back-{visitor_id}", received=minute + late, visitor_id=visitor_id))
    return logged(messages)


@SETTINGS
@given(st.data())
def test_no_context_depends_on_when_a_purge_ran(data: st.DataObject) -> None:
    """At any moment, between deliveries in any order, as long as what was received a minute before is stored by then."""
    log = data.draw(withdrawals())
    expected = encode_context(view(absorb(State(VISITOR), log)[0]))
    state, left = State(VISITOR), list(log)
    seen: list[Update] = []
    for minute in sorted(data.draw(st.lists(st.integers(10, 40), min_size=1, max_size=3))):
        now_ms = START_MS + minute * MINUTE_MS
        early = data.draw(st.sets(st.sampled_from(range(len(log)))))
        batch = [u for i, u in enumerate(log) if u in left and (i in early or received_ms(u) <= now_ms - PURGE_DELAY_MS)]
        left = [u for u in left if u not in batch]
        again = data.draw(st.lists(st.sampled_from(seen), max_size=3)) if seen else []
        seen += batch
        state, _ = absorb(state, data.draw(st.permutations([*batch, *again])))
        state = decode_state(encode_state(purged_at(state, now_ms), WRITE_ID))
    state, _ = absorb(state, [*data.draw(st.permutations(left)), *log])
    assert encode_context(view(state)) == expected


def received_ms(update: Update) -> int:
    assert update.event is not None
    return update.event.received_at_ms
