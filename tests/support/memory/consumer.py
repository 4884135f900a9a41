"""A Kafka consumer in memory, with one topic of two partitions, as aiokafka shows it to those who poll and commit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka.structs import ConsumerRecord, TopicPartition

from tests.support.memory.faults import Faults

PARTITIONS = 2
TIMESTAMP_MS = 1_790_000_000_000


class MemoryConsumer:
    """Reads what `add` put into the topic. `committed` is what its group would start from after a crash.

    `starting`, `polling` and `committing` are what the next calls meet.
    """

    def __init__(self, topic: str) -> None:
        self.starting = Faults()
        self.polling = Faults()
        self.committing = Faults()
        self.committed: dict[int, int] = {}
        self.is_started = False
        self.is_stopped = False
        self._topic = topic
        self._records: dict[int, list[Any]] = {partition: [] for partition in range(PARTITIONS)}
        self._positions = dict.fromkeys(range(PARTITIONS), 0)
        self._assigned = set(range(PARTITIONS))
        self._listener: Any = None
        self._arrived = asyncio.Event()

    def add(self, key: bytes | None, value: bytes | None, partition: int = 0) -> int:
        """Append a record, and return its offset."""
        records = self._records[partition]
        offset = len(records)
        records.append(
            ConsumerRecord(self._topic, partition, offset, TIMESTAMP_MS, 0, key, value, None, len(key or b""), len(value or b""), ())
        )
        self._arrived.set()
        return offset

    async def revoke(self, partition: int) -> None:
        """Give a partition to another member of the group."""
        if self._listener is not None:
            await self._listener.on_partitions_revoked({TopicPartition(self._topic, partition)})
        self._assigned.discard(partition)

    async def start(self) -> None:
        """As aiokafka."""
        await self.starting.enter()
        self.is_started = True

    async def stop(self) -> None:
        """As aiokafka."""
        await asyncio.sleep(0)
        self.is_stopped = True

    def subscribe(self, topics: Iterable[str], listener: Any = None) -> None:
        """As aiokafka."""
        assert list(topics) == [self._topic]
        self._listener = listener

    def assignment(self) -> set[TopicPartition]:
        """As aiokafka."""
        return {TopicPartition(self._topic, partition) for partition in self._assigned}

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """As aiokafka."""
        await asyncio.sleep(0)
        return {partition: len(self._records[partition.partition]) for partition in partitions}

    async def position(self, partition: TopicPartition) -> int:
        """As aiokafka."""
        await asyncio.sleep(0)
        return self._positions[partition.partition]

    async def getmany(self, *, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        """Everything new, waiting for it up to `timeout_ms`."""
        await self.polling.enter()
        self._arrived.clear()
        batches = self._take()
        if not batches:
            try:
                async with asyncio.timeout(timeout_ms / 1000):
                    await self._arrived.wait()
            except TimeoutError:
                return {}
            batches = self._take()
        return batches

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """As aiokafka."""
        await self.committing.enter()
        self.committed |= {partition.partition: offset for partition, offset in offsets.items()}
        self.committing.leave()

    def _take(self) -> dict[TopicPartition, list[Any]]:
        batches = {}
        for partition in self._assigned:
            records = self._records[partition][self._positions[partition] :]
            self._positions[partition] += len(records)
            if records:
                batches[TopicPartition(self._topic, partition)] = records
        return batches
