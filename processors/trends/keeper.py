"""The trends between Spark and Redis: the last windows in memory, what changes in them stored at once, snapshots on the clock.

Counts are stored before a batch is done, because Spark does not tell them again after a restart; while Redis is away the
batch waits. What Redis holds is loaded at the start. A thread with an event loop of its own does all of this, so that a
snapshot is taken also when no batch comes.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

from gateway.clock import NowMs, system_now_ms
from gateway.model.trends.codec import Snapshot, slot_of
from gateway.model.trends.windows import Counts, Windows
from gateway.store.connection import StoreUnavailable, connect
from gateway.store.trends import TrendsStore
from processors.trends.stream import Report

STORE_TIMEOUT_MS: Final = 5_000
RETRY_SECONDS: Final = 1.0
STOP_SECONDS: Final = 10.0

log = logging.getLogger("processors")


class KeeperStopped(Exception):
    """Counts were not stored, for the keeper was told to stop: the batch will come again."""


class TrendsKeeper:
    """Keeps the trends of one stream. `take` may be called from any thread once `wait_loaded` said yes."""

    def __init__(self, redis_url: str, period_s: int, now_ms: NowMs = system_now_ms) -> None:
        self._redis = connect(redis_url, STORE_TIMEOUT_MS)
        self._store = TrendsStore(self._redis)
        self._period_s = period_s
        self._now_ms = now_ms
        self._windows = Windows()
        self._unsaved: dict[int, dict[str, Counts]] = {}
        self._last: Snapshot | None = None
        self._loaded = threading.Event()
        self._stopping = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="trends-keeper", daemon=True)

    def start(self) -> None:
        """Begin to load what Redis holds."""
        self._thread.start()

    def wait_loaded(self, seconds: float) -> bool:
        """Wait until Redis gave what it holds, or the time is over; whether it did."""
        return self._loaded.wait(seconds)

    def take(self, reports: Iterable[Report]) -> None:
        """Take in the counts of a batch; returns when Redis has what changed. Raises KeeperStopped."""
        coroutine = self._take(list(reports))
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError as error:
            coroutine.close()
            raise KeeperStopped("trends are not stored any more") from error
        while True:
            try:
                return future.result(RETRY_SECONDS)
            except TimeoutError as error:
                if not self._thread.is_alive():
                    raise KeeperStopped("trends are not stored any more") from error

    @property
    def is_alive(self) -> bool:
        """Whether counts are still stored and snapshots taken."""
        return self._thread.is_alive()

    def release(self) -> None:
        """Begin to end: a batch that waits for Redis waits no more."""
        self._stopping.set()

    def stop(self) -> None:
        """End the thread. Harmless twice."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._main())
        except Exception:
            log.exception("the trends are not kept any more")
        finally:
            self._loop.close()

    async def _main(self) -> None:
        try:
            await self._retried("loaded", self._load)
            self._loaded.set()
            await self._take_snapshots()
        except KeeperStopped:
            pass
        finally:
            # A batch that waits learns that nothing will be stored any more.
            pending = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.gather(*pending, return_exceptions=True)
            await self._redis.aclose()

    async def _load(self) -> None:
        now_ms = self._now_ms()
        for window_ms, counts in (await self._store.windows(now_ms)).items():
            for product_id, one in counts.items():
                self._windows.join(window_ms, product_id, one)
        current = await self._store.current()
        self._last = await self._store.snapshot(current) if current else None

    async def _take(self, reports: list[Report]) -> None:
        for window_ms, product_id, counts in reports:
            joined = self._windows.join(window_ms, product_id, counts)
            if joined is not None:
                self._unsaved.setdefault(window_ms, {})[product_id] = joined
        await self._retried("stored", self._save)

    async def _save(self) -> None:
        dropped = self._windows.weakest()
        for window_ms, names in dropped.items():
            for product_id in names:
                self._unsaved.get(window_ms, {}).pop(product_id, None)
        unsaved, self._unsaved = self._unsaved, {}
        try:
            await self._store.save_counts(unsaved, dropped)
        except StoreUnavailable:
            for window_ms, counts in self._unsaved.items():
                unsaved.setdefault(window_ms, {}).update(counts)
            self._unsaved = unsaved
            raise

    async def _take_snapshots(self) -> None:
        was_away = False
        while not self._stopping.is_set():
            await self._until_next_slot()
            try:
                await self._take_snapshot()
                was_away = False
            except StoreUnavailable as problem:
                if not was_away:
                    log.warning("no snapshot of the trends could be taken: %s; trying again with each", problem)
                was_away = True

    async def _until_next_slot(self) -> None:
        """Sleep in short steps: a stop need not wait for the slot."""
        slot = slot_of(self._now_ms(), self._period_s)
        while not self._stopping.is_set() and (now_ms := self._now_ms()) < (slot + self._period_s) * 1000:  # noqa: ASYNC110 - set by a thread
            await asyncio.sleep(min(RETRY_SECONDS, (slot + self._period_s) - now_ms / 1000))

    async def _take_snapshot(self) -> None:
        """Make a new snapshot, unless it would be as the current one is."""
        now_ms = self._now_ms()
        self._windows.forget(now_ms)
        current = await self._store.current()
        if current == 0 and self._last is not None:
            log.warning("the trends in Redis are gone: writing them anew")
            self._unsaved = {window_ms: dict(counts) for window_ms, counts in self._windows.as_dict().items()}
            await self._save()
        if self._last is None or self._last.number != current:
            self._last = await self._store.snapshot(current) if current else None
        together = await self._store.together_version()
        products = self._windows.ranked(now_ms)
        if self._last is None and not products and not together:
            return
        is_new = self._last is None or (self._last.products, self._last.together_version) != (products, together)
        if not is_new and await self._store.keep(current):
            return
        snapshot = Snapshot(slot_of(now_ms, self._period_s), now_ms, together, products)
        if await self._store.save_snapshot(snapshot, current):
            self._last = snapshot

    async def _retried(self, what: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do it, as often as Redis is away. Raises KeeperStopped."""
        tries = 0
        while not self._stopping.is_set():
            try:
                return await work()
            except StoreUnavailable as problem:
                if tries == 0:
                    log.warning("trends cannot be %s yet: %s; trying again", what, problem)
                tries += 1
                await asyncio.sleep(RETRY_SECONDS)
        raise KeeperStopped(f"trends were not {what}")
