"""Purging by the clock: what is held of visitors who withdrew consent goes when it is due, also if they never come back.

Any number of context writers may do this beside each other: each takes entries of the queue for itself, and an entry that is
worked off twice is harmless.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from gateway.clock import NowMs
from gateway.store.connection import StoreUnavailable
from gateway.store.purges import PurgeQueue
from gateway.store.writer import ContextWriter
from gateway.telemetry import Metrics

PURGE_SECONDS: Final = 1.0
AT_ONCE: Final = 100

log = logging.getLogger(__name__)


class Purger:
    """Works off the queue of purges until it is stopped."""

    def __init__(self, queue: PurgeQueue, writer: ContextWriter, metrics: Metrics, now_ms: NowMs) -> None:
        self._queue = queue
        self._writer = writer
        self._metrics = metrics
        self._now_ms = now_ms
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the background."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop; what was taken and is not done comes again when its lease ends."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def purge_due(self) -> int:
        """Purge what is due now, up to `AT_ONCE` visitors; gives how many were taken. Raises `StoreUnavailable`."""
        now_ms = self._now_ms()
        taken = await self._queue.take(now_ms, AT_ONCE)
        if taken:
            applied = await self._writer.purge(taken)
            self._metrics.purges.inc(applied.purged)
            await self._queue.finish(taken, now_ms)
        return len(taken)

    async def _run(self) -> None:
        while True:
            try:
                if await self.purge_due() == AT_ONCE:
                    continue
            except StoreUnavailable as problem:
                log.warning("what is due to be purged waits: %s", problem)
            await asyncio.sleep(PURGE_SECONDS)
