"""The topic `rulesets`: every process follows it from its start, without a consumer group, and may write to it.

The topic is small and kept forever. After a lost connection reading continues where it stopped. If the topic was
re-created, it is read from its start again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiokafka import AIOKafkaProducer, TopicPartition

from gateway.errors import BackendUnavailable
from gateway.kafka.consumers import CONNECT_SECONDS, KAFKA_ERRORS, open_consumer
from gateway.model.events.topics import Topic
from gateway.model.rulesets.versions import InvalidRecord, PublishedVersion, RulesetLog, RulesetRecord, decode_record

MAX_RECORD_BYTES: Final = 4 * 1024 * 1024
RETRY_SECONDS: Final = 0.5
READ_SECONDS: Final = 5.0
PUBLISH_SECONDS: Final = 5.0
_PARTITION: Final = TopicPartition(Topic.RULESETS.value, 0)

OnVersions = Callable[[list[PublishedVersion], bool], Awaitable[None]]
"""Called with the new versions of each poll, oldest first, and whether the end of the topic was reached."""

log = logging.getLogger(__name__)


class TopicUnavailable(BackendUnavailable):
    """Kafka does not answer, or the topic does not exist. After a publish: the record may or may not have been written."""


class RulesetTopic:
    """One follower of the topic. `follow` is a task that runs as long as the process."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._next_offset = 0
        self._records_seen = asyncio.Condition()
        self.log = RulesetLog()
        self.caught_up = asyncio.Event()
        """Set once the topic was read to its end."""

    async def follow(self, on_versions: OnVersions) -> None:
        """Follow the topic until cancelled."""
        logged: str | None = None
        while True:
            try:
                async with self._consumer() as consumer:
                    await self._read_on(consumer, on_versions)
            except (*KAFKA_ERRORS, TopicUnavailable) as error:
                reason = str(error) if isinstance(error, TopicUnavailable) else type(error).__name__
                if reason != logged:
                    log.warning("the topic %s cannot be followed (%s); trying again", Topic.RULESETS.value, reason)
                logged = reason
            await asyncio.sleep(RETRY_SECONDS)

    async def publish(self, record: RulesetRecord) -> int | None:
        """Write a record. Returns the version it became, or None if it is void. Raises `TopicUnavailable`."""
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                await self._write(record.encode())
                async with self._records_seen:
                    await self._records_seen.wait_for(lambda: self._knows(record.message_id))
        except KAFKA_ERRORS as error:
            raise TopicUnavailable("the event log did not confirm the ruleset; it may or may not have been published") from error
        return self.log.version_of(record.message_id)

    async def read(self, version: int) -> PublishedVersion | None:
        """A version, read from the topic. None if its place in the topic is unknown. Raises `TopicUnavailable`."""
        offset = self.log.offset_of(version)
        if offset is None:
            return None
        try:
            async with asyncio.timeout(READ_SECONDS), self._consumer() as consumer:
                consumer.assign([_PARTITION])
                consumer.seek(_PARTITION, offset)
                message = await consumer.getone(_PARTITION)
            record = decode_record(message.value)
        except (*KAFKA_ERRORS, InvalidRecord) as error:
            raise TopicUnavailable(f"version {version} cannot be read from the event log") from error
        return PublishedVersion(version, record.yaml, record.published_at_ms, offset, record.text_format)

    def _consumer(self) -> contextlib.AbstractAsyncContextManager[Any]:
        return open_consumer(self._bootstrap, max_partition_fetch_bytes=MAX_RECORD_BYTES)

    async def _read_on(self, consumer: Any, on_versions: OnVersions) -> None:
        """Read from where the last connection stopped, and never return."""
        async with asyncio.timeout(CONNECT_SECONDS):
            if Topic.RULESETS.value not in await consumer.topics():
                raise TopicUnavailable("the topic does not exist; create it with one partition and unlimited retention")
            consumer.assign([_PARTITION])
            end = (await consumer.end_offsets([_PARTITION]))[_PARTITION]
        if self._next_offset > end:
            self._start_over()
        consumer.seek(_PARTITION, self._next_offset)
        while True:
            batches = await consumer.getmany(_PARTITION, timeout_ms=1000 if self.caught_up.is_set() else 100)
            versions = [version for record in batches.get(_PARTITION, ()) if (version := self._absorb(record)) is not None]
            at_end = self._next_offset >= end or await consumer.position(_PARTITION) >= end
            if batches:
                # Before the versions are loaded: that takes time, in which a publisher should not doubt its own write.
                async with self._records_seen:
                    self._records_seen.notify_all()
            if versions or (at_end and not self.caught_up.is_set()):
                await on_versions(versions, at_end)
            if at_end:
                self.caught_up.set()

    def _absorb(self, record: Any) -> PublishedVersion | None:
        if record.offset < self._next_offset:
            self._start_over()
            raise TopicUnavailable("it was re-created")
        self._next_offset = record.offset + 1
        try:
            version = self.log.absorb(record.offset, record.value)
        except InvalidRecord as problem:
            log.warning("the record at offset %d of %s is void: %s", record.offset, Topic.RULESETS.value, problem)
            return None
        if version is None:
            log.info("the record at offset %d of %s is void: it expected another version", record.offset, Topic.RULESETS.value)
        return version

    def _start_over(self) -> None:
        log.warning("the topic %s was re-created; reading it from its start", Topic.RULESETS.value)
        self.log, self._next_offset = RulesetLog(), 0
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
            with contextlib.suppress(*KAFKA_ERRORS):
                async with asyncio.timeout(1.0):
                    await producer.stop()
