"""`gateway events tail`: follow what goes through Kafka, one line a record.

    2026-11-23T21:26:01.123Z  user_actions/1@41  12345  PRODUCT_ADDED  {"product":{"product_id":"p1"}}
    2026-11-23T21:26:01.126Z  context_updates/0@97  12345  PRODUCT_ADDED  from user_actions/1@41
    2026-11-23T21:26:04.000Z  dead_letters/0@3  12345  context-stream  MALFORMED  value must be …  from user_actions/1@42

It reads without a consumer group: nothing is committed, and nobody else's reading is touched.
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
from aiokafka.errors import KafkaError

from gateway.kafka.consumers import make_consumer
from gateway.model.events.topics import SOURCE_TOPICS, Topic
from gateway.model.times import format_time_ms

PAYLOAD_CHARACTERS: Final = 160
MESSAGE_CHARACTERS: Final = 300
QUIET_S: Final = 3.0
"""After this long without a record the broker is asked whether it is still there."""
ANSWER_S: Final = 5.0

_TOPICS: Final[Mapping[str, tuple[Topic, ...]]] = {
    "events": SOURCE_TOPICS,
    "contexts": (Topic.CONTEXT_UPDATES,),
    "dead-letters": (Topic.DEAD_LETTERS,),
}


class _NoBroker(Exception):
    """Nothing can be read, with the cause and the remedy."""


def tail(bootstrap: str, what: str, visitor: str | None, *, from_start: bool) -> int:
    """Print records as they come until Ctrl-C; gives the exit code. `what`: events, contexts or dead-letters."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it means is said here, once
    try:
        asyncio.run(_follow(bootstrap, what, visitor, from_start=from_start))
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # The reader (head, less) has left; Python's own flush at exit must not complain of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except _NoBroker as problem:
        print(f"gateway: {problem}", file=sys.stderr)
        return 1
    return 0


async def _follow(bootstrap: str, what: str, visitor: str | None, *, from_start: bool) -> None:
    consumer = make_consumer(bootstrap, from_start=from_start, fetch_max_wait_ms=100)
    try:
        async with asyncio.timeout(ANSWER_S):
            partitions = await _partitions(bootstrap, _TOPICS[what])
            await consumer.start()
            consumer.assign(partitions)
            await (consumer.seek_to_beginning() if from_start else consumer.seek_to_end())
        await _print_all(consumer, partitions, bootstrap, _LINES[what], None if visitor is None else visitor.encode())
    except (KafkaError, OSError, TimeoutError) as problem:
        if isinstance(problem, BrokenPipeError):
            raise
        cause = str(problem) or type(problem).__name__
        raise _NoBroker(
            f"Kafka at {bootstrap} does not answer ({cause}); is it running? GATEWAY_KAFKA_BOOTSTRAP says where it is"
        ) from problem
    finally:
        await consumer.stop()


async def _partitions(bootstrap: str, topics: tuple[Topic, ...]) -> list[TopicPartition]:
    """All partitions of the topics. Raises `_NoBroker` for a topic that is not there, rather than have the broker make it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        known = {one["topic"]: one["partitions"] for one in await admin.describe_topics()}
    finally:
        await admin.close()
    lacking = [topic.value for topic in topics if topic.value not in known]
    if lacking:
        raise _NoBroker(f"Kafka at {bootstrap} has no topic {', '.join(lacking)}; is it the one of the gateway?")
    return [TopicPartition(topic.value, partition["partition"]) for topic in topics for partition in known[topic.value]]


async def _print_all(
    consumer: AIOKafkaConsumer,
    partitions: list[TopicPartition],
    bootstrap: str,
    line: Callable[[ConsumerRecord], str],
    key: bytes | None,
) -> None:
    is_away = False
    while True:
        found: dict[Any, list[ConsumerRecord]] = await consumer.getmany(timeout_ms=int(QUIET_S * 1000))
        was_away, is_away = is_away, not found and not await _answers(consumer, partitions)
        if is_away != was_away:
            state = "does not answer; waiting for it" if is_away else "is back"
            print(f"gateway: Kafka at {bootstrap} {state}", file=sys.stderr)
        records = [record for batch in found.values() for record in batch]
        # Topics have no common order but that of time.
        for record in sorted(records, key=lambda one: one.timestamp):
            if key is None or record.key == key:
                print(line(record), flush=True)


async def _answers(consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> bool:
    """Whether the brokers still answer; the consumer itself tries for ever, in silence."""
    try:
        async with asyncio.timeout(ANSWER_S):
            await consumer.end_offsets(partitions)
    except (KafkaError, OSError, TimeoutError):
        return False
    return True


def event_line(record: ConsumerRecord) -> str:
    """A record of a source topic."""
    event = _object(record.value)
    if event is None:
        return _joined(record, "?", _short(record.value or b"", PAYLOAD_CHARACTERS))
    payload = orjson.dumps(event.get("payload"), option=orjson.OPT_NON_STR_KEYS)
    return _joined(record, str(event.get("type")), _short(payload, PAYLOAD_CHARACTERS))


def context_line(record: ConsumerRecord) -> str:
    """A record of context_updates: where its event stands in the log, and its type."""
    update = _object(record.value) or {}
    event = update.get("event")
    event_type = str(event.get("type")) if isinstance(event, dict) else "(positions only)"
    return _joined(record, event_type, f"from {_place(update)}")


def dead_letter_line(record: ConsumerRecord) -> str:
    """A record of dead_letters: who gave up, why, and where the source record stands."""
    letter = _object(record.value) or {}
    message = _short(str(letter.get("message")).encode(), MESSAGE_CHARACTERS)
    return _joined(record, str(letter.get("stage")), str(letter.get("code")), message, f"from {_place(letter)}")


_LINES: Final[Mapping[str, Callable[[ConsumerRecord], str]]] = {
    "events": event_line,
    "contexts": context_line,
    "dead-letters": dead_letter_line,
}


def _joined(record: ConsumerRecord, *parts: str) -> str:
    visitor = "-" if record.key is None else _short(record.key, 128)
    place = f"{record.topic}/{record.partition}@{record.offset}"
    return "  ".join((format_time_ms(record.timestamp), place, visitor, *map(_printable, parts)))


def _place(position: Mapping[str, Any]) -> str:
    return f"{position.get('topic')}/{position.get('partition')}@{position.get('offset')}"


def _object(value: bytes | None) -> dict[str, Any] | None:
    try:
        found = orjson.loads(value or b"")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _short(value: bytes, most: int) -> str:
    text = _printable(value[: 4 * most].decode(errors="replace"))
    return text if len(text) <= most and len(value) <= 4 * most else text[: most - 1] + "…"


def _printable(text: str) -> str:
    """Without what could move the cursor of a terminal: topics may hold anything."""
    return "".join(character if character.isprintable() else "�" for character in text)
