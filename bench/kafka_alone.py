"""The baseline of `bench/freshness`: an event through Kafka alone, produced and consumed by aiokafka in this process."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Final

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from gateway.clock import system_now_ms
from gateway.kafka.consumers import make_consumer

PARTITIONS: Final = 2
WARMUP_S: Final = 3.0
DRAIN_S: Final = 10.0


async def measure(bootstrap: str, rate: float, seconds: float) -> list[float]:
    """Milliseconds from handing a record to the producer until the consumer has it, at a steady rate.

    The producer is configured like the gateway's (idempotent, acks=all, no linger), and records are as large as an event's. The
    topic is deleted afterwards. Raises TimeoutError if records do not arrive.
    """
    topic = f"bench_{secrets.token_hex(4)}"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
        try:
            return await _measure(bootstrap, topic, rate, seconds)
        finally:
            await admin.delete_topics([topic])
    finally:
        await admin.close()


async def _measure(bootstrap: str, topic: str, rate: float, seconds: float) -> list[float]:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=0)
    consumer = make_consumer(bootstrap, fetch_max_wait_ms=100)
    await producer.start()
    await consumer.start()
    consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
    sent: dict[int, float] = {}
    warm, total = round(WARMUP_S * rate), round((WARMUP_S + seconds) * rate)
    reading = asyncio.create_task(_read(consumer, sent, warm, total))
    sends: set[asyncio.Task[object]] = set()
    try:
        started = time.monotonic()
        for number in range(total):
            pause_s = started + number / rate - time.monotonic()
            if pause_s > 0:
                await asyncio.sleep(pause_s)
            value = _value(number)
            sent[number] = time.monotonic()
            send = asyncio.create_task(producer.send_and_wait(topic, value, key=value[:16]))
            sends.add(send)
            send.add_done_callback(sends.discard)
        async with asyncio.timeout(DRAIN_S):
            return await reading
    finally:
        reading.cancel()
        await consumer.stop()
        await producer.stop()


async def _read(consumer: AIOKafkaConsumer, sent: dict[int, float], warm: int, total: int) -> list[float]:
    durations_ms: list[float] = []
    remaining = total
    while remaining:
        for batch in (await consumer.getmany(timeout_ms=500)).values():
            at = time.monotonic()
            for record in batch:
                number = int(record.value[1:9])
                remaining -= 1
                if number >= warm:
                    durations_ms.append((at - sent[number]) * 1000)
    return durations_ms


def _value(number: int) -> bytes:
    """As many bytes as an event's record, starting with its number, so that reading the number costs nothing."""
    event = {"event_time_ms": system_now_ms(), "received_at_ms": system_now_ms(), "payload": "x" * 250}
    return b'"%08d"' % number + orjson.dumps(event)
