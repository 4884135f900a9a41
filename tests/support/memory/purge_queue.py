"""The queue of purges in memory."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.store.purges import LEASE_MS
from tests.support.memory.faults import Faults


class MemoryPurgeQueue:
    """A `DuePurges`. `due_ms` holds the time of the next purge of each visitor; `calling` is what the next calls meet."""

    def __init__(self) -> None:
        self.due_ms: dict[str, int] = {}
        self.calling = Faults()

    async def add(self, due_ms: Mapping[str, int]) -> None:
        """As `PurgeQueue.add`."""
        self.due_ms |= due_ms

    async def lease(self, now_ms: int, limit: int) -> list[str]:
        """As `DuePurges.lease`."""
        await self.calling.enter()
        due = sorted((due_ms, visitor_id) for visitor_id, due_ms in self.due_ms.items() if due_ms <= now_ms)[:limit]
        leased = [visitor_id for _, visitor_id in due]
        self.due_ms |= dict.fromkeys(leased, now_ms + LEASE_MS)
        self.calling.leave()
        return leased

    async def finish(self, visitor_ids: list[str], leased_at_ms: int) -> None:
        """As `DuePurges.finish`."""
        await self.calling.enter()
        for visitor_id in visitor_ids:
            if self.due_ms.get(visitor_id) == leased_at_ms + LEASE_MS:
                del self.due_ms[visitor_id]
        self.calling.leave()
