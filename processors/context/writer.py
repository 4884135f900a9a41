"""The context writer: from `context_updates` in Kafka to contexts in Redis.

It handles one poll at a time: a visitor's updates in a poll are absorbed together, with one read and one write. Offsets are
committed only after their updates are stored, once a second and when partitions are revoked: a commit costs a round trip that
no visitor should wait for. After a crash, or if a partition moves on before its poll is finished, updates are delivered again;
absorb ignores them. The process also purges the data of visitors who withdrew consent (`processors.context.purging`).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import logging
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiokafka import AIOKafkaProducer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import start_http_server

from gateway.background import BackgroundTasks
from gateway.clock import NowMs, system_now_ms
from gateway.kafka.consumers import make_consumer
from gateway.model.events.contribution import Position
from gateway.model.events.event import check_record
from gateway.model.events.fields import InvalidEvent
from gateway.model.events.topics import SOURCE_TOPICS, Topic
from gateway.model.times import DAY_MS
from gateway.model.visitors.erasure import Erasures
from gateway.model.visitors.state import Update
from gateway.settings import InvalidSettings, Settings, load_settings
from gateway.store.connection import StoreUnavailable, connect
from gateway.store.purges import PurgeQueue
from gateway.store.state_store import RedisStateStore
from gateway.store.writer import ContextWriter, WriteOutcome
from gateway.telemetry import Metrics, configure_logging, settle_memory
from processors.context.erasure_follower import ErasureFollower
from processors.context.purging import Purger

GROUP: Final = "context-writer"
MAX_POLL: Final = 1000
STORE_TIMEOUT_MS: Final = 10_000
COMMIT_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 0.2
MAX_RETRY_SECONDS: Final = 5.0

log = logging.getLogger(__name__)

_TOPICS: Final = frozenset(topic.value for topic in SOURCE_TOPICS)


class StoppedWhileWaiting(Exception):
    """The process was told to stop while it waited for the store."""


class InvalidUpdate(Exception):
    """A record that cannot become an update: the reason, and the empty update that still advances the visitor's positions."""

    def __init__(self, code: str, message: str, empty: Update | None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.empty = empty


def parse_update(key: bytes | None, value: bytes | None) -> Update:
    """The update in a record of `context_updates`. Raises `InvalidUpdate`."""
    try:
        fields = orjson.loads(value or b"")
        position = Position(fields["topic"], fields["partition"], fields["offset"])
        log_epoch = fields["log_epoch"]
        if position.topic not in _TOPICS or not all(isinstance(n, int) for n in (position.partition, position.offset, log_epoch)):
            raise ValueError("it has no position in the event log")
        visitor_id = (key or b"").decode()
        if not visitor_id:
            raise ValueError("it has no key")
    except (ValueError, KeyError, TypeError) as problem:
        raise InvalidUpdate("MALFORMED", f"not a context update: {problem}", None) from problem
    empty = Update(visitor_id, position, log_epoch, None)
    if fields.get("event") is None:
        return empty
    try:
        event = check_record(fields["event"])
    except InvalidEvent as problem:
        raise InvalidUpdate(problem.code, f"{problem.field}: {problem.message}" if problem.field else problem.message, empty) from problem
    if event.visitor_id != visitor_id:
        raise InvalidUpdate("KEY_MISMATCH", "the key is not the visitor id", empty)
    return Update(visitor_id, position, log_epoch, event)


@dataclass(frozen=True, slots=True)
class WriterParts:
    """What a context writer is connected to. Neither consumer nor producer is started; aiokafka has no types for them."""

    consumer: Any
    producer: Any
    erasures: Erasures
    follower: ErasureFollower
    writer: ContextWriter
    purger: Purger
    close_store: Callable[[], Awaitable[None]]


Connect = Callable[[Settings, Metrics, NowMs], WriterParts]


def connect_parts(settings: Settings, metrics: Metrics, now_ms: NowMs) -> WriterParts:
    """The real parts."""
    redis = connect(settings.redis_url, STORE_TIMEOUT_MS)
    writer = ContextWriter(RedisStateStore(redis, settings.context_retention_days * DAY_MS), now_ms)
    erasures = Erasures(settings.signing_key)
    return WriterParts(
        consumer=make_consumer(
            settings.kafka_bootstrap,
            group=GROUP,
            fetch_max_wait_ms=100,
            max_poll_records=MAX_POLL,
            session_timeout_ms=10_000,
            heartbeat_interval_ms=2_000,
        ),
        producer=AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap, acks="all", enable_idempotence=True),
        erasures=erasures,
        follower=ErasureFollower(make_consumer(settings.kafka_bootstrap, Topic.ERASURES.value), erasures),
        writer=writer,
        purger=Purger(PurgeQueue(redis), writer, metrics, now_ms),
        close_store=redis.aclose,
    )


class ContextWriterProcess:
    """Writes contexts until it is stopped."""

    def __init__(self, settings: Settings, metrics: Metrics, now_ms: NowMs = system_now_ms, connect: Connect = connect_parts) -> None:
        parts = connect(settings, metrics, now_ms)
        self._consumer = parts.consumer
        self._producer = parts.producer
        self._erasures = parts.erasures
        self._follower = parts.follower
        self._writer = parts.writer
        self._purger = parts.purger
        self._close_store = parts.close_store
        self._metrics = metrics
        self._stop = asyncio.Event()
        self._tasks = BackgroundTasks()
        self._finished: dict[TopicPartition, int] = {}

    def stop(self) -> None:
        """Finish the current poll and end `run`."""
        self._stop.set()

    async def run(self) -> None:
        """Consume until `stop`. Raises KafkaError if no broker can be reached at the start."""
        self._tasks.start(self._commit_regularly())
        try:
            await self._producer.start()
            await self._follower.start()
            self._consumer.subscribe([Topic.CONTEXT_UPDATES.value], listener=_CommitOnRevoke(self))
            await self._consumer.start()
            self._purger.start()
            settle_memory()
            stopping = self._tasks.start(self._stop.wait())
            while not self._stop.is_set():
                polling = asyncio.create_task(self._consumer.getmany(timeout_ms=500))
                await asyncio.wait((polling, stopping), return_when=asyncio.FIRST_COMPLETED)
                if not polling.done():
                    polling.cancel()
                    break
                batches: dict[Any, list[ConsumerRecord]] = polling.result()
                records = [record for batch in batches.values() for record in batch]
                if records:
                    await self._process(records)
                    self._finished.update({partition: batch[-1].offset + 1 for partition, batch in batches.items()})
        finally:
            await self._purger.stop()
            await self._tasks.stop()
            await self.commit()
            await self._consumer.stop()
            await self._follower.stop()
            await self._producer.stop()
            await self._close_store()

    async def _process(self, records: list[ConsumerRecord]) -> None:
        updates: list[Update] = []
        origins: dict[Position, ConsumerRecord] = {}
        for record in records:
            try:
                update = parse_update(record.key, record.value)
                origins[update.position] = record
                updates.append(update)
            except InvalidUpdate as problem:
                await self._dead_letter(record, problem.code, problem.message)
                if problem.empty is not None:
                    updates.append(problem.empty)
        applied = await self._apply(self._erasures.apply(updates))
        for refused in applied.refused:
            await self._dead_letter(origins[refused.update.position], refused.code, refused.message)
        for outcome in ("fresh", "duplicates", "below_seal", "erased"):
            self._metrics.absorbed.labels(outcome).inc(getattr(applied.absorbed, outcome))
        for outcome in ("written", "unchanged", "conflicts"):
            self._metrics.writes.labels(outcome).inc(getattr(applied, outcome))

    async def _apply(self, updates: list[Update]) -> WriteOutcome:
        """Store the updates, however long the store is away.

        Raises StoppedWhileWaiting: then nothing of the poll is committed, and it is delivered again.
        """
        wait_seconds = RETRY_SECONDS
        while True:
            try:
                return await self._writer.apply(updates)
            except StoreUnavailable as problem:
                log.warning("%s; trying again in %.1f s", problem, wait_seconds)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await self._stop.wait()
                raise StoppedWhileWaiting
            wait_seconds = min(2 * wait_seconds, MAX_RETRY_SECONDS)

    async def _commit_regularly(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            await self.commit()

    async def commit(self) -> None:
        """Commit the offsets of stored updates in partitions that are still assigned to this process."""
        finished, self._finished = self._finished, {}
        assigned = {partition: offset for partition, offset in finished.items() if partition in self._consumer.assignment()}
        try:
            if assigned:
                await self._consumer.commit(assigned)
        except (KafkaError, ValueError) as problem:
            # The partitions were reassigned, or the broker is away: their next owner receives the updates again.
            log.warning("offsets could not be committed (%s); the updates will be delivered again", type(problem).__name__)

    async def _dead_letter(self, record: ConsumerRecord, code: str, message: str) -> None:
        """Write a record that could not be processed to the dead letters, with its position in the event log if that is known."""
        self._metrics.dead_letters.labels(code).inc()
        try:
            fields = orjson.loads(record.value or b"")
            position = {name: fields[name] for name in ("topic", "partition", "offset")}
        except (ValueError, KeyError, TypeError):
            position = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        letter = {
            **position,
            "stage": "context-writer",
            "code": code,
            "message": message,
            "key_base64": base64.b64encode(record.key or b"").decode(),
            "value_base64": base64.b64encode(record.value or b"").decode(),
            "at_ms": record.timestamp,
        }
        await self._producer.send_and_wait(Topic.DEAD_LETTERS.value, orjson.dumps(letter), key=record.key)
        log.warning("dead letter from %s/%s at %s: %s", position["topic"], position["partition"], position["offset"], code)


class _CommitOnRevoke(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Commits the offsets of stored updates before a partition goes to another writer."""

    def __init__(self, process: ContextWriterProcess) -> None:
        self._process = process

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        await self._process.commit()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        log.info("context writer ready: %d partitions", len(assigned))


async def _run_until_signalled(settings: Settings, metrics: Metrics) -> int:
    process = ContextWriterProcess(settings, metrics)
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, process.stop)
    started = time.monotonic()
    try:
        await process.run()
    except StoppedWhileWaiting:
        return 0
    except (KafkaError, TimeoutError) as problem:
        log.error("context writer: Kafka at %s failed: %s; start it again when the broker answers", settings.kafka_bootstrap, problem)
        return 1
    log.info("context writer stopped after %.0f s", time.monotonic() - started)
    return 0


def run_context_writer(arguments: argparse.Namespace) -> int:
    """Run the context writer until SIGTERM or SIGINT; returns the exit code."""
    try:
        settings = load_settings()
    except InvalidSettings as problem:
        print(f"processors: {problem}", file=sys.stderr)
        return 2
    configure_logging(settings.log_level)
    metrics = Metrics()
    if arguments.metrics_port:
        try:
            start_http_server(arguments.metrics_port, addr="127.0.0.1", registry=metrics.registry)
        except OSError as problem:
            print(f"processors: --metrics-port {arguments.metrics_port}: {problem.strerror}; choose another port", file=sys.stderr)
            return 2
    return asyncio.run(_run_until_signalled(settings, metrics))
