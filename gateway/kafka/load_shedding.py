"""Admission: how many events may be on their way to Kafka at once. Orders are the last to be shed.

What does not get in is refused before anything is written, with the time after which to try again. A place is held until
Kafka has answered or the producer has given up, also when the caller was told UNKNOWN long before: a frozen broker can keep no
more than so many events of this process waiting.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.errors import Throttled
from gateway.model.events.event import Event, topic_of
from gateway.model.events.topics import Topic

SHARE_OF_OTHERS: Final = 0.8
"""Events that are no orders are shed when this share of the places is taken."""
RETRY_AFTER_MS: Final = 500


class LoadShedder:
    """Counts events in flight. One instance a process."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._taken = 0

    @property
    def taken(self) -> int:
        """How many places are held."""
        return self._taken

    def admit(self, events: Sequence[Event]) -> InFlightEvents:
        """Places for these events, or raise `Throttled`."""
        has_order = any(topic_of(event.type) is Topic.PURCHASE_EVENTS for event in events)
        limit = self._places if has_order else int(self._places * SHARE_OF_OTHERS)
        if self._taken + len(events) > limit:
            raise Throttled("too many events are on their way; send these again later", retry_after_ms=RETRY_AFTER_MS)
        self._taken += len(events)
        return InFlightEvents(self, len(events))

    def give_back(self, places: int) -> None:
        """Free places."""
        self._taken -= places


class InFlightEvents:
    """Places that are held until `give_back`; giving them back twice frees them once."""

    def __init__(self, admission: LoadShedder, count: int) -> None:
        self._admission = admission
        self._count = count

    def give_back(self) -> None:
        """Free them."""
        self._admission.give_back(self._count)
        self._count = 0
