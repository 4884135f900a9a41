"""The event log as those who write to it see it: order, positions, and what goes wrong on the way."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

import pytest
from aiokafka import TopicPartition

from gateway.kafka.consumers import open_consumer
from gateway.kafka.publisher import (
    MAX_REQUEST_BYTES,
    Acknowledgement,
    DeliveryOutcome,
    EventPublisher,
    LogUnavailable,
    OutgoingRecord,
    Rejection,
    UnknownDelivery,
)
from gateway.model.events.contribution import Position
from gateway.services.ports import EventLog
from gateway.telemetry import Metrics
from tests.contracts.sides import BOTH_SIDES, DEADLINE_S, MEANWHILE_S, NOWHERE, new_id, stack_of, until
from tests.support.memory.event_log import MemoryEventLog

TOPIC = "user_actions"
DEADLINE_MS = int(DEADLINE_S * 1000)


@dataclass(frozen=True)
class Side:
    """The log; `value_at` reads a record, `frozen` freezes the log for the length of a block."""

    log: EventLog
    value_at: Callable[[Position], Awaitable[bytes]]
    frozen: Callable[[], contextlib.AbstractContextManager[None]]


@pytest.fixture(params=BOTH_SIDES)
async def side(request: pytest.FixtureRequest) -> AsyncIterator[Side]:
    if request.param == "memory":
        memory = MemoryEventLog()

        async def value_at(position: Position) -> bytes:
            return memory.partitions[position.topic, position.partition][position.offset].value

        yield Side(memory, value_at, lambda: _frozen_memory(memory))
        return
    stack = stack_of(request)
    bootstrap, pid = stack.wiring.bootstrap, stack.info().kafka.pid
    assert pid is not None
    publisher = EventPublisher(bootstrap, Metrics())
    publisher.start()
    assert await publisher.wait_ready(DEADLINE_S)
    yield Side(publisher, lambda position: _value_at(bootstrap, position), lambda: _stopped(pid))
    await publisher.stop()


@contextlib.contextmanager
def _frozen_memory(log: MemoryEventLog) -> Iterator[None]:
    log.writing.freeze()
    try:
        yield
    finally:
        log.writing.recover()


@contextlib.contextmanager
def _stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def _value_at(bootstrap: str, position: Position) -> bytes:
    partition = TopicPartition(position.topic, position.partition)
    async with asyncio.timeout(DEADLINE_S), open_consumer(bootstrap) as consumer:
        consumer.assign([partition])
        consumer.seek(partition, position.offset)
        value: bytes = (await consumer.getone(partition)).value
        return value


@pytest.fixture(params=BOTH_SIDES)
async def away(request: pytest.FixtureRequest) -> AsyncIterator[EventLog]:
    """A log that is away."""
    if request.param == "memory":
        memory = MemoryEventLog()
        memory.is_away = True
        yield memory
        return
    publisher = EventPublisher(NOWHERE, Metrics())
    publisher.start()
    yield publisher
    await publisher.stop()


@dataclass
class Ended:
    """Counts how often it is called."""

    times: int = 0

    def __call__(self) -> None:
        self.times += 1


def record(key: str, value: bytes = b"{}", topic: str = TOPIC) -> OutgoingRecord:
    return OutgoingRecord(topic, key.encode(), value, (("ce_id", b"1"),))


async def published(side: Side, *records: OutgoingRecord, deadline_ms: int = DEADLINE_MS) -> list[DeliveryOutcome]:
    return await side.log.publish(records, deadline_ms)


def position_of(outcome: DeliveryOutcome) -> Position:
    assert isinstance(outcome, Acknowledgement)
    assert outcome.position is not None
    return outcome.position


async def test_an_acknowledged_record_stands_at_its_position(side: Side) -> None:
    """In the topic that it was sent to."""
    key = new_id()
    for topic in ("user_actions", "page_views"):
        (outcome,) = await published(side, record(key, topic.encode(), topic))
        position = position_of(outcome)
        assert (position.topic, await side.value_at(position)) == (topic, topic.encode())


async def test_records_of_one_key_keep_their_order(side: Side) -> None:
    """Within a batch and from one batch to the next: in one partition, at growing positions."""
    key = new_id()
    values = [f"{number}".encode() for number in range(30)]
    outcomes: list[DeliveryOutcome] = []
    for start in range(0, 30, 10):
        outcomes += await published(side, *(record(key, value) for value in values[start : start + 10]))
    positions = [position_of(outcome) for outcome in outcomes]
    assert len({position.partition for position in positions}) == 1
    offsets = [position.offset for position in positions]
    assert offsets == sorted(set(offsets))
    for index in (0, 9, 10, 29):
        assert await side.value_at(positions[index]) == values[index]


async def test_batches_at_once_keep_the_order_of_their_calls(side: Side) -> None:
    """The second call begins before the first one has ended."""
    key = new_id()
    first, second = await asyncio.gather(published(side, record(key, b"1"), record(key, b"2")), published(side, record(key, b"3")))
    offsets = [position_of(outcome).offset for outcome in (*first, *second)]
    assert offsets == sorted(offsets)


async def test_outcomes_are_in_the_order_of_the_records(side: Side) -> None:
    """Whichever partition they are written to."""
    records = [record(new_id(), f"{number}".encode()) for number in range(10)]
    for sent, outcome in zip(records, await published(side, *records), strict=True):
        assert await side.value_at(position_of(outcome)) == sent.value


async def test_a_record_that_is_too_large_is_rejected_alone(side: Side) -> None:
    """The others of its batch are written, and so is what comes later."""
    key = new_id()
    large = record(key, b"x" * (MAX_REQUEST_BYTES + 1))
    first, second, third = await published(side, record(key), large, record(key))
    assert isinstance(second, Rejection)
    assert second.code == "TOO_LARGE"
    assert position_of(third).offset == position_of(first).offset + 1
    assert isinstance((await published(side, record(key)))[0], Acknowledgement)


async def test_a_log_that_is_away_is_unavailable(away: EventLog) -> None:
    """Nothing was written, so nothing is in flight."""
    ended = Ended()
    with pytest.raises(LogUnavailable):
        await away.publish([record(new_id())], DEADLINE_MS, ended)
    assert ended.times == 1


async def test_without_records_there_is_nothing_in_flight(side: Side) -> None:
    """And no outcome."""
    ended = Ended()
    assert await side.log.publish([], DEADLINE_MS, ended) == []
    assert ended.times == 1


async def test_the_end_is_called_once_for_all_records(side: Side) -> None:
    """When the last of them is no longer in flight."""
    ended = Ended()
    await side.log.publish([record(new_id()) for _ in range(5)], DEADLINE_MS, ended)
    await until(lambda: ended.times > 0)
    await asyncio.sleep(MEANWHILE_S)
    assert ended.times == 1


async def test_a_frozen_log_is_unknown_at_the_deadline_and_written_later(side: Side) -> None:
    """It is in flight until the log thaws; later records follow it."""
    key, ended = new_id(), Ended()
    (before,) = await published(side, record(key, b"before"))
    with side.frozen():
        outcomes = await side.log.publish([record(key, b"frozen")], 200, ended)
        assert outcomes == [UnknownDelivery()]
        assert ended.times == 0
    await until(lambda: ended.times > 0)
    (after,) = await published(side, record(key, b"after"))
    position = position_of(before)
    assert position_of(after).offset == position.offset + 2
    assert await side.value_at(position._replace(offset=position.offset + 1)) == b"frozen"
    assert ended.times == 1


async def test_a_caller_that_hangs_up_takes_nothing_back(side: Side) -> None:
    """Its records are still in flight, and are written."""
    key, ended = new_id(), Ended()
    (before,) = await published(side, record(key, b"before"))
    with side.frozen():
        sending = asyncio.create_task(side.log.publish([record(key, b"frozen")], DEADLINE_MS, ended))
        await asyncio.sleep(MEANWHILE_S)
        sending.cancel()
        await asyncio.wait([sending])
        assert ended.times == 0
    await until(lambda: ended.times > 0)
    position = position_of(before)
    assert await side.value_at(position._replace(offset=position.offset + 1)) == b"frozen"
