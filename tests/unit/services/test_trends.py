"""The trends that a process uses: the current snapshot, older ones, and a store that is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.errors import Unavailable
from gateway.model.trends.codec import Snapshot
from gateway.model.trends.snapshot import NO_TRENDS, TrendingProduct
from gateway.services.trends import POLL_SECONDS, RETRY_SECONDS
from gateway.store.connection import StoreUnavailable
from tests.support.memory.gateway import MemoryGateway
from tests.support.virtual_time import START_MS, now_ms
from tests.unit.services.pages import AT_ONCE_SECONDS, rules

NUMBER = START_MS // 1000


@pytest.fixture
async def gateway() -> AsyncIterator[MemoryGateway]:
    async with MemoryGateway(rules()) as gateway:
        yield gateway


def snapshot(number: int = NUMBER, together_version: int = 0) -> Snapshot:
    return Snapshot(number, number * 1000, together_version, (TrendingProduct(f"p{number}", "tv", 1.0),))


def current(gateway: MemoryGateway) -> int:
    return gateway.trends.current.snapshot


async def test_before_the_first_snapshot_there_are_no_trends(gateway: MemoryGateway) -> None:
    """Their age is 0 then."""
    assert gateway.trends.current == NO_TRENDS
    assert gateway.metric("gateway_trends_age_seconds") == 0
    assert await gateway.trends.number_at(now_ms()) == 0


async def test_a_new_snapshot_is_used_at_its_notice(gateway: MemoryGateway) -> None:
    """Those who registered are called; its number and its age are shown as metrics."""
    calls = list[int]()
    gateway.trends.on_change(lambda: calls.append(current(gateway)))
    await gateway.snapshots.save_snapshot(snapshot(), 0)
    await asyncio.sleep(AT_ONCE_SECONDS)
    assert (calls, gateway.metric("gateway_trends_snapshot")) == ([NUMBER], NUMBER)
    await asyncio.sleep(30)
    assert (calls, gateway.metric("gateway_trends_age_seconds")) == ([NUMBER], 30 + AT_ONCE_SECONDS)


async def test_the_snapshot_that_is_there_at_the_start_is_used_at_once() -> None:
    """The first decision knows it."""
    gateway = MemoryGateway(rules())
    await gateway.snapshots.save_snapshot(snapshot(), 0)
    async with gateway:
        assert current(gateway) == NUMBER


async def test_a_snapshot_whose_notice_was_lost_is_found_by_the_poll(gateway: MemoryGateway) -> None:
    """Every twenty seconds."""
    gateway.notices.lose(1)
    await gateway.snapshots.save_snapshot(snapshot(), 0)
    await asyncio.sleep(1)
    assert current(gateway) == 0
    await asyncio.sleep(POLL_SECONDS)
    assert current(gateway) == NUMBER


async def test_while_the_store_is_away_the_last_snapshot_stays(gateway: MemoryGateway) -> None:
    """The next is used a second after the store is back."""
    await gateway.snapshots.save_snapshot(snapshot(), 0)
    await asyncio.sleep(1)
    gateway.lose_store()
    await gateway.snapshots.save_snapshot(snapshot(NUMBER + 30), NUMBER)
    await asyncio.sleep(90)
    assert current(gateway) == NUMBER
    gateway.return_store()
    await asyncio.sleep(RETRY_SECONDS)
    assert current(gateway) == NUMBER + 30


async def test_a_store_that_is_away_at_the_start_is_asked_again() -> None:
    """The service starts nevertheless."""
    gateway = MemoryGateway(rules())
    await gateway.snapshots.save_snapshot(snapshot(), 0)
    gateway.lose_store()
    async with gateway:
        assert current(gateway) == 0
        gateway.return_store()
        await asyncio.sleep(RETRY_SECONDS)
        assert current(gateway) == NUMBER


async def test_a_snapshot_that_expired_before_it_was_read_changes_nothing(gateway: MemoryGateway) -> None:
    """The one before stays."""
    await gateway.snapshots.save_snapshot(snapshot(), 0)
    await asyncio.sleep(1)
    await gateway.snapshots.save_snapshot(snapshot(NUMBER + 30), NUMBER)
    gateway.snapshots.expire(NUMBER + 30)
    await asyncio.sleep(2 * POLL_SECONDS)
    assert current(gateway) == NUMBER


async def test_an_older_snapshot_is_read_from_the_store(gateway: MemoryGateway) -> None:
    """With its products bought together; the current one and none need no store."""
    await gateway.snapshots.save_together(3, {"a": ("b",)})
    await gateway.snapshots.save_snapshot(snapshot(NUMBER, 3), 0)
    await gateway.snapshots.save_snapshot(snapshot(NUMBER + 30, 3), NUMBER)
    await asyncio.sleep(1)
    older = await gateway.trends.snapshot(NUMBER)
    assert older is not None
    assert (older.snapshot, older.together, older.is_complete) == (NUMBER, {"a": ("b",)}, True)
    gateway.snapshots.expire_together(3)
    incomplete = await gateway.trends.snapshot(NUMBER)
    assert incomplete is not None
    assert not incomplete.is_complete
    gateway.snapshots.expire(NUMBER)
    assert await gateway.trends.snapshot(NUMBER) is None
    gateway.lose_store()
    assert await gateway.trends.snapshot(0) == NO_TRENDS
    assert await gateway.trends.snapshot(NUMBER + 30) == gateway.trends.current
    with pytest.raises(Unavailable):
        await gateway.trends.snapshot(NUMBER)
    with pytest.raises(Unavailable):
        await gateway.trends.number_at(now_ms())


async def test_the_snapshot_of_a_moment_is_the_latest_by_then(gateway: MemoryGateway) -> None:
    """Numbers are seconds."""
    for number in (NUMBER, NUMBER + 30):
        await gateway.snapshots.save_snapshot(snapshot(number), 0)
    asked = (START_MS - 1, START_MS, START_MS + 29_999, START_MS + 30_000)
    assert [await gateway.trends.number_at(at_ms) for at_ms in asked] == [0, NUMBER, NUMBER, NUMBER + 30]


async def test_a_snapshot_that_is_about_to_come_is_waited_for(gateway: MemoryGateway) -> None:
    """At most for as long as the caller says. The store is asked at once, in case the notice was lost."""
    gateway.notices.lose(1)
    await gateway.snapshots.save_snapshot(snapshot(), 0)
    assert await gateway.trends.at_least(NUMBER, 0.5)
    assert now_ms() == START_MS
    gateway.contexts.reading.fail(StoreUnavailable("not asked"))
    assert not await gateway.trends.at_least(NUMBER + 30, 0.5)
    assert now_ms() == START_MS + 500
