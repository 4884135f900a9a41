"""The process that writes contexts: what it stores, what it commits and when, and what becomes a dead letter."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiokafka.errors import CommitFailedError, KafkaConnectionError, KafkaTimeoutError

from gateway.clock import NowMs
from gateway.model.visitors.erasure import Erasures, erasure_key, erasure_value
from gateway.settings import Settings
from gateway.store.connection import StoreUnavailable
from gateway.store.writer import ContextWriter
from gateway.telemetry import Metrics
from processors.context import writer
from processors.context.erasure_follower import ErasureFollower
from processors.context.purging import Purger
from processors.context.writer import COMMIT_SECONDS, ContextWriterProcess, StoppedWhileWaiting, WriterParts
from tests.support.memory.consumer import TIMESTAMP_MS, MemoryConsumer
from tests.support.memory.gateway import TOKEN_SECRET
from tests.support.memory.producer import MemoryProducer
from tests.support.memory.purge_queue import MemoryPurgeQueue
from tests.support.memory.state_store import MemoryStateStore
from tests.support.virtual_time import START_MS, now_ms

KEY = TOKEN_SECRET.encode()
AT_ONCE_SECONDS = 0.01
VISITOR, ANONYMOUS = "v1", "anon_1"


class Process:
    """A context writer over parts in memory, and the topic that it reads."""

    def __init__(self) -> None:
        self.consumer = MemoryConsumer("context_updates")
        self.erasures = MemoryConsumer("erasures")
        self.producer = MemoryProducer()
        self.store = MemoryStateStore()
        self.queue = MemoryPurgeQueue()
        self.metrics = Metrics()
        self.is_closed = False
        settings = Settings.model_validate({"token_secret": TOKEN_SECRET})
        self.process = ContextWriterProcess(settings, self.metrics, now_ms, self._connect)
        self.running: asyncio.Task[None] | None = None
        self._offsets = 0

    def _connect(self, settings: Settings, metrics: Metrics, now_ms: NowMs) -> WriterParts:
        erasures = Erasures(settings.signing_key)
        context_writer = ContextWriter(self.store, now_ms)
        purger = Purger(self.queue, context_writer, metrics, now_ms)
        follower = ErasureFollower(self.erasures, erasures)
        return WriterParts(self.consumer, self.producer, erasures, follower, context_writer, purger, self._close)

    async def _close(self) -> None:
        self.is_closed = True

    def add(
        self, visitor_id: str = VISITOR, event_type: str = "PRODUCT_ADDED", *, partition: int = 0, key: str | None = None, **payload: Any
    ) -> int:
        """Add an update to the topic; returns the position of its event in the log."""
        payload = payload or ({"product": {"product_id": "p", "category": "tv"}} if event_type == "PRODUCT_ADDED" else {})
        self._offsets += 1
        record = {"message_id": f"m{self._offsets}", "type": event_type, "visitor_id": visitor_id, "payload": payload}
        event = {**record, "event_time_ms": START_MS + self._offsets, "received_at_ms": START_MS + self._offsets}
        update = {"topic": "user_actions", "partition": 0, "offset": self._offsets, "log_epoch": 1, "event": event}
        self.consumer.add((key or visitor_id).encode(), orjson.dumps(update), partition)
        return self._offsets

    @property
    def letters(self) -> list[dict[str, Any]]:
        """The dead letters, in order."""
        return [orjson.loads(sent.value) for sent in self.producer.written if sent.topic == "dead_letters"]

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    async def stop(self) -> None:
        self.process.stop()
        assert self.running is not None
        await self.running


@pytest.fixture(autouse=True)
def _memory_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process settles its memory once; the tests' process is another one."""
    monkeypatch.setattr(writer, "settle_memory", lambda: None)


@pytest.fixture
async def process() -> AsyncIterator[Process]:
    """Running."""
    process = Process()
    process.running = asyncio.create_task(process.process.run())
    await asyncio.sleep(AT_ONCE_SECONDS)
    yield process
    process.process.stop()
    with contextlib.suppress(Exception):
        await process.running


# A poll


async def test_updates_are_stored(process: Process) -> None:
    """Those of a visitor in one poll by one write."""
    for _ in range(5):
        process.add()
    process.add("v2")
    await asyncio.sleep(AT_ONCE_SECONDS)
    assert [process.store.context(visitor_id)["version"] for visitor_id in (VISITOR, "v2")] == [5, 1]
    assert process.metric("context_writer_writes_total", outcome="written") == 2
    assert process.metric("context_writer_messages_total", outcome="fresh") == 6


async def test_offsets_are_committed_once_a_second(process: Process) -> None:
    """Of every partition, after its updates were stored."""
    process.add(partition=0)
    process.add("v2", partition=1)
    process.add("v2", partition=1)
    await asyncio.sleep(COMMIT_SECONDS / 2)
    assert (process.consumer.committed, process.consumer.committing.calls) == ({}, 0)
    await asyncio.sleep(COMMIT_SECONDS)
    assert process.consumer.committed == {0: 1, 1: 2}
    await asyncio.sleep(10 * COMMIT_SECONDS)
    assert process.consumer.committing.calls == 1


async def test_an_update_without_an_event_moves_the_positions(process: Process) -> None:
    """Its event was a dead letter before it came here; a cursor is reached all the same."""
    update = {"topic": "user_actions", "partition": 0, "offset": 7, "log_epoch": 1, "event": None}
    process.consumer.add(VISITOR.encode(), orjson.dumps(update))
    await asyncio.sleep(AT_ONCE_SECONDS)
    context = process.store.context(VISITOR)
    assert (context["version"], context["positions"]) == (0, {"user_actions/0": 7})


async def test_a_redelivery_changes_nothing(process: Process) -> None:
    """After a crash before the commit."""
    process.add()
    await asyncio.sleep(AT_ONCE_SECONDS)
    stored = dict(process.store.stored)
    record = process.consumer._records[0][0]
    process.consumer.add(record.key, record.value)
    await asyncio.sleep(AT_ONCE_SECONDS)
    assert process.store.stored == stored
    assert process.metric("context_writer_messages_total", outcome="duplicates") == 1


# Dead letters


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        (b"v1", b"garbage", "MALFORMED"),
        (b"v1", None, "MALFORMED"),
        (None, b'{"topic": "user_actions", "partition": 0, "offset": 1, "log_epoch": 1}', "MALFORMED"),
        (b"v1", b'{"topic": "elsewhere", "partition": 0, "offset": 1, "log_epoch": 1}', "MALFORMED"),
        (b"v1", b'{"topic": "user_actions", "partition": 0, "offset": 9, "log_epoch": 1, "event": {"message_id": "m"}}', "INVALID_VALUE"),
    ],
)
async def test_a_record_that_is_no_update_is_a_dead_letter(process: Process, key: bytes | None, value: bytes | None, code: str) -> None:
    """With key and value as they were; the others of its poll are stored, and the offset moves past it."""
    process.add()
    process.consumer.add(key, value)
    process.add()
    await asyncio.sleep(AT_ONCE_SECONDS)
    (letter,) = process.letters
    assert (letter["code"], letter["stage"], letter["at_ms"]) == (code, "context-writer", TIMESTAMP_MS)
    assert base64.b64decode(letter["key_base64"]) == (key or b"")
    assert base64.b64decode(letter["value_base64"]) == (value or b"")
    assert process.store.context(VISITOR)["version"] == 2
    assert process.metric("context_writer_dead_letters_total", code=code) == 1
    await asyncio.sleep(COMMIT_SECONDS)
    assert process.consumer.committed == {0: 3}


async def test_an_invalid_event_still_moves_the_positions(process: Process) -> None:
    """Whoever waits for a cursor after it is not kept waiting. So does one whose key names another visitor."""
    event = {"topic": "user_actions", "partition": 0, "offset": 9, "log_epoch": 1, "event": {"message_id": "m"}}
    process.consumer.add(VISITOR.encode(), orjson.dumps(event))
    mismatched = process.add("v2", key="v3")
    await asyncio.sleep(AT_ONCE_SECONDS)
    assert process.store.context(VISITOR)["positions"] == {"user_actions/0": 9}
    assert process.store.context("v3")["positions"] == {"user_actions/0": mismatched}
    assert [letter["code"] for letter in process.letters] == ["INVALID_VALUE", "KEY_MISMATCH"]
    assert "v2" not in process.store.stored


async def test_refused_updates_are_dead_letters_of_their_own_records(process: Process) -> None:
    """Each with its own position and value, whatever else was in the poll."""
    process.add(ANONYMOUS, "IDENTIFY", user_id=VISITOR)
    second = process.add(ANONYMOUS, "IDENTIFY", user_id="v2")
    process.add(ANONYMOUS)
    third = process.add(ANONYMOUS, "IDENTIFY", user_id="v3")
    await asyncio.sleep(AT_ONCE_SECONDS)
    assert [(letter["code"], letter["offset"]) for letter in process.letters] == [
        ("ALREADY_IDENTIFIED", second), ("ALREADY_IDENTIFIED", third),
    ]  # fmt: skip
    values = [orjson.loads(base64.b64decode(letter["value_base64"])) for letter in process.letters]
    assert [value["event"]["payload"]["user_id"] for value in values] == ["v2", "v3"]
    assert process.store.context(VISITOR)["version"] == 2


async def test_a_dead_letter_that_cannot_be_written_ends_the_process(process: Process) -> None:
    """Nothing of its poll is committed, so it is delivered again."""
    process.producer.sending.fail(KafkaTimeoutError())
    process.consumer.add(b"v1", b"garbage")
    assert process.running is not None
    with pytest.raises(KafkaTimeoutError):
        await process.running
    assert process.consumer.committed == {}
    assert process.is_closed


# A store that is away


async def test_while_the_store_is_away_nothing_is_committed(process: Process) -> None:
    """However long it takes; the updates are stored once it is back, and each counts once."""
    process.store.reading.stay_away(StoreUnavailable("away"))
    process.add()
    process.add()
    await asyncio.sleep(600)
    assert process.consumer.committed == {}
    assert process.store.reading.calls < 150
    process.store.reading.recover()
    await asyncio.sleep(5 + COMMIT_SECONDS)
    assert process.store.context(VISITOR)["version"] == 2
    assert process.consumer.committed == {0: 2}


async def test_a_lost_answer_stores_nothing_twice(process: Process) -> None:
    """The write took effect; the poll is applied again."""
    process.store.writing.fail_afterwards(StoreUnavailable("the answer got lost"))
    process.add()
    await asyncio.sleep(5)
    assert process.store.context(VISITOR)["cart"][0]["quantity"] == 1
    assert process.consumer.committed == {0: 1}


async def test_a_stop_while_the_store_is_away_commits_what_was_stored_before(process: Process) -> None:
    """And nothing of the poll that waits for the store: its updates are delivered again."""
    process.add()
    await asyncio.sleep(AT_ONCE_SECONDS)
    process.store.reading.stay_away(StoreUnavailable("away"))
    process.add()
    process.add("v2", partition=1)
    await asyncio.sleep(3 * COMMIT_SECONDS)
    with pytest.raises(StoppedWhileWaiting):
        await process.stop()
    assert process.consumer.committed == {0: 1}
    assert all((process.consumer.is_stopped, process.erasures.is_stopped, process.producer.is_stopped, process.is_closed))


async def test_a_stop_while_the_store_is_frozen_waits_for_the_write(process: Process) -> None:
    """Then it is stored and committed."""
    process.store.writing.freeze()
    process.add()
    await asyncio.sleep(1)
    process.process.stop()
    await asyncio.sleep(1)
    assert not process.is_closed
    process.store.writing.recover()
    await process.stop()
    assert process.consumer.committed == {0: 1}


# The start, the end, and other members of the group


async def test_a_stop_between_polls_ends_at_once(process: Process) -> None:
    """What was stored is committed, and everything is closed."""
    process.add()
    await asyncio.sleep(AT_ONCE_SECONDS)
    await process.stop()
    assert process.consumer.committed == {0: 1}
    assert now_ms() - START_MS < 100
    assert all((process.consumer.is_stopped, process.erasures.is_stopped, process.producer.is_stopped, process.is_closed))


async def test_a_partition_that_moves_on_is_committed_before(process: Process) -> None:
    """Its next owner starts after what was stored."""
    process.add()
    await asyncio.sleep(AT_ONCE_SECONDS)
    await process.consumer.revoke(0)
    assert process.consumer.committed == {0: 1}


async def test_a_partition_that_moved_on_is_not_committed_any_more(process: Process) -> None:
    """It was revoked while its poll was stored: the next owner receives the updates again."""
    process.store.writing.freeze()
    process.add(partition=0)
    process.add("v2", partition=1)
    await asyncio.sleep(AT_ONCE_SECONDS)
    await process.consumer.revoke(0)
    process.store.writing.recover()
    await asyncio.sleep(2 * COMMIT_SECONDS)
    assert process.consumer.committed == {1: 1}


@pytest.mark.parametrize("error", [CommitFailedError(), KafkaConnectionError(), ValueError("not assigned")])
async def test_a_failed_commit_ends_nothing(process: Process, error: Exception) -> None:
    """The updates will be delivered again; the next poll commits past them."""
    process.consumer.committing.fail(error)
    process.add()
    await asyncio.sleep(2 * COMMIT_SECONDS)
    assert process.consumer.committed == {}
    process.add()
    await asyncio.sleep(COMMIT_SECONDS)
    assert process.consumer.committed == {0: 2}


@pytest.mark.parametrize("part", ["producer", "erasures", "consumer"])
async def test_a_broker_that_is_away_at_the_start_is_said_to_be(part: str) -> None:
    """The process ends, and leaves no connection open."""
    process = Process()
    getattr(process, part).starting.fail(KafkaConnectionError())
    with pytest.raises(KafkaConnectionError):
        await process.process.run()
    assert process.is_closed
    assert process.consumer.is_stopped
    assert not process.erasures.is_started or process.erasures.is_stopped


async def test_erased_events_are_not_stored(process: Process) -> None:
    """Even if the log is read again from its start: the erasure is known before the first update."""
    process.erasures.add(erasure_key(KEY, VISITOR).encode(), erasure_value(START_MS + 2))
    await asyncio.sleep(AT_ONCE_SECONDS)
    process.add()
    process.add()
    last = process.add()
    await asyncio.sleep(AT_ONCE_SECONDS)
    context = process.store.context(VISITOR)
    assert (context["version"], context["positions"]) == (1, {"user_actions/0": last})
