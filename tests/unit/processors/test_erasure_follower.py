"""The follower of erasures: it knows all of them before the first update is stored, and every later one."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.errors import KafkaConnectionError

from gateway.model.visitors.erasure import Erasures, erasure_key, erasure_value
from processors.context.erasure_follower import RETRY_SECONDS, START_SECONDS, ErasureFollower
from tests.support.memory.consumer import MemoryConsumer
from tests.support.virtual_time import START_MS, now_ms

KEY = b"0123456789abcdef" * 2


class Follower:
    """The follower, its topic, and what it knows."""

    def __init__(self) -> None:
        self.topic = MemoryConsumer("erasures")
        self.erasures = Erasures(KEY)
        self.follower = ErasureFollower(self.topic, self.erasures)

    def erase(self, visitor_id: str, cutoff_ms: int = START_MS, partition: int = 0) -> None:
        self.topic.add(erasure_key(KEY, visitor_id).encode(), erasure_value(cutoff_ms), partition)


@pytest.fixture
async def followed() -> Follower:
    return Follower()


async def test_the_start_waits_for_everything_in_the_topic(followed: Follower) -> None:
    """Of every partition; the latest cut-off of a visitor counts."""
    followed.erase("a", START_MS)
    followed.erase("a", START_MS + 5)
    followed.erase("b", partition=1)
    await followed.follower.start()
    assert [followed.erasures.cutoff_of(visitor_id) for visitor_id in "abc"] == [START_MS + 5, START_MS, None]
    await followed.follower.stop()
    assert followed.topic.is_stopped


async def test_an_empty_topic_is_read_at_once(followed: Follower) -> None:
    """No time passes."""
    await followed.follower.start()
    assert (len(followed.erasures), now_ms()) == (0, START_MS)
    await followed.follower.stop()


async def test_later_erasures_are_learned(followed: Follower) -> None:
    """As soon as they come."""
    await followed.follower.start()
    await asyncio.sleep(10)
    followed.erase("a")
    await asyncio.sleep(0.001)
    assert followed.erasures.cutoff_of("a") == START_MS
    await followed.follower.stop()


async def test_an_invalid_record_is_passed_over(followed: Follower) -> None:
    """It erases nobody, and the ones after it count."""
    for key, value in ((None, b"{}"), (b"k", None), (b"k", b"garbage"), (b"\xff", erasure_value(1)), (b"k", b'{"cutoff_ms": "soon"}')):
        followed.topic.add(key, value)
    followed.erase("a")
    await followed.follower.start()
    assert (len(followed.erasures), followed.erasures.cutoff_of("a")) == (1, START_MS)
    await followed.follower.stop()


async def test_a_broker_that_goes_away_is_asked_again(followed: Follower) -> None:
    """Every second, and what was written meanwhile is learned."""
    await followed.follower.start()
    followed.topic.polling.stay_away(KafkaConnectionError())
    await asyncio.sleep(10)
    followed.erase("a")
    followed.topic.polling.recover()
    await asyncio.sleep(RETRY_SECONDS)
    assert followed.erasures.cutoff_of("a") == START_MS
    await followed.follower.stop()


async def test_a_broker_that_is_away_at_the_start_is_said_to_be(followed: Follower) -> None:
    """Then there is nothing to stop."""
    followed.topic.starting.fail(KafkaConnectionError())
    with pytest.raises(KafkaConnectionError):
        await followed.follower.start()
    await followed.follower.stop()


@pytest.mark.parametrize("is_frozen", [False, True])
async def test_a_topic_that_cannot_be_read_at_the_start_is_said_to_be(followed: Follower, is_frozen: bool) -> None:
    """At once, or after half a minute; its connection is closed. Updates without all erasures would bring back what was erased."""
    followed.erase("a")
    if is_frozen:
        followed.topic.polling.freeze()
    else:
        followed.topic.polling.fail(KafkaConnectionError())
    with pytest.raises(TimeoutError if is_frozen else KafkaConnectionError):
        await followed.follower.start()
    assert now_ms() - START_MS == (START_SECONDS * 1000 if is_frozen else 0)
    assert followed.topic.is_stopped
