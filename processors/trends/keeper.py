"""The trends between Spark and Redis: the last windows in memory, changes stored immediately, snapshots at regular times.

Counts are stored before a batch is done, because Spark does not report them again after a restart; while Redis is away the
batch waits. The windows in Redis are loaded at the start. A thread with its own event loop does all of this, so that snapshots
are taken even if there are no batches.
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
from processors.trends.stream import ProductCounts

STORE_TIMEOUT_MS: Final = 5_000
RETRY_SECONDS: Final = 1.0
STOP_SECONDS: Final = 10.0

log = logging.getLogger("processors")


class KeeperStopped(Exception):
    """Counts were not stored because the keeper was told to stop: the batch will be repeated."""


class TrendsKeeper:
    """Keeps the trends of one stream. `add` may be called from any thread once `wait_loaded` has returned True."""

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
        self._thread = threading.Thread(target=self._run_event_loop, name="trends-keeper", daemon=True)

    def start(self) -> None:
        """Start, and load the windows that Redis has."""
        self._thread.start()

    def wait_loaded(self, seconds: float) -> bool:
        """Wait until the windows in Redis are loaded or the time is over; returns whether they are loaded."""
        return self._loaded.wait(seconds)

    def add(self, batch: Iterable[ProductCounts]) -> None:
        """Add the counts of a batch; returns when the changes are stored in Redis. Raises KeeperStopped."""
        coroutine = self._add(list(batch))
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError as error:
            coroutine.close()
            raise KeeperStopped("trends are no longer stored") from error
        while True:
            try:
                return future.result(RETRY_SECONDS)
            except TimeoutError as error:
                if not self._thread.is_alive():
                    raise KeeperStopped("trends are no longer stored") from error

    @property
    def is_alive(self) -> bool:
        """Whether counts are still stored and snapshots are still taken."""
        return self._thread.is_alive()

    def release(self) -> None:
        """Start to stop: a batch that waits for Redis stops waiting."""
        self._stopping.set()

    def stop(self) -> None:
        """End the thread. It may be called more than once."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS)

    def _run_event_loop(self) -> None:
        try:
            self._loop.run_until_complete(self._main())
        except Exception:
            log.exception("trends are no longer stored")
        finally:
            self._loop.close()

    async def _main(self) -> None:
        try:
            await self._retry("loaded", self._load)
            self._loaded.set()
            await self._take_snapshots()
        except KeeperStopped:
            pass
        finally:
            # A waiting batch must learn that nothing will be stored any more.
            pending = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.gather(*pending, return_exceptions=True)
            await self._redis.aclose()

    async def _load(self) -> None:
        now_ms = self._now_ms()
        for window_ms, counts in (await self._store.windows(now_ms)).items():
            for product_id, product_counts in counts.items():
                self._windows.merge(window_ms, product_id, product_counts)
        current = await self._store.current()
        self._last = await self._store.snapshot(current) if current else None

    async def _add(self, batch: list[ProductCounts]) -> None:
        for window_ms, product_id, counts in batch:
            joined = self._windows.merge(window_ms, product_id, counts)
            if joined is not None:
                self._unsaved.setdefault(window_ms, {})[product_id] = joined
        await self._retry("stored", self._save)

    async def _save(self) -> None:
        dropped = self._windows.drop_weakest()
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
                    log.warning("no snapshot of the trends could be taken: %s; trying again at the next one", problem)
                was_away = True

    async def _until_next_slot(self) -> None:
        """Sleep in short steps, so that a stop does not wait for the slot."""
        slot = slot_of(self._now_ms(), self._period_s)
        while not self._stopping.is_set() and (now_ms := self._now_ms()) < (slot + self._period_s) * 1000:  # noqa: ASYNC110 - set by a thread
            await asyncio.sleep(min(RETRY_SECONDS, (slot + self._period_s) - now_ms / 1000))

    async def _take_snapshot(self) -> None:
        """Take a new snapshot, unless it would equal the current one."""
        now_ms = self._now_ms()
        self._windows.drop_expired(now_ms)
        current = await self._store.current()
        if current == 0 and self._last is not None:
            log.warning("the trends in Redis are gone: writing them again")
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

    async def _retry(self, participle: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do the work, and repeat it until Redis answers. `participle` names it in messages. Raises KeeperStopped."""
        tries = 0
        while not self._stopping.is_set():
            try:
                return await work()
            except StoreUnavailable as problem:
                if tries == 0:
                    log.warning("trends cannot be %s yet: %s; trying again", participle, problem)
                tries += 1
                await asyncio.sleep(RETRY_SECONDS)
        raise KeeperStopped(f"trends were not {participle}")
