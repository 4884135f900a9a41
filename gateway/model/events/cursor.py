"""The cursor: opaque log positions that a context can be asked to cover.

Base64url of msgpack `[form, log_epoch, given_at_ms, [[topic index, partition, offset], …]]`. It holds no visitor id. It is
not signed: a forged one can only make its own request wait, within the limit that the request gives.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from gateway.model.events.contribution import Position
from gateway.model.events.topics import SOURCE_TOPICS

COVERED_AFTER_MS: Final = 10 * 60 * 1000
"""A cursor this old counts as covered: by then its events were processed, or their visitor's context expired."""
MAX_POSITIONS: Final = 64
_FORM: Final = 1
_INDEX_OF: Final = {topic.value: index for index, topic in enumerate(SOURCE_TOPICS)}


class InvalidCursor(ValueError):
    """A text that is no cursor of ours."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """For each (topic, partition) the offset up to which the log is meant, inclusive."""

    log_epoch: int
    given_at_ms: int
    offsets: Mapping[tuple[str, int], int]

    def encode(self) -> str:
        """The opaque text."""
        places = sorted((_INDEX_OF[topic], partition, offset) for (topic, partition), offset in self.offsets.items())
        packed = msgpack.packb((_FORM, self.log_epoch, self.given_at_ms, places))
        return base64.urlsafe_b64encode(bytes(packed)).rstrip(b"=").decode()

    def is_covered_by(self, context: Mapping[str, Any] | None, now_ms: int) -> bool:
        """Whether a context (public JSON, or None when there is none) has seen all that this cursor names."""
        if not self.offsets or now_ms - self.given_at_ms > COVERED_AFTER_MS:
            return True
        if context is None:
            return False
        context_epoch = context.get("log_epoch", 0)
        if context_epoch != self.log_epoch:
            # A newer log than the cursor's: what it named is long processed. An older one: not yet seen.
            return bool(context_epoch > self.log_epoch)
        positions = context.get("positions", {})
        return all(positions.get(f"{topic}/{partition}", -1) >= offset for (topic, partition), offset in self.offsets.items())


def cursor_of(positions: Iterable[Position], log_epoch: int, given_at_ms: int) -> Cursor:
    """The cursor of some events: the highest offset of each partition."""
    offsets: dict[tuple[str, int], int] = {}
    for topic, partition, offset in positions:
        offsets[topic, partition] = max(offsets.get((topic, partition), -1), offset)
    return Cursor(log_epoch, given_at_ms, offsets)


def cursor_of_context(context: Mapping[str, Any] | None, now_ms: int) -> Cursor:
    """The cursor of all that a context has seen."""
    offsets = {}
    for place, offset in (context or {}).get("positions", {}).items():
        topic, _, partition = place.rpartition("/")
        if topic in _INDEX_OF:
            offsets[topic, int(partition)] = offset
    return Cursor((context or {}).get("log_epoch", 0), now_ms, offsets)


def decode_cursor(text: str) -> Cursor:
    """The cursor that `Cursor.encode` made, or raise `InvalidCursor`."""
    if len(text) > 4096:
        raise InvalidCursor("a cursor is given by track or a decision and is never changed by a client")
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        form, log_epoch, given_at_ms, places = msgpack.unpackb(raw, use_list=False)
        offsets = {}
        if form != _FORM or len(places) > MAX_POSITIONS:
            raise ValueError
        for index, partition, offset in places:
            if not (isinstance(index, int) and 0 <= index < len(SOURCE_TOPICS) and isinstance(partition, int) and isinstance(offset, int)):
                raise ValueError
            offsets[SOURCE_TOPICS[index].value, partition] = offset
        if not isinstance(log_epoch, int) or not isinstance(given_at_ms, int):
            raise ValueError
    except (ValueError, TypeError, binascii.Error, msgpack.exceptions.UnpackException) as problem:
        raise InvalidCursor("a cursor is given by track or a decision and is never changed by a client") from problem
    return Cursor(log_epoch, given_at_ms, offsets)
