"""Campaign statistics in memory, as the batch job left them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.model.statistics.results import Coverage, StatsRow
from gateway.store.stats import StoredStats
from tests.support.memory.faults import Faults


class MemoryCampaignStatistics:
    """A `CampaignStatistics`. `reading` is what its next reads meet."""

    def __init__(self) -> None:
        self.reading = Faults()
        self._as_of_ms: int | None = None
        self._stored: dict[str, StoredStats] = {}

    async def load(self, campaign_id: str) -> StoredStats | None:
        """As `CampaignStatistics.load`."""
        await self.reading.enter()
        stored = self._stored.get(campaign_id)
        self.reading.leave()
        return stored

    async def as_of_ms(self) -> int | None:
        """As `CampaignStatistics.as_of_ms`."""
        await self.reading.enter()
        as_of_ms = self._as_of_ms
        self.reading.leave()
        return as_of_ms

    def save(self, campaign_id: str, hours: Mapping[int, Sequence[StatsRow]], coverage: Coverage) -> None:
        """Put the rows of a run that counted one campaign in place of all earlier ones."""
        self._stored[campaign_id] = StoredStats(coverage, dict(hours))
        self._as_of_ms = coverage.as_of_ms
