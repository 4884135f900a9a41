"""The event log in memory: records by partition, and everything that can happen to one on its way there."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Sequence

from gateway.kafka.publisher import (
    MAX_REQUEST_BYTES,
    Acknowledgement,
    DeliveryOutcome,
    LogUnavailable,
    OutgoingRecord,
    Rejection,
    UnknownDelivery,
)
from gateway.model.events.contribution import Position
from tests.support.memory.faults import Faults

PARTITIONS = 2


class MemoryEventLog:
    """An `EventLog`. While `is_away`, no producer is connected. A record over `max_bytes` is too large.

    `writing` is what the next records meet: one that fails was not written and is rejected, one that fails afterwards was written and
    is unknown, and those of a frozen log are unknown at their deadline and are written once it recovers. `lost_positions` is how many
    of the next acknowledgements have no position, as those of duplicates.
    """

    def __init__(self) -> None:
        self.is_away = False
        self.max_bytes = MAX_REQUEST_BYTES
        self.writing = Faults()
        self.lost_positions = 0
        self.partitions: dict[tuple[str, int], list[OutgoingRecord]] = {}
        self._sends: set[asyncio.Task[DeliveryOutcome]] = set()

    def records(self, topic: str) -> list[OutgoingRecord]:
        """What was written to a topic, partition by partition."""
        return [record for partition in range(PARTITIONS) for record in self.partitions.get((topic, partition), [])]

    async def publish(
        self, records: Sequence[OutgoingRecord], deadline_ms: int, ended: Callable[[], None] = lambda: None
    ) -> list[DeliveryOutcome]:
        """As `EventLog.publish`."""
        if self.is_away or not records:
            ended()
            if self.is_away:
                raise LogUnavailable("the event log is unreachable; nothing was written")
            return []
        sends = [asyncio.create_task(self._send(record)) for record in records]
        in_flight = set(sends)

        def sent(send: asyncio.Task[DeliveryOutcome]) -> None:
            in_flight.discard(send)
            self._sends.discard(send)
            if not in_flight:
                ended()

        self._sends |= in_flight
        for send in sends:
            send.add_done_callback(sent)
        await asyncio.wait(sends, timeout=deadline_ms / 1000)
        return [send.result() if send.done() else UnknownDelivery() for send in sends]

    async def _send(self, record: OutgoingRecord) -> DeliveryOutcome:
        if len(record.value) > self.max_bytes:
            return Rejection("TOO_LARGE", f"the event is larger than {self.max_bytes} bytes")
        try:
            await self.writing.enter()
        except Exception:  # noqa: BLE001  # whatever a test lets fail, nothing was written
            return Rejection("UNAVAILABLE", "the event log is unreachable; nothing was written, send the event again")
        partition = zlib.crc32(record.key) % PARTITIONS
        written = self.partitions.setdefault((record.topic, partition), [])
        written.append(record)
        try:
            self.writing.leave()
        except Exception:  # noqa: BLE001  # whatever a test lets fail, the answer got lost
            return UnknownDelivery()
        if self.lost_positions:
            self.lost_positions -= 1
            return Acknowledgement(None)
        return Acknowledgement(Position(record.topic, partition, len(written) - 1))
