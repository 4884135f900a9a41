"""Load shedding: a limit on the events that are on their way to Kafka. Orders are shed last.

An event over the limit is refused before anything is written; the error says when to try again. An event counts until
Kafka has answered or the producer has given up, even if its sender received UNKNOWN long before. So a frozen broker can
hold up no more than that many events of this process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.errors import Throttled
from gateway.model.events.event import Event
from gateway.model.events.event_kinds import topic_of
from gateway.model.events.topics import Topic

SHARE_WITHOUT_ORDERS: Final = 0.8
"""A batch without an order is shed once it would fill more than this share of the limit."""
RETRY_AFTER_MS: Final = 500


class LoadShedder:
    """Counts the events in flight. One instance per process."""

    def __init__(self, max_events: int) -> None:
        self._max_events = max_events
        self._in_flight = 0

    @property
    def in_flight(self) -> int:
        """The number of events that count now."""
        return self._in_flight

    def accept(self, events: Sequence[Event]) -> InFlightEvents:
        """Count these events as in flight. Raises `Throttled` when they do not fit."""
        has_order = any(topic_of(event.type) is Topic.PURCHASE_EVENTS for event in events)
        limit = self._max_events if has_order else int(self._max_events * SHARE_WITHOUT_ORDERS)
        if self._in_flight + len(events) > limit:
            raise Throttled("too many events are in flight; send these again later", retry_after_ms=RETRY_AFTER_MS)
        self._in_flight += len(events)
        return InFlightEvents(self, len(events))

    def release(self, count: int) -> None:
        """Stop counting that many events."""
        self._in_flight -= count


class InFlightEvents:
    """The events of one batch, counted until `release`. Releasing them twice counts once."""

    def __init__(self, shedder: LoadShedder, count: int) -> None:
        self._shedder = shedder
        self._count = count

    def release(self) -> None:
        """Stop counting them."""
        self._shedder.release(self._count)
        self._count = 0
