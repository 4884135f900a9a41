"""A Kafka producer in memory that fails as aiokafka's idempotent one does.

- `start` raises KafkaConnectionError while no broker answers.
- `send` may wait for metadata, raise for a record that is too large or a buffer that stays full, and raises whatever ended the producer.
- The future of a record has its metadata, or the error of its batch: NotLeaderForPartitionError where it expired without a leader.
- After OutOfOrderSequenceNumber every record in flight fails, and so does every later `send` (aiokafka#1017).
- A duplicate sequence number counts as written, with the offset -1.
- `stop` waits for everything in flight, without a limit.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable
from typing import Any, NamedTuple

from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.structs import RecordMetadata, TopicPartition

from gateway.kafka.publisher import MAX_REQUEST_BYTES
from tests.support.memory.faults import Faults

UNKNOWN_OFFSET = -1


class SentRecord(NamedTuple):
    """A record that the producer took, and the future of its metadata."""

    topic: str
    key: bytes | None
    value: bytes
    future: asyncio.Future[Any]


class MemoryProducer:
    """A `Producer`. `starting` and `sending` are what the next calls meet.

    While `is_frozen`, records stay in flight until `deliver`; otherwise they are delivered in a later turn of the loop.
    """

    def __init__(self, *, is_frozen: bool = False) -> None:
        self.starting = Faults()
        self.sending = Faults()
        self.is_frozen = is_frozen
        self.is_started = False
        self.is_stopped = False
        self.in_flight: list[SentRecord] = []
        self.written: list[SentRecord] = []
        self._fatal: KafkaError | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self) -> None:
        """As `Producer.start`."""
        await self.starting.enter()
        self.is_started = True

    async def stop(self) -> None:
        """As `Producer.stop`."""
        await self._idle.wait()
        # It waits for its own tasks, so it never ends in the same turn of the loop.
        await asyncio.sleep(0)
        self.is_stopped = True

    async def send(self, topic: str, value: bytes, *, key: bytes | None = None, headers: object = ()) -> Awaitable[Any]:
        """As `Producer.send`."""
        await self.sending.enter()
        if len(value) > MAX_REQUEST_BYTES:
            raise MessageSizeTooLargeError
        if self._fatal is not None:
            raise copy.copy(self._fatal)
        sent = SentRecord(topic, key, value, asyncio.get_running_loop().create_future())
        self.in_flight.append(sent)
        self._idle.clear()
        if not self.is_frozen:
            asyncio.get_running_loop().call_soon(self.deliver)
        return sent.future

    async def send_and_wait(self, topic: str, value: bytes, *, key: bytes | None = None) -> Any:
        """Send a record and wait until it is written."""
        return await (await self.send(topic, value, key=key))

    def deliver(self, *, are_duplicates: bool = False) -> None:
        """Write everything in flight. Duplicates were written before; the broker no longer knows where."""
        for sent in self._take():
            offset = UNKNOWN_OFFSET if are_duplicates else len(self.written)
            self.written.append(sent)
            if not sent.future.done():
                sent.future.set_result(RecordMetadata(sent.topic, 0, TopicPartition(sent.topic, 0), offset, 0, 1, 0))

    def expire(self, error: Exception) -> None:
        """Fail everything in flight; it may or may not have been written."""
        for sent in self._take():
            if not sent.future.done():
                sent.future.set_exception(copy.copy(error))

    def die(self, error: KafkaError) -> None:
        """Fail everything in flight, and everything that is sent from now on."""
        self._fatal = error
        self.expire(error)

    def _take(self) -> list[SentRecord]:
        taken, self.in_flight = self.in_flight, []
        self._idle.set()
        return taken
