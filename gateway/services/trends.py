"""The trends that this process uses for decisions: the current snapshot in Redis, and older ones for explanations.

A new snapshot is announced on a channel; slow polling is the backstop. The last snapshot stays in use while Redis is
unreachable, and when no new ones are taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from gateway.background import BackgroundTasks
from gateway.clock import NowMs
from gateway.model.trends.snapshot import NO_TRENDS, Trends
from gateway.services.ports import Notices, TrendsSnapshots
from gateway.store.connection import StoreUnavailable
from gateway.store.keys import TRENDS_CHANNEL
from gateway.telemetry import Metrics

POLL_SECONDS: Final = 20.0
RETRY_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


class TrendsService:
    """Holds the current snapshot. One instance per process."""

    def __init__(self, store: TrendsSnapshots, bus: Notices, metrics: Metrics, now_ms: NowMs) -> None:
        self._store = store
        self._watch = bus.watch()
        self._metrics = metrics
        self._current = NO_TRENDS
        self._callbacks: list[Callable[[], None]] = []
        self._changed = asyncio.Condition()
        self._tasks = BackgroundTasks()
        metrics.trends_age.set_function(lambda: self._age_seconds(now_ms()))

    @property
    def current(self) -> Trends:
        """The current snapshot; an empty one before the first."""
        return self._current

    def on_change(self, callback: Callable[[], None]) -> None:
        """Register a callback that runs in the event loop after each new snapshot."""
        self._callbacks.append(callback)

    async def start(self) -> None:
        """Load the current snapshot, then follow in the background."""
        with contextlib.suppress(StoreUnavailable):
            await self._load_current()
        self._watch.listen([TRENDS_CHANNEL])
        self._tasks.start(self._follow())

    async def stop(self) -> None:
        """Stop the background tasks."""
        await self._tasks.stop()
        self._watch.close()

    async def at_least(self, number: int, wait_seconds: float) -> bool:
        """Wait until this snapshot, or a later one, is current. False if that takes longer than `wait_seconds`."""
        if self._current.snapshot >= number:
            return True
        self._watch.mark()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_seconds), self._changed:
                await self._changed.wait_for(lambda: self._current.snapshot >= number)
        return self._current.snapshot >= number

    async def snapshot(self, number: int) -> Trends | None:
        """The snapshot with that number; None: it is no longer kept. Raises `Unavailable`."""
        if number == self._current.snapshot:
            return self._current
        if number == 0:
            return NO_TRENDS
        return await self._store.load(number)

    async def number_at(self, at_ms: int) -> int:
        """The number of the snapshot that was current at a time; 0: none is known. Raises `Unavailable`."""
        return await self._store.number_at(at_ms)

    async def _follow(self) -> None:
        while True:
            self._watch.clear()
            wait_seconds = POLL_SECONDS
            try:
                await self._load_current()
            except StoreUnavailable:
                wait_seconds = RETRY_SECONDS
            await self._watch.wait(wait_seconds)

    async def _load_current(self) -> None:
        number = await self._store.current()
        if number <= self._current.snapshot:
            return
        snapshot = await self._store.load(number)
        if snapshot is None:
            return
        self._current = snapshot
        self._metrics.trends_snapshot.set(number)
        log.debug("trends snapshot %d: %d products", number, len(snapshot.products))
        for callback in self._callbacks:
            callback()
        async with self._changed:
            self._changed.notify_all()

    def _age_seconds(self, now_ms: int) -> float:
        return (now_ms - self._current.taken_at_ms) / 1000 if self._current.snapshot else 0.0
