"""Purging by the clock: who is due is purged, once, and later if the store is away."""

from __future__ import annotations

import asyncio

import pytest

from gateway.model.events.contribution import Position
from gateway.model.events.event import check_record
from gateway.model.visitors.context_view import totals_of
from gateway.model.visitors.purge import purge_due_ms
from gateway.model.visitors.state import Update
from gateway.store.connection import StoreUnavailable
from gateway.store.purges import LEASE_MS
from gateway.store.writer import ContextWriter
from gateway.telemetry import Metrics
from processors.context.purging import BATCH_SIZE, PURGE_SECONDS, Purger
from tests.support.memory.purge_queue import MemoryPurgeQueue
from tests.support.memory.state_store import MemoryStateStore
from tests.support.virtual_time import START_MS, now_ms


class Purging:
    """A purger over parts in memory, and visitors who withdrew consent."""

    def __init__(self) -> None:
        self.queue = MemoryPurgeQueue()
        self.store = MemoryStateStore()
        self.metrics = Metrics()
        self.writer = ContextWriter(self.store, now_ms)
        self.purger = Purger(self.queue, self.writer, self.metrics, now_ms)

    @property
    def purged(self) -> float:
        return self.metrics.registry.get_sample_value("context_writer_purges_total") or 0.0

    async def withdraw(self, *visitor_ids: str) -> int:
        """Let visitors put something into their cart and withdraw consent now; returns when they are due (ms)."""
        due_ms = 0
        for visitor_id in visitor_ids:
            added = self._update(visitor_id, 0, "PRODUCT_ADDED", {"product": {"product_id": "p", "category": "tv"}})
            updates = [added, self._update(visitor_id, 1, "CONSENT", {"personalization": False})]
            await self.writer.apply(updates)
            state = self.store.state(visitor_id)
            due_ms = purge_due_ms(state, totals_of(state).withdrawn_since_ms) or 0
            self.queue.due_ms[visitor_id] = due_ms
        return due_ms

    def _update(self, visitor_id: str, offset: int, event_type: str, payload: dict[str, object]) -> Update:
        record = {"message_id": f"{visitor_id}-{offset}", "type": event_type, "visitor_id": visitor_id, "payload": payload}
        event = check_record({**record, "event_time_ms": now_ms(), "received_at_ms": now_ms()})
        return Update(visitor_id, Position("user_actions", 0, offset), 1, event)

    def holds(self, visitor_id: str) -> int:
        """How many contributions are held of a visitor."""
        return sum(len(part.contributions) for part in self.store.state(visitor_id).parts.values())


@pytest.fixture
async def purging() -> Purging:
    return Purging()


async def pass_until(time_ms: int) -> None:
    await asyncio.sleep((time_ms - now_ms()) / 1000)


async def test_who_is_due_is_purged(purging: Purging) -> None:
    """Not a millisecond before. Consent itself is kept, and the visitor leaves the queue."""
    due_ms = await purging.withdraw("a")
    await pass_until(due_ms - 1)
    assert (await purging.purger.purge_due(), purging.holds("a")) == (0, 2)
    await pass_until(due_ms)
    assert (await purging.purger.purge_due(), purging.holds("a"), purging.purged) == (1, 1, 1)
    assert purging.queue.due_ms == {}


async def test_an_entry_with_nothing_to_purge_does_no_harm(purging: Purging) -> None:
    """The visitor gave consent again, or was never stored: the process died between the two writes."""
    purging.queue.due_ms["nobody"] = START_MS
    assert (await purging.purger.purge_due(), purging.purged, purging.queue.due_ms) == (1, 0, {})


async def test_a_visitor_who_becomes_due_again_meanwhile_stays_in_the_queue(purging: Purging) -> None:
    """The new entry is not that of the lease."""
    due_ms = await purging.withdraw("a")
    await pass_until(due_ms)
    purging.store.writing.freeze()
    purge = asyncio.create_task(purging.purger.purge_due())
    await asyncio.sleep(1)
    purging.queue.due_ms["a"] = due_ms + 100_000
    purging.store.writing.recover()
    await purge
    assert purging.queue.due_ms == {"a": due_ms + 100_000}


async def test_a_purge_that_fails_is_done_when_its_lease_ends(purging: Purging) -> None:
    """By this process or by another one."""
    due_ms = await purging.withdraw("a")
    await pass_until(due_ms)
    purging.store.reading.fail(StoreUnavailable("away"))
    with pytest.raises(StoreUnavailable):
        await purging.purger.purge_due()
    assert await purging.purger.purge_due() == 0
    await asyncio.sleep(LEASE_MS / 1000)
    assert (await purging.purger.purge_due(), purging.holds("a")) == (1, 1)


async def test_in_the_background_everyone_is_purged_within_a_second(purging: Purging) -> None:
    """However many are due at once."""
    visitors = [f"v{number}" for number in range(2 * BATCH_SIZE + 3)]
    due_ms = await purging.withdraw(*visitors)
    purging.purger.start()
    await pass_until(due_ms + round(PURGE_SECONDS * 1000))
    assert (purging.purged, purging.queue.due_ms) == (len(visitors), {})
    await purging.purger.stop()


async def test_a_queue_that_is_away_is_asked_again(purging: Purging) -> None:
    """Every second."""
    due_ms = await purging.withdraw("a")
    purging.purger.start()
    purging.queue.calling.stay_away(StoreUnavailable("away"))
    await pass_until(due_ms + 60_000)
    assert purging.holds("a") == 2
    purging.queue.calling.recover()
    await asyncio.sleep(PURGE_SECONDS)
    assert purging.holds("a") == 1
    await purging.purger.stop()


async def test_a_stop_ends_it(purging: Purging) -> None:
    """Whoever becomes due later is purged by another process."""
    due_ms = await purging.withdraw("a")
    purging.purger.start()
    await purging.purger.stop()
    await pass_until(due_ms + 60_000)
    assert purging.holds("a") == 2
