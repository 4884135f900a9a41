"""Reading contexts: joined into few commands, and each reader gets its own answer, whoever else hangs up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import ResponseError

from gateway.store.connection import StoreUnavailable
from gateway.store.keys import context_key
from gateway.store.reader import MAX_KEYS, ContextReader, ContextReading
from gateway.telemetry import Metrics
from tests.support.memory.faults import Faults
from tests.support.strategies import SETTINGS
from tests.support.virtual_time import START_MS, VirtualTimeLoop, now_ms

TIMEOUT_MS = 500
AT_ONCE_SECONDS = 0.001


class Store:
    """What answers MGET, and the reader. `commands` are the keys of each command, `reading` is what the next ones meet."""

    def __init__(self) -> None:
        self.commands: list[Sequence[str]] = []
        self.cancelled = 0
        self.reading = Faults()
        self.contexts: dict[str, dict[str, Any]] = {}
        self.metrics = Metrics()
        redis: Any = self
        self.reader = ContextReader(redis, self.metrics, TIMEOUT_MS)

    async def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        """As redis-py."""
        self.commands.append(keys)
        try:
            await self.reading.enter()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        contexts = {context_key(visitor_id): orjson.dumps(context) for visitor_id, context in self.contexts.items()}
        return [contexts.get(key) for key in keys]

    def know(self, *visitor_ids: str) -> None:
        """Store a context for each, which names it."""
        self.contexts |= {visitor_id: {"user_id": visitor_id} for visitor_id in visitor_ids}

    def start(self, visitor_id: str) -> asyncio.Task[ContextReading]:
        return asyncio.create_task(self.reader.read(visitor_id))


@pytest.fixture
def store() -> Store:
    return Store()


def named(reading: ContextReading) -> str | None:
    """Whose context was read."""
    return None if reading.context is None else reading.context["user_id"]


async def test_reads_of_one_turn_are_one_command(store: Store) -> None:
    """A visitor who is asked for twice is in it once, and both get the answer."""
    store.know("a", "b")
    readings = await asyncio.gather(*(store.reader.read(visitor_id) for visitor_id in ("a", "b", "a", "unknown")))
    assert [named(reading) for reading in readings] == ["a", "b", "a", None]
    assert store.commands == [[context_key("a"), context_key("b"), context_key("unknown")]]
    assert store.metrics.registry.get_sample_value("gateway_context_reads_sum") == 3


async def test_a_read_is_never_answered_by_an_earlier_command(store: Store) -> None:
    """What changed after that command was sent would be missed."""
    store.know("a")
    store.reading.freeze()
    first = store.start("a")
    await asyncio.sleep(AT_ONCE_SECONDS)
    second = store.start("a")
    await asyncio.sleep(AT_ONCE_SECONDS)
    assert len(store.commands) == 2
    store.reading.recover()
    assert [named(await reading) for reading in (first, second)] == ["a", "a"]


async def test_a_command_has_a_limit(store: Store) -> None:
    """More are sent as several commands."""
    names = [f"v{number}" for number in range(2 * MAX_KEYS + 1)]
    store.know(*names)
    readings = await asyncio.gather(*map(store.reader.read, names))
    assert [named(reading) for reading in readings] == names
    assert [len(keys) for keys in store.commands] == [MAX_KEYS, MAX_KEYS, 1]


async def test_an_alias_leads_to_the_visitor_it_joined(store: Store) -> None:
    """By a second command; both ids concern the reader."""
    store.know("known")
    store.contexts["anon_1"] = {"user_id": "anon_1", "alias_of": "known"}
    reading = await store.reader.read("anon_1")
    assert (named(reading), reading.watched, reading.joined) == ("known", ("anon_1", "known"), True)
    assert store.commands == [[context_key("anon_1")], [context_key("known")]]


async def test_a_cancelled_reader_cancels_nothing(store: Store) -> None:
    """Not the command, and not the answer of another one who asked for the same visitor."""
    store.know("a", "b")
    store.reading.freeze()
    cancelled, same, other = store.start("a"), store.start("a"), store.start("b")
    await asyncio.sleep(AT_ONCE_SECONDS)
    cancelled.cancel()
    await asyncio.wait([cancelled])
    store.reading.recover()
    assert [named(await reading) for reading in (same, other)] == ["a", "b"]
    assert store.cancelled == 0


async def test_a_reader_that_is_cancelled_before_its_command_is_sent_does_no_harm(store: Store) -> None:
    """In the same turn of the loop."""
    store.know("a", "b")
    cancelled, other = store.start("a"), store.start("b")
    await asyncio.sleep(0)
    cancelled.cancel()
    assert named(await other) == "b"
    assert named(await store.reader.read("a")) == "a"


async def test_a_command_of_which_all_readers_are_cancelled_ends_by_itself(store: Store) -> None:
    """Its answer is read from the connection and dropped: otherwise the next command would get it."""
    store.know("a")
    store.reading.freeze()
    readings = [store.start("a") for _ in range(3)]
    await asyncio.sleep(AT_ONCE_SECONDS)
    for reading in readings:
        reading.cancel()
    await asyncio.wait(readings)
    store.reading.recover()
    await asyncio.sleep(AT_ONCE_SECONDS)
    assert store.cancelled == 0
    assert named(await store.reader.read("a")) == "a"


@pytest.mark.parametrize("error", [ConnectionLost("context:alice"), ResponseError("context:alice"), OSError(), TimeoutError()])
async def test_a_store_that_is_away_is_unavailable_to_all_readers_of_the_command(store: Store, error: Exception) -> None:
    """And to no other. The message names the kind of error, not the visitor."""
    store.know("a", "b", "c")
    store.reading.fail(error)
    first, second = store.start("a"), store.start("b")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    third = store.start("c")
    for reading in (first, second):
        with pytest.raises(StoreUnavailable, match=type(error).__name__) as refusal:
            await reading
        assert "alice" not in str(refusal.value)
    assert named(await third) == "c"


async def test_a_store_that_is_frozen_is_unavailable_in_time(store: Store) -> None:
    """The timeout of the settings; then the command is given up."""
    store.reading.freeze()
    with pytest.raises(StoreUnavailable):
        await store.reader.read("a")
    assert (now_ms() - START_MS, store.cancelled) == (TIMEOUT_MS, 1)


async def test_a_defect_leaves_no_reader_waiting(store: Store) -> None:
    """It is raised as it is: nobody waits for an answer that cannot come."""
    store.reading.fail(KeyError("a defect"))
    with pytest.raises(KeyError):
        await store.reader.read("a")


@SETTINGS
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["wait", "next turn", "cancel", "fail"])), max_size=30), st.randoms())
def test_every_reader_gets_its_own_answer(asked: list[tuple[str, str]], chance: Any) -> None:
    """Whoever else is cancelled, and whichever commands fail."""

    async def live() -> None:
        store = Store()
        store.know(*"abcd")
        readings: list[tuple[str, asyncio.Task[ContextReading]]] = []
        for visitor_id, what in asked:
            readings.append((visitor_id, store.start(visitor_id)))
            if what == "cancel":
                chance.choice(readings)[1].cancel()
            elif what == "fail":
                store.reading.fail(ConnectionLost())
            elif what == "next turn":
                await asyncio.sleep(0)
        await asyncio.sleep(AT_ONCE_SECONDS)
        for visitor_id, reading in readings:
            assert reading.done()
            if not reading.cancelled() and reading.exception() is None:
                assert named(reading.result()) == visitor_id
        assert store.cancelled == 0

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(live())
