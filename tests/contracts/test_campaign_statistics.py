"""Campaign statistics as the service reads them: the rows of a campaign by hour, and as of when they were counted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import pytest

from gateway.model.statistics.intervals import VisitorSums
from gateway.model.statistics.results import Coverage, StatsRow
from gateway.services.ports import CampaignStatistics
from gateway.store.connection import StoreUnavailable
from gateway.store.stats import CampaignStatsStore, StoredStats
from tests.contracts.sides import BOTH_SIDES, empty_redis, lost_redis, new_id
from tests.support.memory.campaign_statistics import MemoryCampaignStatistics

HOUR = 497_222
COVERAGE = Coverage(HOUR * 3_600_000 + 5, 7, 30, 1, HOUR)
ROWS = [
    StatsRow("a", 1, 30, 6, 3, 2, 1, VisitorSums(20, 30, 6, 60, 6, 9), {"EUR": Decimal("10.50")}),
    StatsRow("a", 2, 10, 1, 0, 0, 0, VisitorSums(10, 10, 1, 10, 1, 1)),
    StatsRow("b", 1, 12, 12, 1, 1, 0, VisitorSums(12, 12, 12, 12, 12, 12)),
]


@dataclass(frozen=True)
class Side:
    """`save` stores what a run counted of one campaign."""

    statistics: CampaignStatistics
    save: Callable[[str, Mapping[int, Sequence[StatsRow]]], Awaitable[object]]


@pytest.fixture(params=BOTH_SIDES)
async def side(request: pytest.FixtureRequest) -> AsyncIterator[Side]:
    if request.param == "memory":
        memory = MemoryCampaignStatistics()

        async def save(campaign_id: str, hours: Mapping[int, Sequence[StatsRow]]) -> None:
            memory.save(campaign_id, hours, COVERAGE)

        yield Side(memory, save)
        return
    async with empty_redis(request) as redis:
        store = CampaignStatsStore(redis)
        yield Side(store, lambda campaign_id, hours: store.save({campaign_id: hours}, COVERAGE, log_start_hour=HOUR))


@pytest.fixture(params=BOTH_SIDES)
async def away(request: pytest.FixtureRequest) -> AsyncIterator[CampaignStatistics]:
    """Statistics in a store that is away."""
    if request.param == "memory":
        memory = MemoryCampaignStatistics()
        memory.reading.stay_away(StoreUnavailable("away"))
        yield memory
        return
    async with lost_redis() as redis:
        yield CampaignStatsStore(redis)


async def test_before_the_first_run_nothing_was_counted(side: Side) -> None:
    """Of any campaign, at any time."""
    assert await side.statistics.load(new_id("campaign")) is None
    assert await side.statistics.as_of_ms() is None


async def test_rows_are_read_as_they_were_saved(side: Side) -> None:
    """By hour, with how they were counted; another campaign has none."""
    campaign_id = new_id("campaign")
    hours = {HOUR: ROWS, HOUR + 1: ROWS[:1]}
    await side.save(campaign_id, hours)
    assert await side.statistics.load(campaign_id) == StoredStats(COVERAGE, hours)
    assert await side.statistics.as_of_ms() == COVERAGE.as_of_ms
    assert await side.statistics.load(new_id("campaign")) is None


async def test_a_later_run_replaces_the_rows(side: Side) -> None:
    """What it no longer counted is gone."""
    campaign_id = new_id("campaign")
    await side.save(campaign_id, {HOUR: ROWS, HOUR + 1: ROWS})
    await side.save(campaign_id, {HOUR: ROWS[:1]})
    assert await side.statistics.load(campaign_id) == StoredStats(COVERAGE, {HOUR: ROWS[:1]})


async def test_a_store_that_is_away_is_unavailable(away: CampaignStatistics) -> None:
    """For both calls."""
    with pytest.raises(StoreUnavailable):
        await away.load(new_id("campaign"))
    with pytest.raises(StoreUnavailable):
        await away.as_of_ms()
