"""The cursor: opaque log positions that a context can be asked to cover.

Base64url of msgpack `[form, log_epoch, given_at_ms, [[topic index, partition, offset], …]]`. It holds no visitor id. It is
not signed: a forged one can only make its own request wait, within the limit that the request gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.model import tokens
from gateway.model.events.contribution import Position
from gateway.model.events.positions import Positions, positions_of_context
from gateway.model.events.topics import SOURCE_TOPICS
from gateway.model.times import MINUTE_MS

COVERED_AFTER_MS: Final = 10 * MINUTE_MS
"""A cursor this old counts as covered: by then its events were processed, or their visitor's context expired."""
MAX_POSITIONS: Final = 64
_FORM: Final = 1
_INDEX_OF: Final = {topic.value: index for index, topic in enumerate(SOURCE_TOPICS)}


class InvalidCursor(ValueError):
    """A string that is not one of our cursors."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Up to where the log is meant, and when the cursor was given."""

    positions: Positions
    given_at_ms: int

    def encode(self) -> str:
        """The opaque string."""
        places = sorted((_INDEX_OF[topic], partition, offset) for (topic, partition), offset in self.positions.offsets.items())
        return tokens.pack((_FORM, self.positions.log_epoch, self.given_at_ms, places))

    def is_covered_by(self, context: Mapping[str, Any] | None, now_ms: int) -> bool:
        """Whether a context (public JSON, or None when there is none) has seen all that this cursor names."""
        if not self.positions.offsets or now_ms - self.given_at_ms > COVERED_AFTER_MS:
            return True
        return positions_of_context(context).cover(self.positions)


def cursor_of(positions: Iterable[Position], log_epoch: int, given_at_ms: int) -> Cursor:
    """The cursor of some events: the highest offset of each partition."""
    return Cursor(Positions.of(positions, log_epoch), given_at_ms)


def cursor_of_context(context: Mapping[str, Any] | None, now_ms: int) -> Cursor:
    """The cursor of all that a context has seen."""
    seen = positions_of_context(context)
    return Cursor(Positions(seen.log_epoch, {place: offset for place, offset in seen.offsets.items() if place[0] in _INDEX_OF}), now_ms)


def decode_cursor(text: str) -> Cursor:
    """The cursor that `Cursor.encode` made, or raise `InvalidCursor`."""
    if len(text) > 4096:
        raise InvalidCursor("a cursor is given by track or a decision and is never changed by a client")
    try:
        form, log_epoch, given_at_ms, places = tokens.unpack(text)
        offsets = {}
        if form != _FORM or len(places) > MAX_POSITIONS:
            raise ValueError
        for index, partition, offset in places:
            if not (isinstance(index, int) and 0 <= index < len(SOURCE_TOPICS) and isinstance(partition, int) and isinstance(offset, int)):
                raise ValueError
            offsets[SOURCE_TOPICS[index].value, partition] = offset
        if not isinstance(log_epoch, int) or not isinstance(given_at_ms, int):
            raise ValueError
    except (ValueError, TypeError) as problem:
        raise InvalidCursor("a cursor is given by track or a decision and is never changed by a client") from problem
    return Cursor(Positions(log_epoch, offsets), given_at_ms)
