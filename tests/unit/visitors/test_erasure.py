"""Erasures: kept without a visitor id, and applied to whatever the log delivers again."""

from __future__ import annotations

import pytest

from gateway.model.events.contribution import Position
from gateway.model.events.event import Event
from gateway.model.events.event_kinds import EventType
from gateway.model.visitors.erasure import Erasures, erasure_key, erasure_value
from gateway.model.visitors.state import Update

KEY = b"k" * 32
NOW_MS = 1_790_000_000_000


def update(received_ms: int, event_ms: int | None = None, kind: EventType = EventType.PAGE_VIEWED, visitor_id: str = "u1") -> Update:
    event = Event("m1", kind, visitor_id, received_ms if event_ms is None else event_ms, received_ms, None, None, {})
    return Update(visitor_id, Position("page_views", 0, 7), 1, event)


def erasures(*cutoffs_ms: int) -> Erasures:
    known = Erasures(KEY)
    for cutoff_ms in cutoffs_ms:
        known.learn(erasure_key(KEY, "u1").encode(), erasure_value(cutoff_ms))
    return known


@pytest.mark.parametrize(
    ("original", "is_kept"),
    [
        (update(NOW_MS - 1), False),
        (update(NOW_MS), False),
        (update(NOW_MS + 1), True),
        (update(NOW_MS + 1, NOW_MS), False),  # dated before, received after
        (update(NOW_MS, NOW_MS + 1), False),  # dated ahead, received before
        (update(NOW_MS - 1, kind=EventType.DELETE), True),
        (update(NOW_MS - 1, visitor_id="u2"), True),
    ],
)
def test_what_was_received_or_dated_up_to_the_cut_off_is_emptied(original: Update, is_kept: bool) -> None:
    """Its position still counts; other visitors, later events and the erasure itself stay."""
    (applied,) = erasures(NOW_MS).apply([original])
    assert (applied.event is not None) is is_kept
    assert applied.position == original.position


def test_the_latest_cut_off_counts() -> None:
    """Whatever the order of the records."""
    for cutoffs in ((NOW_MS, NOW_MS + 10), (NOW_MS + 10, NOW_MS)):
        (applied,) = erasures(*cutoffs).apply([update(NOW_MS + 5)])
        assert applied.event is None


def test_the_record_names_no_visitor() -> None:
    """Without the key the visitor cannot be found by trying ids."""
    assert "u1" not in erasure_key(KEY, "u1")
    assert erasure_key(KEY, "u1") != erasure_key(b"x" * 32, "u1")


@pytest.mark.parametrize(("key", "value"), [(None, b"{}"), (b"a", None), (b"a", b"[]"), (b"a", b'{"cutoff_ms": "x"}'), (b"a", b"{")])
def test_a_record_that_is_not_an_erasure_is_refused(key: bytes | None, value: bytes | None) -> None:
    """With a ValueError, so that the reader can report it and go on."""
    known = Erasures(KEY)
    with pytest.raises(ValueError):
        known.learn(key, value)
    assert len(known) == 0
