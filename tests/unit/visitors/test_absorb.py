"""Absorb is set union: any order, duplication, split and replay of a visitor's log leads to the same context."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.events.contribution import Position
from gateway.model.events.event import Event
from gateway.model.events.event_kinds import EventType
from gateway.model.visitors.context_view import encode_context, view
from gateway.model.visitors.state import State, Update, absorb, erase
from gateway.model.visitors.state_codec import decode_state, encode_state
from tests.support.strategies import HOUR_MS, MINUTE_MS, SETTINGS, START_MS, VISITOR, deliveries, erasures, event_at, logged, logs

WRITE_ID = bytes(16)
PRODUCT = {"product": {"product_id": "p1", "category": "smartphones"}}


def absorbed(batches: Iterable[Sequence[Update]], *, store_between: bool = False) -> State:
    state = State(VISITOR)
    for batch in batches:
        state, _ = absorb(state, batch)
        if store_between:
            state = decode_state(encode_state(state, WRITE_ID))
    return state


def context(state: State) -> bytes:
    return encode_context(view(state))


@SETTINGS
@given(st.data())
def test_any_order_duplication_and_split_gives_the_same_context(data: st.DataObject) -> None:
    """Shuffled, duplicated (with changed copies), split and stored in between: always the same context."""
    log = data.draw(logs())
    batches = data.draw(deliveries(log))
    assert context(absorbed(batches, store_between=data.draw(st.booleans()))) == context(absorbed([log]))


@SETTINGS
@given(st.data())
def test_an_erasure_anywhere_in_between_gives_the_same_context(data: st.DataObject) -> None:
    """Wherever the erasures arrive among the messages and their copies, the same messages survive."""
    log = data.draw(logs())
    deletes = data.draw(st.lists(erasures(), min_size=1, max_size=2))
    log += logged(deletes, first_offset=len(log))
    batches = data.draw(deliveries(log))
    assert context(absorbed(batches, store_between=data.draw(st.booleans()))) == context(absorbed([log]))


@SETTINGS
@given(st.data())
def test_consent_anywhere_in_between_gives_the_same_context(data: st.DataObject) -> None:
    """Grants and withdrawals among the messages, in any order, forget and hide the same things."""
    log = data.draw(logs(types=(EventType.CONSENT, EventType.CONSENT, EventType.PRODUCT_ADDED, EventType.ORDER_COMPLETED)))
    batches = data.draw(deliveries(log))
    assert context(absorbed(batches)) == context(absorbed([log]))


@SETTINGS
@given(logs(), st.lists(erasures(), max_size=1))
def test_absorbing_again_leaves_the_state_as_it_is(log: list[Update], deletes: list[Event]) -> None:
    """A replay of the whole log changes nothing, and the writer sees that by comparing states."""
    log += logged(deletes, first_offset=len(log))
    state = absorbed([log])
    again, outcome = absorb(state, log)
    assert again == state
    assert outcome.fresh == 0


@SETTINGS
@given(logs())
def test_absorb_leaves_the_state_it_was_given_alone(log: list[Update]) -> None:
    """A writer that loses its compare-and-set reads again: the state it started with must not have changed."""
    half = len(log) // 2
    state = absorbed([log[:half]])
    before = encode_state(state, WRITE_ID)
    absorb(state, log[half:])
    view(state)
    erase(state, START_MS + HOUR_MS)
    assert encode_state(state, WRITE_ID) == before


@SETTINGS
@given(logs())
def test_the_version_counts_distinct_messages(log: list[Update]) -> None:
    """Copies count once."""
    assert view(absorbed([log]))["version"] == len({update.event.message_id for update in log if update.event})


@SETTINGS
@given(logs())
def test_positions_are_joined_by_maximum_within_the_newest_epoch(log: list[Update]) -> None:
    """Every update moves its partition, even an empty one; positions of an older log are dropped."""
    newest = max(update.log_epoch for update in log)
    expected: dict[str, int] = {}
    for update in log:
        if update.log_epoch == newest:
            place = f"{update.position.topic}/{update.position.partition}"
            expected[place] = max(expected.get(place, -1), update.position.offset)
    context = view(absorbed([log]))
    assert context["positions"] == expected
    assert context["log_epoch"] == newest


def test_an_older_epoch_still_counts_but_moves_nothing() -> None:
    """After topics were re-created, a late update of the old log adds its message and no position."""
    old, new = event_at(0, "PRODUCT_VIEWED", PRODUCT), event_at(1, "PRODUCT_VIEWED", PRODUCT)
    updates = [*logged([new], log_epoch=2), *logged([old], log_epoch=1, first_offset=500)]
    context = view(absorbed([updates]))
    assert (context["version"], context["positions"]) == (2, {"page_views/0": 0})


def test_the_copy_that_was_received_first_counts() -> None:
    """A changed copy that was received later changes nothing, in either order."""
    first = event_at(0, "PRODUCT_VIEWED", {"product": {"product_id": "first"}}, message_id="m", received=1)
    second = event_at(0, "PRODUCT_VIEWED", {"product": {"product_id": "second"}}, message_id="m", received=2)
    log = logged([second, first])
    for order in (log, log[::-1]):
        assert view(absorbed([[update] for update in order]))["recent_products"] == ["first"]


def test_the_lower_position_counts_if_copies_were_received_at_once() -> None:
    """The log position settles a tie."""
    copies = [event_at(0, "PRODUCT_VIEWED", {"product": {"product_id": name}}, message_id="m") for name in ("low", "high")]
    log = logged(copies)
    assert view(absorbed([log[::-1]]))["recent_products"] == ["low"]


def test_an_erasure_removes_what_was_dated_or_received_up_to_it() -> None:
    """What is older by either clock is removed; what is newer by both counts; a replay brings nothing back."""
    messages = [
        event_at(0, "PRODUCT_VIEWED", {"product": {"product_id": "before"}}),
        event_at(9.9, "PRODUCT_VIEWED", {"product": {"product_id": "dated-before"}}, received=11),
        event_at(10.5, "PRODUCT_VIEWED", {"product": {"product_id": "received-before"}}, received=10),
        event_at(12, "PRODUCT_VIEWED", {"product": {"product_id": "after"}}),
    ]
    log = logged([*messages[:3], event_at(10, "DELETE"), messages[3]])
    state = absorbed([log])
    assert view(state)["recent_products"] == ["after"]
    again, outcome = absorb(state, log)
    assert (again, outcome.erased) == (state, 3)


def test_a_copy_that_outlives_an_erasure_counts_in_any_order() -> None:
    """Whether the erased copy, the erasure or the surviving copy comes first: the surviving copy counts."""
    erased = event_at(5, "PRODUCT_VIEWED", {"product": {"product_id": "old"}}, message_id="m")
    survivor = event_at(11, "PRODUCT_VIEWED", {"product": {"product_id": "new"}}, message_id="m")
    log = logged([erased, event_at(10, "DELETE"), survivor])
    for order in ([0, 1, 2], [2, 0, 1], [0, 2, 1], [1, 2, 0], [2, 1, 0], [1, 0, 2]):
        assert view(absorbed([[log[index]] for index in order]))["recent_products"] == ["new"]


def test_an_update_without_event_only_moves_its_position() -> None:
    """A dead letter reaches the context as a position, so that a cursor that names it is reached."""
    state, outcome = absorb(State(VISITOR), [Update(VISITOR, Position("user_actions", 1, 7), 1, None)])
    assert (view(state)["positions"], view(state)["version"], outcome.fresh) == ({"user_actions/1": 7}, 0, 0)


@pytest.mark.parametrize("cutoff_minute", [5, 20])
def test_an_erasure_ends_an_alias_made_before_it(cutoff_minute: int) -> None:
    """An anonymous id that had joined an erased visitor starts over; one that joins later stays joined."""
    anonymous = State("anon_1")
    joined = event_at(10, "IDENTIFY", {"user_id": "u1"}, visitor_id="anon_1")
    anonymous, _ = absorb(anonymous, logged([joined]))
    anonymous = replace(anonymous, alias_of="u1")
    erased = erase(anonymous, START_MS + cutoff_minute * MINUTE_MS)
    assert erased.alias_of == (None if cutoff_minute > 10 else "u1")
    assert (erased.link is None) == (cutoff_minute > 10)
