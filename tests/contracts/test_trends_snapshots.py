"""Snapshots of the trends: numbers grow, each can be read as long as it is kept, and a new one is announced."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import pytest

from gateway.model.trends.codec import BoughtTogether, Snapshot
from gateway.model.trends.snapshot import TrendingProduct
from gateway.services.ports import Notices, TrendsSnapshots
from gateway.store.connection import StoreUnavailable
from gateway.store.keys import TRENDS_CHANNEL, together_key, trends_snapshot_key
from gateway.store.trends import TrendsStore
from tests.contracts.sides import BOTH_SIDES, becomes_dirty, connected_notices, empty_redis, lost_redis, stays_clean
from tests.support.memory.notices import MemoryNotices
from tests.support.memory.trends import MemoryTrends

NUMBER = 1_790_000_000


class Snapshots(TrendsSnapshots, Protocol):
    """Snapshots as the services and the trends stream see them."""

    async def save_snapshot(self, snapshot: Snapshot, replaces: int) -> bool:
        """Make a snapshot the current one, unless the current one is as new; whether it was stored."""

    async def save_together(self, version: int, together: BoughtTogether) -> bool:
        """Store a version of the products bought together, unless the current one is as new; whether it was stored."""


@dataclass(frozen=True)
class Side:
    """`expire` lets the retention of a snapshot end, `expire_together` that of a version of the products bought together."""

    snapshots: Snapshots
    notices: Notices
    expire: Callable[[int], Awaitable[object]]
    expire_together: Callable[[int], Awaitable[object]]


@pytest.fixture(params=BOTH_SIDES)
async def side(request: pytest.FixtureRequest) -> AsyncIterator[Side]:
    if request.param == "memory":
        notices = MemoryNotices()
        memory = MemoryTrends(notices.announce)

        async def expire(number: int) -> None:
            memory.expire(number)

        async def expire_together(version: int) -> None:
            memory.expire_together(version)

        yield Side(memory, notices, expire, expire_together)
        return
    async with empty_redis(request) as redis, connected_notices(redis) as bus:
        yield Side(
            TrendsStore(redis),
            bus,
            lambda number: redis.delete(trends_snapshot_key(number)),
            lambda version: redis.delete(together_key(version)),
        )


@pytest.fixture(params=BOTH_SIDES)
async def away(request: pytest.FixtureRequest) -> AsyncIterator[TrendsSnapshots]:
    """Snapshots in a store that is away."""
    if request.param == "memory":
        memory = MemoryTrends()
        memory.reading.stay_away(StoreUnavailable("away"))
        yield memory
        return
    async with lost_redis() as redis:
        yield TrendsStore(redis)


def snapshot(number: int = NUMBER, together_version: int = 0) -> Snapshot:
    products = (TrendingProduct("p1", "tv", 20.5), TrendingProduct(f"p{number}", None, 1.0))
    return Snapshot(number, number * 1000 + 7, together_version, products)


async def test_before_the_first_snapshot_there_is_none(side: Side) -> None:
    """Its number is 0, at every time."""
    assert await side.snapshots.current() == 0
    assert await side.snapshots.load(NUMBER) is None
    assert await side.snapshots.number_at(NUMBER * 1000) == 0


async def test_a_snapshot_is_read_as_it_was_saved(side: Side) -> None:
    """Even after it was replaced."""
    assert await side.snapshots.save_snapshot(snapshot(), 0)
    assert await side.snapshots.save_snapshot(snapshot(NUMBER + 30), NUMBER)
    assert await side.snapshots.current() == NUMBER + 30
    for number in (NUMBER, NUMBER + 30):
        assert await side.snapshots.load(number) == snapshot(number).trends({})


async def test_the_current_snapshot_never_goes_back(side: Side) -> None:
    """Of two streams that take the same number the first wins. What was stored is announced, nothing else is."""
    await side.snapshots.save_snapshot(snapshot(), 0)
    watch = side.notices.watch()
    watch.clear()
    watch.listen([TRENDS_CHANNEL])
    await becomes_dirty(watch)
    watch.clear()
    for number in (NUMBER, NUMBER - 30):
        assert not await side.snapshots.save_snapshot(snapshot(number), 0)
    assert await stays_clean(watch)
    assert (await side.snapshots.current(), await side.snapshots.load(NUMBER - 30)) == (NUMBER, None)
    assert await side.snapshots.save_snapshot(snapshot(NUMBER + 30), NUMBER)
    await becomes_dirty(watch)


async def test_the_snapshot_of_a_moment_is_the_latest_by_then(side: Side) -> None:
    """Numbers are seconds. The number stays known when the snapshot is no longer kept."""
    for number in (NUMBER, NUMBER + 30):
        await side.snapshots.save_snapshot(snapshot(number), 0)
    moments = (NUMBER * 1000 - 1, NUMBER * 1000, (NUMBER + 30) * 1000 - 1, (NUMBER + 30) * 1000)
    expected = [0, NUMBER, NUMBER, NUMBER + 30]
    assert [await side.snapshots.number_at(at_ms) for at_ms in moments] == expected
    await side.expire(NUMBER)
    assert await side.snapshots.load(NUMBER) is None
    assert [await side.snapshots.number_at(at_ms) for at_ms in moments] == expected


async def test_a_snapshot_comes_with_its_products_bought_together(side: Side) -> None:
    """With the version that it names, not with a later one."""
    assert await side.snapshots.save_together(5, {"p1": ("p2", "p3")})
    await side.snapshots.save_snapshot(snapshot(together_version=5), 0)
    assert await side.snapshots.save_together(6, {"p1": ("p4",)})
    assert not await side.snapshots.save_together(6, {"p1": ()})
    trends = await side.snapshots.load(NUMBER)
    assert trends == snapshot(together_version=5).trends({"p1": ("p2", "p3")})


async def test_a_snapshot_without_its_products_bought_together_says_so(side: Side) -> None:
    """They were pushed out by newer versions, or never stored."""
    await side.snapshots.save_together(5, {"p1": ("p2",)})
    await side.expire_together(5)
    await side.snapshots.save_snapshot(snapshot(together_version=5), 0)
    trends = await side.snapshots.load(NUMBER)
    assert trends is not None
    assert (trends.is_complete, trends.together, trends.products) == (False, {}, snapshot().products)


async def test_a_store_that_is_away_is_unavailable(away: TrendsSnapshots) -> None:
    """For every call."""
    for call in (away.current(), away.load(NUMBER), away.number_at(NUMBER * 1000)):
        with pytest.raises(StoreUnavailable):
            await call
