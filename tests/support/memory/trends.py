"""Snapshots of the trends in memory."""

from __future__ import annotations

from collections.abc import Callable

from gateway.model.trends.codec import BoughtTogether, Snapshot
from gateway.model.trends.snapshot import Trends
from gateway.store.keys import TRENDS_CHANNEL
from tests.support.memory.faults import Faults


class MemoryTrends:
    """A `TrendsSnapshots`, with what writes to it. `reading` is what its next reads meet."""

    def __init__(self, announce: Callable[[str], None] = lambda _: None) -> None:
        self.reading = Faults()
        self._announce = announce
        self._numbers: list[int] = []
        self._snapshots: dict[int, Snapshot] = {}
        self._together: dict[int, BoughtTogether] = {}

    async def current(self) -> int:
        """As `TrendsSnapshots.current`."""
        await self.reading.enter()
        number = self._numbers[-1] if self._numbers else 0
        self.reading.leave()
        return number

    async def load(self, number: int) -> Trends | None:
        """As `TrendsSnapshots.load`."""
        await self.reading.enter()
        snapshot = self._snapshots.get(number)
        self.reading.leave()
        if snapshot is None:
            return None
        return snapshot.trends(self._together.get(snapshot.together_version) if snapshot.together_version else {})

    async def number_at(self, at_ms: int) -> int:
        """As `TrendsSnapshots.number_at`."""
        await self.reading.enter()
        number = max((number for number in self._numbers if number <= at_ms // 1000), default=0)
        self.reading.leave()
        return number

    async def save_snapshot(self, snapshot: Snapshot, replaces: int) -> bool:
        """As `TrendsStore.save_snapshot`."""
        if self._numbers and self._numbers[-1] >= snapshot.number:
            return False
        self._numbers.append(snapshot.number)
        self._snapshots[snapshot.number] = snapshot
        self._announce(TRENDS_CHANNEL)
        return True

    async def save_together(self, version: int, together: BoughtTogether) -> bool:
        """As `TrendsStore.save_together`."""
        if max(self._together, default=0) >= version:
            return False
        self._together[version] = together
        return True

    def expire(self, number: int) -> None:
        """Let the retention of a snapshot end: its number stays known."""
        del self._snapshots[number]

    def expire_together(self, version: int) -> None:
        """Let newer versions push this one of the products bought together out."""
        del self._together[version]
