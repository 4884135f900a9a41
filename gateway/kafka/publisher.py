"""Publishing events to Kafka: an idempotent producer with acks=all, under a supervisor of our own.

Each event has one of three outcomes: acknowledged (all in-sync replicas have it), rejected (nothing was written), or unknown
(the deadline passed after the producer took it; sending the same message id again is safe).

aiokafka's idempotent producer can die: if a batch expires after its sequence number was assigned, the broker answers
OutOfOrderSequenceNumber forever (aiokafka#1017). So after any failure that is not the event's own fault the producer is
replaced, and no caller ever awaits a future without a deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordTooLargeError

from gateway.background import BackgroundTasks
from gateway.errors import BackendUnavailable
from gateway.kafka.consumers import KAFKA_ERRORS
from gateway.model.events.contribution import Position
from gateway.telemetry import Metrics

REQUEST_TIMEOUT_MS: Final = 10_000
RECONNECT_SECONDS: Final = 0.5
CLOSE_SECONDS: Final = 3.0
ABANDON_SECONDS: Final = 60.0
"""For this long a failed producer may still deliver its events (a frozen broker may thaw). Then they are given up."""
MAX_REQUEST_BYTES: Final = 1_048_576

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OutgoingRecord:
    """A record to be written. Key and value are UTF-8."""

    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """All in-sync replicas have it. The position is None if aiokafka does not know it (a duplicate sequence number)."""

    position: Position | None


@dataclass(frozen=True, slots=True)
class Rejection:
    """Nothing was written."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class UnknownDelivery:
    """The event may or may not be in the log."""


DeliveryOutcome = Acknowledgement | Rejection | UnknownDelivery


class LogUnavailable(BackendUnavailable):
    """No producer is connected, so nothing was written. Retrying later helps."""


class Producer(Protocol):
    """What the publisher needs of aiokafka's producer."""

    async def start(self) -> None:
        """Connect. Raises one of KAFKA_ERRORS."""

    async def stop(self) -> None:
        """Deliver what was sent, and disconnect. Hangs while the broker is frozen."""

    async def send(self, topic: str, value: bytes, *, key: bytes, headers: list[tuple[str, bytes]]) -> Awaitable[Any]:
        """Add a record to a batch; the result is awaited for its metadata."""


MakeProducer = Callable[[str], Producer]
"""Makes a producer that is not connected yet, from the addresses of brokers."""


def make_producer(bootstrap: str) -> Producer:
    """An idempotent producer with acks=all. aiokafka has no types."""
    producer: Producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        enable_idempotence=True,
        linger_ms=0,
        max_batch_size=262_144,
        max_request_size=MAX_REQUEST_BYTES,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        retry_backoff_ms=50,
        metadata_max_age_ms=30_000,
    )
    return producer


class EventPublisher:
    """Publishes records. `start` returns at once; while Kafka is away, `publish` raises `LogUnavailable`."""

    def __init__(self, bootstrap: str, metrics: Metrics, make_producer: MakeProducer = make_producer) -> None:
        self._bootstrap = bootstrap
        self._metrics = metrics
        self._make_producer = make_producer
        self._producer: Producer | None = None
        self._failed = asyncio.Event()
        self._ready = asyncio.Event()
        self._supervisor = BackgroundTasks()
        self._closing = BackgroundTasks()
        self._sends: dict[asyncio.Task[DeliveryOutcome], Producer] = {}

    @property
    def is_ready(self) -> bool:
        """Whether a producer is connected."""
        return self._producer is not None

    def start(self) -> None:
        """Start connecting, in the background."""
        self._supervisor.start(self._supervise())

    async def stop(self) -> None:
        """Flush what is in flight, within a few seconds, and disconnect."""
        await self._supervisor.stop()
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await _close(producer)
        await self._closing.finish(CLOSE_SECONDS)

    async def wait_ready(self, timeout_seconds: float) -> bool:
        """Wait until a producer is connected. False if none is after `timeout_seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._ready.wait()
        return self.is_ready

    async def publish(
        self, records: Sequence[OutgoingRecord], deadline_ms: int, ended: Callable[[], None] = lambda: None
    ) -> list[DeliveryOutcome]:
        """One outcome per record, in order, within `deadline_ms`. Raises `LogUnavailable` if no producer is connected.

        `ended` is called once none of the records is in flight any more: at once, or long after the deadline.
        """
        producer = self._producer
        if producer is None or not records:
            ended()
            if producer is None:
                raise LogUnavailable("the event log is unreachable; nothing was written")
            return []
        started = time.monotonic()
        self._metrics.in_flight.inc(len(records))
        # The sends continue after the deadline, and after the caller hung up: only their results are no longer awaited.
        sends = [asyncio.create_task(self._send(producer, record)) for record in records]
        left = len(sends)

        def sent(send: asyncio.Task[DeliveryOutcome]) -> None:
            nonlocal left
            left -= 1
            del self._sends[send]
            self._metrics.in_flight.dec()
            if not left:
                ended()

        for send in sends:
            self._sends[send] = producer
            send.add_done_callback(sent)
        await asyncio.wait(sends, timeout=deadline_ms / 1000)
        self._metrics.publish_seconds.observe(time.monotonic() - started)
        return [send.result() if send.done() and not send.cancelled() else UnknownDelivery() for send in sends]

    async def _send(self, producer: Producer, record: OutgoingRecord) -> DeliveryOutcome:
        try:
            future = await producer.send(record.topic, record.value, key=record.key, headers=list(record.headers))
        except (MessageSizeTooLargeError, RecordTooLargeError):
            return Rejection("TOO_LARGE", f"the event is larger than {MAX_REQUEST_BYTES} bytes")
        except KafkaError as error:
            # It never reached a batch: the partitions are unknown, or the buffer stayed full.
            self._replace(producer, error)
            return Rejection("UNAVAILABLE", "the event log is unreachable; nothing was written, send the event again")
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever a dying producer raises, the outcome is unknown
            self._replace(producer, error)
            return UnknownDelivery()
        try:
            metadata: Any = await asyncio.shield(future)
        except (MessageSizeTooLargeError, RecordTooLargeError):
            return Rejection("TOO_LARGE", "the event is larger than the event log accepts")
        except Exception as error:  # noqa: BLE001  # see above
            self._replace(producer, error)
            return UnknownDelivery()
        known = metadata is not None and metadata.offset is not None and metadata.offset >= 0
        return Acknowledgement(Position(metadata.topic, metadata.partition, metadata.offset) if known else None)

    def _replace(self, producer: Producer, error: Exception) -> None:
        if producer is self._producer:
            log.warning("the Kafka producer failed (%s); replacing it", type(error).__name__)
            self._producer = None
            self._ready.clear()
            self._closing.start(self._retire(producer))
            self._failed.set()

    async def _retire(self, producer: Producer) -> None:
        await _close(producer)
        sends = [send for send, sender in self._sends.items() if sender is producer]
        if sends:
            _, late = await asyncio.wait(sends, timeout=ABANDON_SECONDS)
            for send in late:
                send.cancel()

    async def _supervise(self) -> None:
        first = True
        while True:
            producer = self._make_producer(self._bootstrap)
            try:
                async with asyncio.timeout(REQUEST_TIMEOUT_MS / 1000):
                    await producer.start()
            except KAFKA_ERRORS as error:
                log.warning("Kafka at %s is unreachable (%s); trying again", self._bootstrap, type(error).__name__)
                await _close(producer)
                await asyncio.sleep(RECONNECT_SECONDS)
                continue
            except BaseException:
                await _close(producer)
                raise
            if not first:
                self._metrics.producer_restarts.inc()
            first = False
            self._failed.clear()
            self._producer = producer
            self._ready.set()
            await self._failed.wait()


async def _close(producer: Producer) -> None:
    """Close a producer that may hang while flushing (its retries never end while a broker is away)."""
    try:
        with contextlib.suppress(*KAFKA_ERRORS):
            async with asyncio.timeout(CLOSE_SECONDS):
                await producer.stop()
    except asyncio.CancelledError:
        # One of aiokafka's own tasks was cancelled, or this one: then the process is stopping.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
