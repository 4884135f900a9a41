"""Purging by the clock: data of visitors who withdrew consent is deleted when it is due, even if they never come back.

Any number of context writers can do this at the same time: each one leases its own entries of the queue, and purging an entry
a second time does no harm.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from gateway.background import BackgroundTasks
from gateway.clock import NowMs
from gateway.store.connection import StoreUnavailable
from gateway.store.writer import ContextWriter
from gateway.telemetry import Metrics

PURGE_SECONDS: Final = 1.0
BATCH_SIZE: Final = 100
"""Visitors that are purged in one step."""

log = logging.getLogger(__name__)


class DuePurges(Protocol):
    """The queue of purges as those who purge see it. Every method raises `StoreUnavailable` while the store does not answer."""

    async def lease(self, now_ms: int, limit: int) -> list[str]:
        """At most `limit` visitors whose purge is due; nobody else gets them until the lease ends."""

    async def finish(self, visitor_ids: list[str], leased_at_ms: int) -> None:
        """Remove the entries that were leased at `leased_at_ms`, except those that were added again since."""


class Purger:
    """Purges the visitors in the queue when they are due, until it is stopped."""

    def __init__(self, queue: DuePurges, writer: ContextWriter, metrics: Metrics, now_ms: NowMs) -> None:
        self._queue = queue
        self._writer = writer
        self._metrics = metrics
        self._now_ms = now_ms
        self._tasks = BackgroundTasks()

    def start(self) -> None:
        """Start, in the background."""
        self._tasks.start(self._purge_regularly())

    async def stop(self) -> None:
        """Stop. Entries that were leased but not purged can be leased again when their lease ends."""
        await self._tasks.stop()

    async def purge_due(self) -> int:
        """Purge up to `BATCH_SIZE` visitors who are due now; returns how many were leased. Raises `StoreUnavailable`."""
        now_ms = self._now_ms()
        leased = await self._queue.lease(now_ms, BATCH_SIZE)
        if leased:
            applied = await self._writer.purge(leased)
            self._metrics.purges.inc(applied.purged)
            await self._queue.finish(leased, now_ms)
        return len(leased)

    async def _purge_regularly(self) -> None:
        while True:
            try:
                if await self.purge_due() == BATCH_SIZE:
                    continue
            except StoreUnavailable as problem:
                log.warning("visitors that are due cannot be purged yet: %s", problem)
            await asyncio.sleep(PURGE_SECONDS)
