"""Erasures: the cut-offs of erased visitors, kept forever in a compacted topic and applied whenever contexts are restored.

A record of the topic `erasures`: key = keyed hash of the visitor id (HMAC-SHA256 with the signing key, 16 bytes, hex),
value = JSON {"cutoff_ms": …}. It does not name the visitor. A process that restores contexts from the log learns from it which events
are erased. If a key has several records, the latest cut-off counts.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable

from gateway.model.events.event_kinds import EventType
from gateway.model.visitors.state import Update


def erasure_key(signing_key: bytes, visitor_id: str) -> str:
    """The key of a visitor in the topic."""
    return hmac.new(signing_key, b"erasure:" + visitor_id.encode(), hashlib.sha256).hexdigest()[:32]


def erasure_value(cutoff_ms: int) -> bytes:
    """The value of a record."""
    return json.dumps({"cutoff_ms": cutoff_ms}).encode()


class Erasures:
    """All cut-offs known so far. Takes about 100 bytes for each erased visitor."""

    def __init__(self, signing_key: bytes) -> None:
        self._key = signing_key
        self._cutoffs: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._cutoffs)

    def learn(self, key: bytes | None, value: bytes | None) -> None:
        """Add a record of the topic. Raises ValueError if it is not one."""
        if key is None or value is None:
            raise ValueError("an erasure has a key and a value")
        cutoff_ms = json.loads(value)["cutoff_ms"] if value.startswith(b"{") else None
        if not isinstance(cutoff_ms, int):
            raise ValueError("an erasure has a cutoff_ms")
        name = key.decode("ascii")
        self._cutoffs[name] = max(cutoff_ms, self._cutoffs.get(name, 0))

    def cutoff_of(self, visitor_id: str) -> int | None:
        """The moment (ms) up to which the events of this id are erased; None: they are not."""
        return self._cutoffs.get(erasure_key(self._key, visitor_id)) if self._cutoffs else None

    def apply(self, updates: Iterable[Update]) -> list[Update]:
        """The updates, with those of erased events emptied: they still move positions, and store nothing."""
        if not self._cutoffs:
            return list(updates)
        return [self._without_erased(update) for update in updates]

    def _without_erased(self, update: Update) -> Update:
        event = update.event
        if event is None or event.type is EventType.DELETE:
            return update
        cutoff_ms = self.cutoff_of(update.visitor_id)
        if cutoff_ms is None or min(event.received_at_ms, event.event_time_ms) > cutoff_ms:
            return update
        return Update(update.visitor_id, update.position, update.log_epoch, None)
