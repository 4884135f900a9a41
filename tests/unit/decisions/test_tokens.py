"""Opaque strings that clients carry: cursors, decision ids and anonymous ids; and the keys of contexts."""

from __future__ import annotations

import base64
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.decisions.decision_id import DecisionToken, InvalidDecisionId, open_decision_id, sign, visitor_hash
from gateway.model.events.contribution import Position
from gateway.model.events.cursor import COVERED_AFTER_MS, Cursor, InvalidCursor, cursor_of, cursor_of_context, decode_cursor
from gateway.model.events.positions import Positions
from gateway.model.events.topics import SOURCE_TOPICS
from gateway.model.events.visitor_ids import is_anonymous, is_genuine_anonymous_id, new_anonymous_id
from gateway.store.keys import context_key, notice_channel, state_key
from tests.support.strategies import SETTINGS, START_MS

KEY = b"k" * 32
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

places = st.dictionaries(
    st.tuples(st.sampled_from([topic.value for topic in SOURCE_TOPICS]), st.integers(0, 50)), st.integers(0, 2**62), max_size=20
)
cursors = st.builds(Cursor, st.builds(Positions, st.integers(0, 2**40), places), st.integers(0, 2**45))


@SETTINGS
@given(cursors)
def test_an_encoded_cursor_is_decoded_back(cursor: Cursor) -> None:
    """The string can be part of a URL."""
    text = cursor.encode()
    assert decode_cursor(text) == cursor
    assert set(text) <= set(ALPHABET)


@SETTINGS
@given(
    st.text(st.characters(), max_size=40)
    | st.text(ALPHABET, max_size=40)
    | st.binary(max_size=40).map(lambda raw: base64.urlsafe_b64encode(raw).decode())
)
def test_garbage_is_an_invalid_cursor(text: str) -> None:
    """Whatever a client sends, only InvalidCursor is raised."""
    try:
        decode_cursor(text)
    except InvalidCursor as problem:
        assert "unchanged" in str(problem)  # noqa: PT017 - either outcome is right


def packed(*body: Any) -> str:
    return base64.urlsafe_b64encode(msgpack.packb(body)).rstrip(b"=").decode()


@pytest.mark.parametrize("text", ["", "x", "é", "\ud800", "A" * 5000, packed(), packed(1), packed(2, 1, 1, []), packed(1, "1", 1, []),
                                  packed(1, 1, None, []), packed(1, 1, 1, 5), packed(1, 1, 1, [[0, 0]]), packed(1, 1, 1, [[4, 0, 0]]),
                                  packed(1, 1, 1, [[-1, 0, 0]]), packed(1, 1, 1, [[0, "0", 0]]), packed(1, 1, 1, [[0, 0, 1.5]]),
                                  packed(1, 1, 1, [[0, 0, 0]] * 65), packed({"a": []}, 1, 1, [])])  # fmt: skip
def test_a_forged_cursor_is_refused(text: str) -> None:
    """In the wrong form, with unknown topics, with too many positions."""
    with pytest.raises(InvalidCursor):
        decode_cursor(text)


def context_at(offset: int, epoch: int = 1) -> dict[str, Any]:
    return {"positions": {"user_actions/1": offset, "page_views/0": 3}, "log_epoch": epoch}


def test_a_cursor_is_covered_when_every_position_is_reached() -> None:
    """Offsets are inclusive; a partition that the context has not read is not reached; without a context none is."""
    cursor = cursor_of([Position("user_actions", 1, 5), Position("user_actions", 1, 7), Position("page_views", 0, 2)], 1, START_MS)
    assert cursor.positions.offsets == {("user_actions", 1): 7, ("page_views", 0): 2}
    assert cursor.is_covered_by(context_at(7), START_MS)
    assert cursor.is_covered_by(context_at(8), START_MS)
    assert not cursor.is_covered_by(context_at(6), START_MS)
    assert not cursor.is_covered_by({"positions": {"user_actions/1": 9}, "log_epoch": 1}, START_MS)
    assert not cursor.is_covered_by(None, START_MS)


def test_a_cursor_of_an_older_log_is_covered_and_one_of_a_newer_log_is_not() -> None:
    """A re-created topic starts at 0 again."""
    cursor = cursor_of([Position("user_actions", 1, 7)], 2, START_MS)
    assert cursor.is_covered_by(context_at(0, epoch=3), START_MS)
    assert not cursor.is_covered_by(context_at(100, epoch=1), START_MS)


def test_a_cursor_counts_as_covered_after_ten_minutes() -> None:
    """By then its events are processed, or the context has expired."""
    cursor = cursor_of([Position("user_actions", 1, 7)], 1, START_MS)
    assert not cursor.is_covered_by(None, START_MS + COVERED_AFTER_MS)
    assert cursor.is_covered_by(None, START_MS + COVERED_AFTER_MS + 1)


def test_an_empty_cursor_is_covered() -> None:
    """It names no position."""
    assert cursor_of([], 1, START_MS).is_covered_by(None, START_MS)
    assert cursor_of_context(None, START_MS).is_covered_by(None, START_MS)


def test_a_context_covers_its_own_cursor() -> None:
    """Positions of topics that are not source topics are left out."""
    context = {**context_at(7), "positions": {**context_at(7)["positions"], "unknown/0": 9}}
    cursor = cursor_of_context(context, START_MS)
    assert cursor.is_covered_by(context, START_MS)
    assert decode_cursor(cursor.encode()) == cursor
    assert ("unknown", 0) not in cursor.positions.offsets


TOKEN = DecisionToken("homepage-hero", "sale", None, 3, "0123456789abcdef", "cursor", START_MS, visitor_hash(KEY, "u1"))

texts = st.text(max_size=12)
tokens = st.builds(
    DecisionToken,
    texts,
    st.none() | texts,
    st.none() | texts,
    st.integers(0, 2**53),
    texts,
    texts,
    st.integers(0, 2**53),
    st.binary(max_size=8),
)


@SETTINGS
@given(tokens)
def test_a_decision_id_holds_what_was_signed(token: DecisionToken) -> None:
    """It opens only with the key that signed it."""
    text = sign(KEY, token)
    assert open_decision_id(KEY, text) == token
    with pytest.raises(InvalidDecisionId):
        open_decision_id(KEY + b"x", text)


@SETTINGS
@given(tokens, st.data())
def test_a_changed_decision_id_is_refused(token: DecisionToken, data: st.DataObject) -> None:
    """Any character changed, cut off or added: one decision has one id."""
    text = sign(KEY, token)
    place = data.draw(st.integers(0, len(text) - 1))
    changed = text[:place] + data.draw(st.sampled_from(ALPHABET + "!=é\ud800")) + text[place + 1 :]
    foreign = text[:place] + data.draw(st.sampled_from("!= \n+/é")) + text[place:]
    for wrong in (changed, text[:place], foreign, text + "=", text + "!!!!", text + "AAAA"):
        if wrong != text:
            with pytest.raises(InvalidDecisionId):
                open_decision_id(KEY, wrong)


@SETTINGS
@given(st.text(st.characters(), max_size=60))
def test_garbage_is_an_invalid_decision_id(text: str) -> None:
    """Only InvalidDecisionId is raised."""
    with pytest.raises(InvalidDecisionId):
        open_decision_id(KEY, text)
    with pytest.raises(InvalidDecisionId):
        open_decision_id(KEY, "A" * 100_000)


def test_a_decision_id_names_no_visitor() -> None:
    """It holds a keyed hash, or nothing if the decision has no visitor."""
    assert visitor_hash(KEY, None) == b""
    assert visitor_hash(KEY, "u1") != visitor_hash(KEY + b"x", "u1")
    assert visitor_hash(KEY, "u1") != visitor_hash(KEY, "u2")
    raw = base64.urlsafe_b64decode(sign(KEY, TOKEN) + "==")
    assert b"u1" not in raw


def test_an_anonymous_id_is_genuine_only_with_its_key() -> None:
    """Every changed digit is detected."""
    visitor_id = new_anonymous_id(KEY)
    assert is_anonymous(visitor_id)
    assert is_genuine_anonymous_id(KEY, visitor_id)
    assert not is_genuine_anonymous_id(KEY + b"x", visitor_id)
    for place in range(5, len(visitor_id)):
        digit = "0" if visitor_id[place] != "0" else "1"
        assert not is_genuine_anonymous_id(KEY, visitor_id[:place] + digit + visitor_id[place + 1 :])


@pytest.mark.parametrize(
    "wrong", ["", "anon_", "anon_1", "u1", "ANON_" + "0" * 44, "anon_" + "0" * 44, "anon_" + "0" * 44 + "\n", "anon_\ud800"]
)
def test_an_id_that_start_visit_did_not_make_is_not_genuine(wrong: str) -> None:
    """Whatever its form."""
    assert not is_genuine_anonymous_id(KEY, wrong)


def test_no_two_anonymous_ids_are_equal() -> None:
    """They are random."""
    assert len({new_anonymous_id(KEY) for _ in range(1000)}) == 1000


@pytest.mark.parametrize("visitor_id", ["12345", "a}b", "{x}", "%7B", "}{", "context:{1}:state"])
def test_a_context_and_its_state_share_a_slot(visitor_id: str) -> None:
    """The hash tag of the state's key is the context's key, whatever braces an id contains."""
    key = context_key(visitor_id)
    assert "{" not in key
    for beside in (state_key(visitor_id), notice_channel(visitor_id)):
        assert beside[beside.index("{") + 1 : beside.index("}")] == key


@SETTINGS
@given(st.text("a%{}7BD2:5", max_size=8), st.text("a%{}7BD2:5", max_size=8))
def test_two_visitors_never_share_a_key(one: str, other: str) -> None:
    """Escaping is reversible."""
    assert (context_key(one) == context_key(other)) == (one == other)
