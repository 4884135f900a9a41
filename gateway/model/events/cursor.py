"""The cursor: an opaque string that stands for log positions. A query with a cursor waits until the context covers them.

Base64url of msgpack `[form, log_epoch, given_at_ms, [[topic index, partition, offset], …]]`. It holds no visitor id. It is not
signed: a forged cursor can only make its own request wait, up to the limit that the request sets.
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
"""A cursor this old counts as covered: its events were processed long ago, or the visitor's context has expired."""
MAX_POSITIONS: Final = 64
MAX_CURSOR_CHARACTERS: Final = 4096
_FORM: Final = 1
_INDEX_OF: Final = {topic.value: index for index, topic in enumerate(SOURCE_TOPICS)}
_NOT_A_CURSOR: Final = "not a cursor of this gateway: send one from track or from a decision, unchanged"


class InvalidCursor(ValueError):
    """A string that this gateway did not issue as a cursor."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Positions to be covered, and when the cursor was issued."""

    positions: Positions
    given_at_ms: int

    def encode(self) -> str:
        """The opaque string."""
        offsets = sorted((_INDEX_OF[topic], partition, offset) for (topic, partition), offset in self.positions.offsets.items())
        return tokens.pack((_FORM, self.positions.log_epoch, self.given_at_ms, offsets))

    def is_covered_by(self, context: Mapping[str, Any] | None, now_ms: int) -> bool:
        """Whether a context (public JSON; None: there is none) has absorbed everything up to these positions."""
        if not self.positions.offsets or now_ms - self.given_at_ms > COVERED_AFTER_MS:
            return True
        return positions_of_context(context).cover(self.positions)


def cursor_of(positions: Iterable[Position], log_epoch: int, given_at_ms: int) -> Cursor:
    """The cursor of some events: the greatest offset of each partition."""
    return Cursor(Positions.of(positions, log_epoch), given_at_ms)


def cursor_of_context(context: Mapping[str, Any] | None, now_ms: int) -> Cursor:
    """The cursor of everything that a context has absorbed."""
    positions = positions_of_context(context)
    offsets = {partition: offset for partition, offset in positions.offsets.items() if partition[0] in _INDEX_OF}
    return Cursor(Positions(positions.log_epoch, offsets), now_ms)


def decode_cursor(text: str) -> Cursor:
    """The inverse of `Cursor.encode`. Raises `InvalidCursor`."""
    if len(text) > MAX_CURSOR_CHARACTERS:
        raise InvalidCursor(_NOT_A_CURSOR)
    try:
        form, log_epoch, given_at_ms, stored_offsets = tokens.unpack(text)
        offsets = {}
        if form != _FORM or len(stored_offsets) > MAX_POSITIONS:
            raise ValueError
        for index, partition, offset in stored_offsets:
            if not (isinstance(index, int) and 0 <= index < len(SOURCE_TOPICS) and isinstance(partition, int) and isinstance(offset, int)):
                raise ValueError
            offsets[SOURCE_TOPICS[index].value, partition] = offset
        if not isinstance(log_epoch, int) or not isinstance(given_at_ms, int):
            raise ValueError
    except (ValueError, TypeError) as problem:
        raise InvalidCursor(_NOT_A_CURSOR) from problem
    return Cursor(Positions(log_epoch, offsets), given_at_ms)
