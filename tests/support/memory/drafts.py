"""Drafts in memory."""

from __future__ import annotations

from gateway.clock import NowMs
from tests.support.memory.faults import Faults


class MemoryDrafts:
    """A `Drafts`. `stored` holds the text of each draft, and until when (ms) it is kept; `calling` is what the next calls meet."""

    def __init__(self, now_ms: NowMs) -> None:
        self.stored: dict[str, tuple[str, int]] = {}
        self.calling = Faults()
        self._now_ms = now_ms

    async def save(self, name: str, yaml: str, until_ms: int) -> None:
        """As `Drafts.save`."""
        await self.calling.enter()
        text, kept_until_ms = self.stored.get(name, (yaml, until_ms))
        self.stored[name] = (text, max(kept_until_ms, until_ms))
        self.calling.leave()

    async def load(self, name: str) -> str | None:
        """As `Drafts.load`."""
        await self.calling.enter()
        text, until_ms = self.stored.get(name, (None, 0))
        self.calling.leave()
        return text if until_ms > self._now_ms() else None
