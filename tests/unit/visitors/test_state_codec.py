"""The stored form of a state: a stored state is read back equal, and other bytes are refused."""

from __future__ import annotations

import base64
import contextlib
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.visitors.context_view import encode_context, totals_of, view
from gateway.model.visitors.state import Part, State, Update, absorb, erase
from gateway.model.visitors.state_codec import FORMAT, WRITE_ID_BYTES, UnreadableState, decode_state, encode_state
from tests.support.strategies import HOUR_MS, SETTINGS, START_MS, VISITOR, logs

WRITE_ID = bytes(range(WRITE_ID_BYTES))


def sealed(state: State) -> State:
    """The same visitor with all contributions sealed."""
    history = sorted(c.history_key for part in state.parts.values() for c in part.contributions.values())
    return State(VISITOR, {VISITOR: Part({}, totals_of(state), history[-1] if history else None)}, state.positions)


@SETTINGS
@given(logs(), st.booleans(), st.booleans())
def test_a_state_survives_storage(log: list[Update], is_sealed: bool, is_erased: bool) -> None:
    """Contributions, sealed totals, cut-off, positions and link: the stored bytes and the context stay the same."""
    state, _ = absorb(State(VISITOR), log)
    if is_sealed:
        state = sealed(state)
    if is_erased:
        state = erase(state, START_MS + 5 * HOUR_MS)
    stored = encode_state(state, WRITE_ID)
    assert stored[:WRITE_ID_BYTES] == WRITE_ID
    again = decode_state(stored)
    assert encode_state(again, WRITE_ID) == stored
    assert encode_context(view(again)) == encode_context(view(state))


# A known visitor and an anonymous one who joined, written by a release with format 3: the identify is sealed.
FORMAT_3: Final = (
    "A5iidTHAwAGSkwAACZMCAAqSlaJ1MZGZomsxzwAAAaDEV78AAM8AAAGgxFe/AAUCAAqWonAywKJ0dgHAwN4AEqhtZXNzYWdlcwGqdXBkYXRlZF9tc88AAAGgxFbUoKVmaXJz"
    "dJPPAAABoMRW1KAAomswpmludGVudMCmc2VhcmNowKlpbnRlcmVzdHOApnJlY2VudICkY2FydJCmYm91Z2h0kKZvcmRlcnOAp3JlZnVuZHOAr2JvdWdodF9wcm9kdWN0c4Cn"
    "YmFubmVyc4CmdHJhaXRzgKhjb25zZW50c4Cyd2l0aGRyYXduX3NpbmNlX21zwKthbnN3ZXJlZF9tcwCsZm9yZ290dGVuX21zAJPPAAABoMRW1KAAomswwJWmYW5vbl8xkZmi"
    "YTLPAAABoMRYqWAAzwAAAaDEWKlgAQAAApOicDHAonR23gASqG1lc3NhZ2VzAqp1cGRhdGVkX21zzwAAAaDEVP/gpWZpcnN0k88AAAGgxFBsAACiYTCmaW50ZW50wKZzZWFy"
    "Y2jAqWludGVyZXN0c4CmcmVjZW50gKRjYXJ0kKZib3VnaHSQpm9yZGVyc4CncmVmdW5kc4CvYm91Z2h0X3Byb2R1Y3RzgKdiYW5uZXJzgKZ0cmFpdHOAqGNvbnNlbnRzgLJ3"
    "aXRoZHJhd25fc2luY2VfbXPAq2Fuc3dlcmVkX21zAKxmb3Jnb3R0ZW5fbXMAk88AAAGgxFT/4ACiYTHAwIA="
)


def test_a_state_of_the_release_before_is_read() -> None:
    """Nothing is lost, and the visitor keeps the stable id."""
    context = view(decode_state(WRITE_ID + base64.b64decode(FORMAT_3)))
    assert (context["version"], context["stable_id"], context["recent_products"]) == (5, "anon_1", ["p1", "p2"])
    again = decode_state(encode_state(decode_state(WRITE_ID + base64.b64decode(FORMAT_3)), WRITE_ID))
    assert view(again) == context


@SETTINGS
@given(logs(), st.data())
def test_damaged_bytes_are_an_unreadable_state_or_another_state(log: list[Update], data: st.DataObject) -> None:
    """No other error is raised when bytes are cut off or changed."""
    stored = bytearray(encode_state(sealed(absorb(State(VISITOR), log)[0]), WRITE_ID))
    place = data.draw(st.integers(WRITE_ID_BYTES, len(stored) - 1))
    stored[place] = data.draw(st.integers(0, 255))
    for damaged in (bytes(stored), bytes(stored[:place])):
        with contextlib.suppress(UnreadableState):
            decode_state(damaged)


@SETTINGS
@given(st.binary(max_size=60))
def test_foreign_bytes_are_an_unreadable_state(body: bytes) -> None:
    """Even if they follow a valid head."""
    for stored in (body, WRITE_ID + bytes([FORMAT]) + body):
        with pytest.raises(UnreadableState):
            decode_state(stored)
