"""`gateway events tail`: follow what goes through Kafka, one line for each record.

    2026-11-23T21:26:01.123Z  user_actions/1@41  12345  PRODUCT_ADDED  {"product":{"product_id":"p1"}}
    2026-11-23T21:26:01.126Z  context_updates/0@97  12345  PRODUCT_ADDED  from user_actions/1@41
    2026-11-23T21:26:04.000Z  dead_letters/0@3  12345  context-stream  MALFORMED  value must be …  from user_actions/1@42

It reads without a consumer group: nothing is committed, and no other reader is affected.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from gateway.kafka.consumers import KAFKA_ERRORS, make_consumer
from gateway.model.events.topics import SOURCE_TOPICS, Topic
from gateway.model.times import format_time_ms
from gateway.reports.columns import printable

PAYLOAD_CHARACTERS: Final = 160
MESSAGE_CHARACTERS: Final = 300
QUIET_S: Final = 3.0
"""After this long without a record, check that the broker still answers."""
ANSWER_TIMEOUT_S: Final = 5.0

_TOPICS: Final[Mapping[str, tuple[Topic, ...]]] = {
    "events": SOURCE_TOPICS,
    "contexts": (Topic.CONTEXT_UPDATES,),
    "dead-letters": (Topic.DEAD_LETTERS,),
}


class _NoBroker(Exception):
    """Nothing can be read; the text has the cause and the remedy."""


def tail_records(bootstrap: str, kind: str, visitor: str | None, *, from_start: bool) -> int:
    """Print records as they arrive, until Ctrl-C; returns the exit code. `kind`: events, contexts or dead-letters."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # its errors are reported here, once
    try:
        asyncio.run(_follow(bootstrap, kind, visitor, from_start=from_start))
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # The reader (head, less) has left; Python's own flush at exit must not complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except _NoBroker as problem:
        print(f"gateway: {problem}", file=sys.stderr)
        return 1
    return 0


async def _follow(bootstrap: str, kind: str, visitor: str | None, *, from_start: bool) -> None:
    consumer = make_consumer(bootstrap, from_start=from_start, fetch_max_wait_ms=100)
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            partitions = await _partitions(bootstrap, _TOPICS[kind])
            await consumer.start()
            consumer.assign(partitions)
            await (consumer.seek_to_beginning() if from_start else consumer.seek_to_end())
        await _print_all(consumer, partitions, bootstrap, _LINE_OF[kind], None if visitor is None else visitor.encode())
    except KAFKA_ERRORS as problem:
        if isinstance(problem, BrokenPipeError):
            raise
        cause = str(problem) or type(problem).__name__
        raise _NoBroker(
            f"Kafka at {bootstrap} does not answer ({cause}); is it running? Give its address with --bootstrap or GATEWAY_KAFKA_BOOTSTRAP"
        ) from problem
    finally:
        await consumer.stop()


async def _partitions(bootstrap: str, topics: tuple[Topic, ...]) -> list[TopicPartition]:
    """All partitions of the topics. Raises `_NoBroker` for a topic that does not exist, so that the broker does not create it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        known = {topic["topic"]: topic["partitions"] for topic in await admin.describe_topics()}
    finally:
        await admin.close()
    missing = [topic.value for topic in topics if topic.value not in known]
    if missing:
        raise _NoBroker(f"Kafka at {bootstrap} has no topic {', '.join(missing)}; is it the gateway's Kafka?")
    return [TopicPartition(topic.value, partition["partition"]) for topic in topics for partition in known[topic.value]]


async def _print_all(
    consumer: AIOKafkaConsumer,
    partitions: list[TopicPartition],
    bootstrap: str,
    line_of: Callable[[ConsumerRecord], str],
    key: bytes | None,
) -> None:
    is_away = False
    while True:
        batches: dict[Any, list[ConsumerRecord]] = await consumer.getmany(timeout_ms=int(QUIET_S * 1000))
        was_away, is_away = is_away, not batches and not await _brokers_answer(consumer, partitions)
        if is_away != was_away:
            state = "does not answer; waiting for it" if is_away else "answers again"
            print(f"gateway: Kafka at {bootstrap} {state}", file=sys.stderr)
        records = [record for batch in batches.values() for record in batch]
        # Time is the only order that topics have in common.
        for record in sorted(records, key=lambda record: record.timestamp):
            if key is None or record.key == key:
                print(line_of(record), flush=True)


async def _brokers_answer(consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> bool:
    """Whether the brokers still answer: the consumer itself retries forever without a word."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await consumer.end_offsets(partitions)
    except KAFKA_ERRORS:
        return False
    return True


def event_line(record: ConsumerRecord) -> str:
    """The line of a record of a source topic."""
    event = _json_object(record.value)
    if event is None:
        return _line(record, "?", _shortened(record.value or b"", PAYLOAD_CHARACTERS))
    payload = orjson.dumps(event.get("payload"), option=orjson.OPT_NON_STR_KEYS)
    return _line(record, str(event.get("type")), _shortened(payload, PAYLOAD_CHARACTERS))


def context_line(record: ConsumerRecord) -> str:
    """The line of a record of context_updates: its event's type, and the event's position in the log."""
    update = _json_object(record.value) or {}
    event = update.get("event")
    event_type = str(event.get("type")) if isinstance(event, dict) else "(positions only)"
    return _line(record, event_type, f"from {_position_text(update)}")


def dead_letter_line(record: ConsumerRecord) -> str:
    """The line of a record of dead_letters: which stage gave up, why, and the position of the source record."""
    letter = _json_object(record.value) or {}
    message = _shortened(str(letter.get("message")).encode(), MESSAGE_CHARACTERS)
    return _line(record, str(letter.get("stage")), str(letter.get("code")), message, f"from {_position_text(letter)}")


_LINE_OF: Final[Mapping[str, Callable[[ConsumerRecord], str]]] = {
    "events": event_line,
    "contexts": context_line,
    "dead-letters": dead_letter_line,
}


def _line(record: ConsumerRecord, *parts: str) -> str:
    visitor = "-" if record.key is None else _shortened(record.key, 128)
    position = f"{record.topic}/{record.partition}@{record.offset}"
    return "  ".join((format_time_ms(record.timestamp), position, visitor, *map(printable, parts)))


def _position_text(position: Mapping[str, Any]) -> str:
    return f"{position.get('topic')}/{position.get('partition')}@{position.get('offset')}"


def _json_object(value: bytes | None) -> dict[str, Any] | None:
    try:
        parsed = orjson.loads(value or b"")
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _shortened(value: bytes, max_characters: int) -> str:
    # No character takes more than four bytes.
    text = printable(value[: 4 * max_characters].decode(errors="replace"))
    return text if len(text) <= max_characters and len(value) <= 4 * max_characters else text[: max_characters - 1] + "…"
