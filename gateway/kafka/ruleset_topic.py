"""The topic `rulesets`: followed from its beginning by every process, without a consumer group, and written to.

The topic is small and kept for good. A lost connection is made anew and reading goes on where it stopped; a topic that was
made anew is read from its beginning again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from gateway.model.events.topics import Topic
from gateway.model.rulesets.versions import InvalidRecord, Published, RulesetLog, RulesetRecord, decode_record

MAX_RECORD_BYTES: Final = 4 * 1024 * 1024
CONNECT_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 0.5
READ_SECONDS: Final = 5.0
PUBLISH_SECONDS: Final = 5.0
_PARTITION: Final = TopicPartition(Topic.RULESETS.value, 0)
_ERRORS: Final = (KafkaError, OSError, TimeoutError)

OnRecords = Callable[[list[Published], bool], Awaitable[None]]
"""Called with the versions of each poll, oldest first, and whether the end of the topic was reached."""

log = logging.getLogger(__name__)


class TopicUnavailable(Exception):
    """Kafka does not answer, or the topic is not there. After a publish: it may or may not have been written."""


class RulesetTopic:
    """One follower of the topic; `run` is a task of the process."""

    def __init__(self, bootstrap: str, on_records: OnRecords) -> None:
        self._bootstrap = bootstrap
        self._on_records = on_records
        self._next = 0
        self._seen = asyncio.Condition()
        self.log = RulesetLog()
        self.caught_up = asyncio.Event()
        """Set once the topic was read to its end."""

    async def run(self) -> None:
        """Follow until cancelled."""
        said: str | None = None
        while True:
            try:
                async with self._consumer() as consumer:
                    await self._follow(consumer)
            except (*_ERRORS, TopicUnavailable) as error:
                reason = str(error) if isinstance(error, TopicUnavailable) else type(error).__name__
                if reason != said:
                    log.warning("the topic %s cannot be followed (%s); trying again", Topic.RULESETS.value, reason)
                said = reason
            await asyncio.sleep(RETRY_SECONDS)

    async def publish(self, record: RulesetRecord) -> int | None:
        """Write a record; the version it made, or None when it is void. Raises `TopicUnavailable`."""
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                await self._write(record.encode())
                async with self._seen:
                    await self._seen.wait_for(lambda: self._knows(record.message_id))
        except _ERRORS as error:
            raise TopicUnavailable("the event log did not confirm the ruleset; it may or may not have been published") from error
        return self.log.version_of(record.message_id)

    async def read(self, version: int) -> Published | None:
        """A version, read from the topic; None when there is none. Raises `TopicUnavailable`."""
        offset = self.log.offset_of(version)
        if offset is None:
            return None
        try:
            async with asyncio.timeout(READ_SECONDS), self._consumer() as consumer:
                consumer.assign([_PARTITION])
                consumer.seek(_PARTITION, offset)
                found = await consumer.getone(_PARTITION)
            record = decode_record(found.value)
        except (*_ERRORS, InvalidRecord) as error:
            raise TopicUnavailable(f"version {version} cannot be read from the event log") from error
        return Published(version, record.yaml, record.published_at_ms, offset)

    @contextlib.asynccontextmanager
    async def _consumer(self) -> Any:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=MAX_RECORD_BYTES,
            metadata_max_age_ms=30_000,
        )
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await consumer.start()
            yield consumer
        finally:
            with contextlib.suppress(*_ERRORS):
                async with asyncio.timeout(CONNECT_SECONDS):
                    await consumer.stop()

    async def _follow(self, consumer: Any) -> None:
        async with asyncio.timeout(CONNECT_SECONDS):
            if Topic.RULESETS.value not in await consumer.topics():
                raise TopicUnavailable("there is no such topic; create it with one partition, kept for good")
            consumer.assign([_PARTITION])
            end = (await consumer.end_offsets([_PARTITION]))[_PARTITION]
        if self._next > end:
            self._forget()
        consumer.seek(_PARTITION, self._next)
        while True:
            batches = await consumer.getmany(_PARTITION, timeout_ms=1000 if self.caught_up.is_set() else 100)
            versions = [found for record in batches.get(_PARTITION, ()) if (found := self._absorb(record)) is not None]
            at_end = self._next >= end or await consumer.position(_PARTITION) >= end
            if batches:
                # First of all: loading what came takes time, in which a publisher need not wonder whether it was written.
                async with self._seen:
                    self._seen.notify_all()
            if versions or (at_end and not self.caught_up.is_set()):
                await self._on_records(versions, at_end)
            if at_end:
                self.caught_up.set()

    def _absorb(self, record: Any) -> Published | None:
        if record.offset < self._next:
            self._forget()
            raise TopicUnavailable("it was made anew")
        self._next = record.offset + 1
        try:
            found = self.log.absorb(record.offset, record.value)
        except InvalidRecord as problem:
            log.warning("the record at offset %d of %s is void: %s", record.offset, Topic.RULESETS.value, problem)
            return None
        if found is None:
            log.info("the record at offset %d of %s is void: it expected another version", record.offset, Topic.RULESETS.value)
        return found

    def _forget(self) -> None:
        log.warning("the topic %s was made anew; reading it from its beginning", Topic.RULESETS.value)
        self.log, self._next = RulesetLog(), 0
        self.caught_up.clear()

    def _knows(self, message_id: str) -> bool:
        try:
            self.log.version_of(message_id)
        except KeyError:
            return False
        return True

    async def _write(self, value: bytes) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            acks="all",
            enable_idempotence=True,
            max_request_size=MAX_RECORD_BYTES,
            request_timeout_ms=int(PUBLISH_SECONDS * 1000),
        )
        try:
            await producer.start()
            await producer.send_and_wait(_PARTITION.topic, value, partition=_PARTITION.partition)
        finally:
            with contextlib.suppress(*_ERRORS):
                async with asyncio.timeout(1.0):
                    await producer.stop()
