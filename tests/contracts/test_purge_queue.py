"""The queue of purges: who is due is leased to one worker at a time, and leaves the queue when it is finished."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

import pytest

from gateway.store.connection import StoreUnavailable
from gateway.store.purges import LEASE_MS, PurgeQueue
from processors.context.purging import DuePurges
from tests.contracts.sides import BOTH_SIDES, empty_redis, lost_redis
from tests.support.memory.purge_queue import MemoryPurgeQueue

NOW_MS = 1_790_000_000_000


class Queue(DuePurges, Protocol):
    """The queue as those who fill it and those who purge see it."""

    async def add(self, due_ms: Mapping[str, int]) -> None:
        """Set the time (ms) of the next purge of each of these visitors."""


@pytest.fixture(params=BOTH_SIDES)
async def queue(request: pytest.FixtureRequest) -> AsyncIterator[Queue]:
    if request.param == "memory":
        yield MemoryPurgeQueue()
        return
    async with empty_redis(request) as redis:
        yield PurgeQueue(redis)


@pytest.fixture(params=BOTH_SIDES)
async def away(request: pytest.FixtureRequest) -> AsyncIterator[DuePurges]:
    """A queue in a store that is away."""
    if request.param == "memory":
        memory = MemoryPurgeQueue()
        memory.calling.stay_away(StoreUnavailable("away"))
        yield memory
        return
    async with lost_redis() as redis:
        yield PurgeQueue(redis)


async def test_who_is_due_is_leased_in_order(queue: Queue) -> None:
    """The longest due first, and no more than were asked for."""
    await queue.add({"later": NOW_MS + 1, "third": NOW_MS, "first": NOW_MS - 2, "second": NOW_MS - 1})
    assert await queue.lease(NOW_MS, 2) == ["first", "second"]
    assert await queue.lease(NOW_MS, 2) == ["third"]
    assert await queue.lease(NOW_MS, 2) == []


async def test_a_lease_that_ends_goes_to_another_worker(queue: Queue) -> None:
    """Not a millisecond before: the first worker may still be at it."""
    await queue.add({"a": NOW_MS})
    assert await queue.lease(NOW_MS, 1) == ["a"]
    assert await queue.lease(NOW_MS + LEASE_MS - 1, 1) == []
    assert await queue.lease(NOW_MS + LEASE_MS, 1) == ["a"]


async def test_what_is_finished_leaves_the_queue(queue: Queue) -> None:
    """For good."""
    await queue.add({"a": NOW_MS, "b": NOW_MS})
    leased = await queue.lease(NOW_MS, 10)
    await queue.finish(leased, NOW_MS)
    assert await queue.lease(NOW_MS + 10 * LEASE_MS, 10) == []


async def test_what_was_added_again_meanwhile_stays(queue: Queue) -> None:
    """The visitor withdrew consent once more; the lease is not that of the new entry."""
    await queue.add({"a": NOW_MS})
    leased = await queue.lease(NOW_MS, 1)
    await queue.add({"a": NOW_MS + 7})
    await queue.finish(leased, NOW_MS)
    assert await queue.lease(NOW_MS + 7, 1) == ["a"]


async def test_the_worker_of_an_ended_lease_finishes_nothing(queue: Queue) -> None:
    """Another worker has it by then."""
    await queue.add({"a": NOW_MS})
    leased = await queue.lease(NOW_MS, 1)
    assert await queue.lease(NOW_MS + LEASE_MS, 1) == ["a"]
    await queue.finish(leased, NOW_MS)
    assert await queue.lease(NOW_MS + 2 * LEASE_MS, 1) == ["a"]


async def test_a_store_that_is_away_is_unavailable(away: DuePurges) -> None:
    """For both calls."""
    with pytest.raises(StoreUnavailable):
        await away.lease(NOW_MS, 1)
    with pytest.raises(StoreUnavailable):
        await away.finish(["a"], NOW_MS)
