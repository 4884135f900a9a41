"""Publishing events to Kafka: an idempotent producer with acks=all, under a supervisor of ours.

Three outcomes for each event, as in a recorded history: published (all in-sync replicas have it), refused (nothing was
written), unknown (the deadline passed after it was handed over; sending the same message id again is safe).

aiokafka's idempotent producer can die: a batch that expires after its sequence number was taken makes the broker answer
OutOfOrderSequenceNumber for ever (aiokafka#1017). So any failure that is not the event's own makes the producer anew, and
nobody ever waits for a future without a deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordTooLargeError

from gateway.model.events.contribution import Position
from gateway.telemetry import Metrics

REQUEST_TIMEOUT_MS: Final = 10_000
RESTART_SECONDS: Final = 0.5
CLOSE_SECONDS: Final = 3.0
ABANDON_SECONDS: Final = 60.0
"""So long after its failure a producer may still bring its events through (a broker thaws); then nobody waits for them."""
MAX_REQUEST_BYTES: Final = 1_048_576

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OutgoingRecord:
    """A record for the log. Key and value are UTF-8."""

    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """All in-sync replicas have it. The position is None where aiokafka does not know it (a duplicate sequence number)."""

    position: Position | None


@dataclass(frozen=True, slots=True)
class Rejection:
    """Nothing was written."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class UnknownDelivery:
    """It may or may not be in the log."""


DeliveryOutcome = Acknowledgement | Rejection | UnknownDelivery


class LogUnavailable(Exception):
    """No producer is connected: nothing was handed over. Retrying later helps."""


class EventPublisher:
    """Publishes records. `start` returns at once; while Kafka is away, `publish` raises `LogUnavailable`."""

    def __init__(self, bootstrap: str, metrics: Metrics) -> None:
        self._bootstrap = bootstrap
        self._metrics = metrics
        self._producer: AIOKafkaProducer | None = None
        self._failed = asyncio.Event()
        self._ready = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._sends: dict[asyncio.Task[DeliveryOutcome], AIOKafkaProducer] = {}

    @property
    def is_ready(self) -> bool:
        """Whether a producer is connected."""
        return self._producer is not None

    def start(self) -> None:
        """Begin to connect, in the background."""
        self._supervisor = asyncio.create_task(self._supervise())

    async def stop(self) -> None:
        """Flush what was handed over, within a few seconds, and disconnect."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervisor
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await _close(producer)
        if self._closing:
            _, late = await asyncio.wait(self._closing, timeout=CLOSE_SECONDS)
            for task in late:
                task.cancel()

    async def wait_ready(self, timeout_seconds: float) -> bool:
        """Wait for a connected producer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._ready.wait()
        return self.is_ready

    async def publish(
        self, records: Sequence[OutgoingRecord], deadline_ms: int, ended: Callable[[], None] = lambda: None
    ) -> list[DeliveryOutcome]:
        """One outcome for each record, in order, within `deadline_ms`. Raises `LogUnavailable` when nothing was handed over.

        `ended` is called when nothing of the records is on its way any more: at once, or long after the deadline.
        """
        producer = self._producer
        if producer is None or not records:
            ended()
            if producer is None:
                raise LogUnavailable("the event log cannot be reached; nothing was written")
            return []
        started = time.monotonic()
        self._metrics.in_flight.inc(len(records))
        # The sends go on after the deadline and after a caller that hung up: only their answers are no longer waited for.
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

    async def _send(self, producer: AIOKafkaProducer, record: OutgoingRecord) -> DeliveryOutcome:
        try:
            future = await producer.send(record.topic, record.value, key=record.key, headers=list(record.headers))
        except (MessageSizeTooLargeError, RecordTooLargeError):
            return Rejection("TOO_LARGE", f"the event has more than {MAX_REQUEST_BYTES} bytes")
        except KafkaError as error:
            # It never reached a batch: the partitions are not known, or the buffer stayed full.
            self._suspect(producer, error)
            return Rejection("UNAVAILABLE", "the event log cannot be reached; nothing was written, send the event again")
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever a dying producer raises, the answer is "unknown"
            self._suspect(producer, error)
            return UnknownDelivery()
        try:
            metadata: Any = await asyncio.shield(future)
        except (MessageSizeTooLargeError, RecordTooLargeError):
            return Rejection("TOO_LARGE", "the event is larger than the event log takes")
        except Exception as error:  # noqa: BLE001  # see above
            self._suspect(producer, error)
            return UnknownDelivery()
        known = metadata is not None and metadata.offset is not None and metadata.offset >= 0
        return Acknowledgement(Position(metadata.topic, metadata.partition, metadata.offset) if known else None)

    def _suspect(self, producer: AIOKafkaProducer, error: Exception) -> None:
        if producer is self._producer:
            log.warning("the Kafka producer failed (%s); making a new one", type(error).__name__)
            self._producer = None
            self._ready.clear()
            closing = asyncio.create_task(self._retire(producer))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            self._failed.set()

    async def _retire(self, producer: AIOKafkaProducer) -> None:
        await _close(producer)
        sends = [send for send, through in self._sends.items() if through is producer]
        if sends:
            _, lost = await asyncio.wait(sends, timeout=ABANDON_SECONDS)
            for send in lost:
                send.cancel()

    async def _supervise(self) -> None:
        first = True
        while True:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._bootstrap,
                acks="all",
                enable_idempotence=True,
                linger_ms=0,
                max_batch_size=262_144,
                max_request_size=MAX_REQUEST_BYTES,
                request_timeout_ms=REQUEST_TIMEOUT_MS,
                retry_backoff_ms=50,
                metadata_max_age_ms=30_000,
            )
            try:
                async with asyncio.timeout(REQUEST_TIMEOUT_MS / 1000):
                    await producer.start()
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("Kafka at %s cannot be reached (%s); trying again", self._bootstrap, type(error).__name__)
                await _close(producer)
                await asyncio.sleep(RESTART_SECONDS)
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


async def _close(producer: AIOKafkaProducer) -> None:
    """Close a producer that may hang in its flush (its retries never end while a broker is away)."""
    with contextlib.suppress(KafkaError, OSError, TimeoutError, asyncio.CancelledError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await producer.stop()
