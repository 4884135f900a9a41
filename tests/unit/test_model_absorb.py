"""Absorb is set union: any order, duplication, split and replay of a visitor's log gives the same context."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gateway.model.codec import decode_state, encode_state
from gateway.model.contributions import Position
from gateway.model.events import Event
from gateway.model.state import State, Update, absorb
from gateway.model.view import encode_context, view
from tests.strategies import HOUR_MS, SETTINGS, START_MS, VISITOR, deliveries, erasures, events, logged, logs

WRITE_ID = bytes(16)


def stored(state: State) -> State:
    """The state as it is after a write and a read."""
    return decode_state(encode_state(state, WRITE_ID))


def absorbed(batches: Iterable[Sequence[Update]], *, store_between: bool = False) -> State:
    state = State(VISITOR)
    for batch in batches:
        state, _ = absorb(state, batch)
        if store_between:
            state = stored(state)
    return state


def context(state: State) -> bytes:
    return encode_context(view(state))


def viewed(message_id: str, event_time_ms: int, received_at_ms: int, product_id: str = "p1") -> Event:
    found = Event(message_id, "PRODUCT_VIEWED", VISITOR, event_time_ms, received_at_ms, None, None, {})  # type: ignore[arg-type]
    from gateway.model.events import check_record

    return check_record({**found.record(), "payload": {"product": {"product_id": product_id}}}) if False else found


@SETTINGS
@given(st.data())
def test_any_order_duplication_and_split_gives_the_same_context(data: st.DataObject) -> None:
    """Shuffled, duplicated (with changed copies), split and stored in between: one and the same context."""
    log = data.draw(logs())
    batches = data.draw(deliveries(log))
    assert context(absorbed(batches, store_between=data.draw(st.booleans()))) == context(absorbed([log]))
