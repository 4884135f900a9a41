"""The publisher over producers that die, hang, expire and come back: no false answer, and nobody waits beyond the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NotLeaderForPartitionError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    RecordTooLargeError,
)

from gateway.kafka.publisher import (
    ABANDON_SECONDS,
    CLOSE_SECONDS,
    MAX_REQUEST_BYTES,
    RECONNECT_SECONDS,
    REQUEST_TIMEOUT_MS,
    Acknowledgement,
    DeliveryOutcome,
    EventPublisher,
    LogUnavailable,
    OutgoingRecord,
    Rejection,
    UnknownDelivery,
)
from gateway.model.events.contribution import Position
from gateway.telemetry import Metrics
from tests.support.memory.producer import MemoryProducer
from tests.support.virtual_time import START_MS, now_ms

DEADLINE_MS = 3_000
AT_ONCE_SECONDS = 0.001
TOPIC = "user_actions"


class Kafka:
    """The publisher, and the producers that it made so far. `prepare` is called with each before it is started."""

    def __init__(self) -> None:
        self.producers: list[MemoryProducer] = []
        self.metrics = Metrics()
        self.prepare: Callable[[MemoryProducer], object] = lambda _: None
        self.publisher = EventPublisher("broker:9092", self.metrics, self._make)
        self.ended = 0

    @property
    def producer(self) -> MemoryProducer:
        """The latest."""
        return self.producers[-1]

    def _make(self, bootstrap: str) -> MemoryProducer:
        assert bootstrap == "broker:9092"
        producer = MemoryProducer()
        self.prepare(producer)
        self.producers.append(producer)
        return producer

    async def publish(self, *values: bytes) -> list[DeliveryOutcome]:
        records = [OutgoingRecord(TOPIC, b"visitor", value, ()) for value in values]
        return await self.publisher.publish(records, DEADLINE_MS, self._end)

    def publishing(self, *values: bytes) -> asyncio.Task[list[DeliveryOutcome]]:
        return asyncio.create_task(self.publish(*values))

    def _end(self) -> None:
        self.ended += 1

    def metric(self, name: str) -> float:
        return self.metrics.registry.get_sample_value(name) or 0.0


@pytest.fixture
async def kafka() -> AsyncIterator[Kafka]:
    """Connected."""
    kafka = Kafka()
    kafka.publisher.start()
    assert await kafka.publisher.wait_ready(1)
    yield kafka
    for producer in kafka.producers:
        producer.deliver()
    await kafka.publisher.stop()


def seconds() -> float:
    return (now_ms() - START_MS) / 1000


# One record


async def test_what_is_written_is_acknowledged_with_its_position(kafka: Kafka) -> None:
    """In order; while it is in flight it is counted as such."""
    kafka.producer.is_frozen = True
    publishing = kafka.publishing(b"1", b"2")
    await asyncio.sleep(AT_ONCE_SECONDS)
    assert (kafka.metric("gateway_events_in_flight"), kafka.ended) == (2, 0)
    kafka.producer.deliver()
    assert await publishing == [Acknowledgement(Position(TOPIC, 0, 0)), Acknowledgement(Position(TOPIC, 0, 1))]
    assert (kafka.metric("gateway_events_in_flight"), kafka.ended) == (0, 1)
    assert [(sent.key, sent.value) for sent in kafka.producer.written] == [(b"visitor", b"1"), (b"visitor", b"2")]


async def test_a_duplicate_is_acknowledged_without_a_position(kafka: Kafka) -> None:
    """Kafka has it, and does not say where (DuplicateSequenceNumber): aiokafka gives the offset -1."""
    kafka.producer.is_frozen = True
    publishing = kafka.publishing(b"1")
    await asyncio.sleep(AT_ONCE_SECONDS)
    kafka.producer.deliver(are_duplicates=True)
    assert await publishing == [Acknowledgement(None)]


@pytest.mark.parametrize("is_too_large_for_broker", [False, True])
async def test_a_record_that_is_too_large_is_its_own_fault(kafka: Kafka, is_too_large_for_broker: bool) -> None:
    """Whether the producer or the broker finds out. The producer stays."""
    if is_too_large_for_broker:
        kafka.producer.is_frozen = True
        publishing = kafka.publishing(b"1")
        await asyncio.sleep(AT_ONCE_SECONDS)
        kafka.producer.expire(RecordTooLargeError())
        (outcome,) = await publishing
    else:
        (outcome,) = await kafka.publish(b"x" * (MAX_REQUEST_BYTES + 1))
    assert isinstance(outcome, Rejection)
    assert outcome.code == "TOO_LARGE"
    assert (len(kafka.producers), kafka.publisher.is_ready) == (1, True)


@pytest.mark.parametrize("error", [KafkaTimeoutError(), ProducerClosed()])
async def test_what_reached_no_batch_is_rejected(kafka: Kafka, error: KafkaError) -> None:
    """The buffer stayed full, or the producer was closed: nothing was written. The producer is replaced."""
    kafka.producer.sending.fail(error)
    (outcome,) = await kafka.publish(b"1")
    assert isinstance(outcome, Rejection)
    assert outcome.code == "UNAVAILABLE"
    await replaced(kafka)


async def replaced(kafka: Kafka, producers: int = 2) -> None:
    """The old producer is closed, and the new one writes."""
    await asyncio.sleep(AT_ONCE_SECONDS)
    assert len(kafka.producers) == producers
    assert [producer.is_stopped for producer in kafka.producers[:-1]] == [True] * (producers - 1)
    assert kafka.metric("gateway_producer_restarts_total") == producers - 1
    assert isinstance((await kafka.publish(b"next"))[0], Acknowledgement)


@pytest.mark.parametrize("error", [NotLeaderForPartitionError(), OSError(), RuntimeError("a defect of the producer")])
async def test_a_batch_that_expired_is_unknown(kafka: Kafka, error: Exception) -> None:
    """It may have been written before its answer got lost. The producer is replaced, whatever it raises."""
    kafka.producer.is_frozen = True
    publishing = kafka.publishing(b"1", b"2")
    await asyncio.sleep(AT_ONCE_SECONDS)
    kafka.producer.expire(error)
    assert await publishing == [UnknownDelivery(), UnknownDelivery()]
    assert kafka.ended == 1
    await replaced(kafka)


async def test_a_send_that_fails_unexpectedly_is_unknown(kafka: Kafka) -> None:
    """As one by an assertion of aiokafka: nobody knows how far it came."""
    kafka.producer.sending.fail(AssertionError())
    assert await kafka.publish(b"1") == [UnknownDelivery()]
    await replaced(kafka)


# A producer that dies


async def test_a_dying_producer_is_replaced(kafka: Kafka) -> None:
    """After OutOfOrderSequenceNumber it would never write again. What was in flight is unknown, what comes next is written."""
    kafka.producer.is_frozen = True
    publishing = [kafka.publishing(b"1"), kafka.publishing(b"2", b"3")]
    await asyncio.sleep(AT_ONCE_SECONDS)
    kafka.producer.die(OutOfOrderSequenceNumber())
    assert await asyncio.gather(*publishing) == [[UnknownDelivery()], [UnknownDelivery(), UnknownDelivery()]]
    await replaced(kafka)


async def test_a_send_into_a_dead_producer_is_rejected(kafka: Kafka) -> None:
    """It raises what the producer died of, before the record reaches a batch."""
    kafka.producer.die(OutOfOrderSequenceNumber())
    (outcome,) = await kafka.publish(b"1")
    assert isinstance(outcome, Rejection)
    await replaced(kafka)


async def test_until_the_next_producer_is_connected_the_log_is_unavailable(kafka: Kafka) -> None:
    """Nothing is handed to the old one."""
    kafka.prepare = lambda producer: producer.starting.freeze()
    kafka.producer.die(OutOfOrderSequenceNumber())
    await kafka.publish(b"1")
    with pytest.raises(LogUnavailable):
        await kafka.publish(b"2")
    assert (kafka.publisher.is_ready, await kafka.publisher.wait_ready(1), seconds()) == (False, False, 1)
    kafka.producer.starting.recover()
    assert await kafka.publisher.wait_ready(1)
    assert isinstance((await kafka.publish(b"3"))[0], Acknowledgement)


async def test_many_failures_at_once_replace_the_producer_once(kafka: Kafka) -> None:
    """Each caller meets the same dead producer."""
    kafka.producer.die(OutOfOrderSequenceNumber())
    await asyncio.gather(*(kafka.publish(b"1") for _ in range(20)))
    await replaced(kafka)


async def test_a_replaced_producer_may_still_deliver(kafka: Kafka) -> None:
    """One record failed at its buffer, another one is on its way: a frozen broker may thaw."""
    kafka.producer.is_frozen = True
    old, publishing = kafka.producer, kafka.publishing(b"1")
    await asyncio.sleep(AT_ONCE_SECONDS)
    old.sending.fail(KafkaTimeoutError())
    await kafka.publish(b"2")
    await asyncio.sleep(1)
    old.deliver()
    assert await publishing == [Acknowledgement(Position(TOPIC, 0, 0))]


async def test_what_a_replaced_producer_does_not_deliver_is_given_up(kafka: Kafka) -> None:
    """After a minute, so that it does not count as in flight forever."""
    kafka.producer.is_frozen = True
    old, publishing = kafka.producer, kafka.publishing(b"1")
    await asyncio.sleep(AT_ONCE_SECONDS)
    old.sending.fail(KafkaTimeoutError())
    await kafka.publish(b"2")
    assert await publishing == [UnknownDelivery()]
    await asyncio.sleep(ABANDON_SECONDS - DEADLINE_MS / 1000)
    assert kafka.metric("gateway_events_in_flight") == 1
    await asyncio.sleep(CLOSE_SECONDS + 1)
    assert (kafka.metric("gateway_events_in_flight"), kafka.ended) == (0, 2)


# Waiting


async def test_nobody_waits_beyond_the_deadline(kafka: Kafka) -> None:
    """For a frozen broker. The producer is not replaced, because it may still deliver: then nothing is in flight any more."""
    kafka.producer.is_frozen = True
    assert await kafka.publish(b"1") == [UnknownDelivery()]
    assert (seconds(), kafka.metric("gateway_events_in_flight"), kafka.ended) == (3, 1, 0)
    kafka.producer.deliver()
    await asyncio.sleep(AT_ONCE_SECONDS)
    assert (kafka.metric("gateway_events_in_flight"), kafka.ended, len(kafka.producers)) == (0, 1, 1)


async def test_a_send_that_hangs_is_unknown_at_the_deadline(kafka: Kafka) -> None:
    """It waits for metadata, and may go on later."""
    kafka.producer.sending.freeze()
    assert await kafka.publish(b"1") == [UnknownDelivery()]
    assert (seconds(), kafka.ended) == (3, 0)
    kafka.producer.sending.recover()
    await asyncio.sleep(AT_ONCE_SECONDS)
    assert ([sent.value for sent in kafka.producer.written], kafka.ended) == ([b"1"], 1)


async def test_of_a_batch_only_what_is_late_is_unknown(kafka: Kafka) -> None:
    """The others have their outcomes."""
    kafka.producer.sending.let_pass(1)
    kafka.producer.sending.fail(KafkaTimeoutError())
    first, second = await kafka.publish(b"1", b"2")
    assert isinstance(first, Acknowledgement)
    assert isinstance(second, Rejection)


async def test_a_caller_that_hangs_up_takes_nothing_back(kafka: Kafka) -> None:
    """Its record is written, and then no longer in flight."""
    kafka.producer.is_frozen = True
    publishing = kafka.publishing(b"1")
    await asyncio.sleep(AT_ONCE_SECONDS)
    publishing.cancel()
    await asyncio.wait([publishing])
    assert kafka.ended == 0
    kafka.producer.deliver()
    await asyncio.sleep(AT_ONCE_SECONDS)
    assert (len(kafka.producer.written), kafka.ended) == (1, 1)


async def test_without_records_nothing_is_sent(kafka: Kafka) -> None:
    """And nothing is in flight."""
    assert await kafka.publish() == []
    assert kafka.ended == 1


# The start and the end


async def test_before_a_broker_answers_the_log_is_unavailable() -> None:
    """It is asked again until it does."""
    kafka = Kafka()
    kafka.prepare = lambda producer: producer.starting.stay_away(KafkaConnectionError())
    kafka.publisher.start()
    assert not await kafka.publisher.wait_ready(4 * RECONNECT_SECONDS)
    with pytest.raises(LogUnavailable):
        await kafka.publish(b"1")
    assert (kafka.ended, len(kafka.producers)) == (1, 4)
    assert all(producer.is_stopped for producer in kafka.producers[:-1])
    kafka.prepare = lambda _: None
    assert await kafka.publisher.wait_ready(RECONNECT_SECONDS)
    assert kafka.metric("gateway_producer_restarts_total") == 0
    await kafka.publisher.stop()


async def test_a_start_that_hangs_is_given_up() -> None:
    """And another producer is made."""
    kafka = Kafka()
    kafka.prepare = lambda producer: producer.starting.freeze()
    kafka.publisher.start()
    await asyncio.sleep(AT_ONCE_SECONDS)
    kafka.prepare = lambda _: None
    assert await kafka.publisher.wait_ready(REQUEST_TIMEOUT_MS / 1000 + RECONNECT_SECONDS)
    assert kafka.producers[0].is_stopped
    await kafka.publisher.stop()


async def test_a_stop_during_the_start_closes_the_producer() -> None:
    """No connection is left behind."""
    kafka = Kafka()
    kafka.prepare = lambda producer: producer.starting.freeze()
    kafka.publisher.start()
    await asyncio.sleep(AT_ONCE_SECONDS)
    await kafka.publisher.stop()
    assert (kafka.producer.is_stopped, kafka.publisher.is_ready) == (True, False)


@pytest.mark.parametrize("turns", range(12))
async def test_a_stop_is_not_missed_while_a_failed_producer_is_closed(turns: int) -> None:
    """Whichever step it comes at: otherwise the process would connect again, and never stop."""
    kafka = Kafka()
    kafka.prepare = lambda producer: producer.starting.stay_away(KafkaConnectionError())
    kafka.publisher.start()
    for _ in range(turns):
        await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await kafka.publisher.stop()
    made = len(kafka.producers)
    await asyncio.sleep(10 * RECONNECT_SECONDS)
    assert (len(kafka.producers), kafka.publisher.is_ready) == (made, False)


async def test_a_stop_flushes_what_is_in_flight(kafka: Kafka) -> None:
    """The senders get their outcomes."""
    kafka.producer.is_frozen = True
    publishing = kafka.publishing(b"1")
    await asyncio.sleep(AT_ONCE_SECONDS)
    stopping = asyncio.create_task(kafka.publisher.stop())
    await asyncio.sleep(1)
    assert not stopping.done()
    with pytest.raises(LogUnavailable):
        await kafka.publish(b"2")
    kafka.producer.deliver()
    await stopping
    assert await publishing == [Acknowledgement(Position(TOPIC, 0, 0))]
    assert kafka.producer.is_stopped


async def test_a_stop_does_not_wait_for_a_frozen_broker(kafka: Kafka) -> None:
    """A few seconds, and then the process ends."""
    kafka.producer.is_frozen = True
    publishing = kafka.publishing(b"1")
    await asyncio.sleep(AT_ONCE_SECONDS)
    await kafka.publisher.stop()
    assert seconds() == pytest.approx(CLOSE_SECONDS + AT_ONCE_SECONDS)
    assert await publishing == [UnknownDelivery()]
