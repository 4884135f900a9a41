"""The store of states, and what others read of it: compare-and-set, contexts, whole states, and notices of every write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.model.events.contribution import Position
from gateway.model.events.event import check_record
from gateway.model.visitors.context_view import view
from gateway.model.visitors.state import State, Update, absorb
from gateway.services.ports import Contexts, Notices, States
from gateway.store.connection import StoreUnavailable
from gateway.store.notices import NoticeBus
from gateway.store.reader import ContextReader
from gateway.store.state_store import RedisStateStore
from gateway.store.states import StateReader
from gateway.store.writer import ContextWriter, StateStore, StateWrite
from gateway.telemetry import Metrics
from tests.contracts.sides import (
    BOTH_SIDES,
    TIMEOUT_MS,
    becomes_dirty,
    connected_notices,
    empty_redis,
    lost_redis,
    new_id,
    open_watch,
    stays_clean,
)
from tests.support.memory.contexts import MemoryContexts
from tests.support.memory.notices import MemoryNotices
from tests.support.memory.state_store import MemoryStateStore
from tests.support.memory.states import MemoryStates

RETENTION_MS = 60_000
NOW_MS = 1_790_000_000_000


@dataclass(frozen=True)
class Side:
    """The store, and the parts that read it."""

    store: StateStore
    contexts: Contexts
    states: States
    notices: Notices


@pytest.fixture(params=BOTH_SIDES)
async def side(request: pytest.FixtureRequest) -> AsyncIterator[Side]:
    if request.param == "memory":
        notices = MemoryNotices()
        store = MemoryStateStore(notices.announce)
        yield Side(store, MemoryContexts(store), MemoryStates(store), notices)
        return
    async with empty_redis(request) as redis, connected_notices(redis) as bus:
        contexts = ContextReader(redis, Metrics(), TIMEOUT_MS)
        yield Side(RedisStateStore(redis, RETENTION_MS), contexts, StateReader(redis), bus)


@pytest.fixture(params=BOTH_SIDES)
async def away(request: pytest.FixtureRequest) -> AsyncIterator[Side]:
    """A side whose store is away."""
    if request.param == "memory":
        store = MemoryStateStore()
        contexts, states = MemoryContexts(store), MemoryStates(store)
        for faults in (store.reading, store.writing, contexts.reading, states.reading):
            faults.stay_away(StoreUnavailable("away"))
        yield Side(store, contexts, states, MemoryNotices())
        return
    async with lost_redis() as redis:
        contexts_away = ContextReader(redis, Metrics(), TIMEOUT_MS)
        yield Side(RedisStateStore(redis, RETENTION_MS), contexts_away, StateReader(redis), NoticeBus(redis, Metrics()))


def update(visitor_id: str, offset: int, event_type: str = "PRODUCT_ADDED", payload: dict[str, Any] | None = None) -> Update:
    payload = {"product": {"product_id": "p", "category": "tv"}} if payload is None else payload
    record = {"message_id": f"m{offset}", "type": event_type, "visitor_id": visitor_id, "payload": payload}
    event = check_record({**record, "event_time_ms": NOW_MS + offset, "received_at_ms": NOW_MS + offset})
    return Update(visitor_id, Position("user_actions", 0, offset), 1, event)


def state_of(visitor_id: str, events: int) -> State:
    """The state after a number of events."""
    return absorb(State(visitor_id), [update(visitor_id, offset) for offset in range(events)])[0]


async def store(side: Side, *writes: StateWrite) -> list[bool]:
    return list(await side.store.compare_and_set(writes))


async def test_where_nothing_is_stored_the_state_is_empty(side: Side) -> None:
    """With an empty write id; no context is known, and no state."""
    one, other = new_id(), new_id()
    stored = await side.store.read([one, other])
    assert {visitor_id: (write_id, state) for visitor_id, (write_id, state) in stored.items()} == {
        one: (b"", State(one)),
        other: (b"", State(other)),
    }
    reading = await side.contexts.read(one)
    assert (reading.context, reading.watched, reading.joined) == (None, (one,), False)
    assert (await side.states.read(one)).own is None


async def test_an_empty_expected_id_means_that_nothing_is_stored(side: Side) -> None:
    """The first write is stored, the same one again is not."""
    visitor_id = new_id()
    assert await store(side, StateWrite(b"", visitor_id, state_of(visitor_id, 1))) == [True]
    assert await store(side, StateWrite(b"", visitor_id, state_of(visitor_id, 2))) == [False]
    ((write_id, state),) = (await side.store.read([visitor_id])).values()
    assert (write_id != b"", state) == (True, state_of(visitor_id, 1))


async def test_a_write_id_that_changed_refuses_the_write(side: Side) -> None:
    """Every write gives the state another one, even if the state is the same."""
    visitor_id = new_id()
    await store(side, StateWrite(b"", visitor_id, state_of(visitor_id, 1)))
    (first,) = (await side.store.read([visitor_id])).values()
    assert await store(side, StateWrite(first.write_id, visitor_id, first.state)) == [True]
    assert await store(side, StateWrite(first.write_id, visitor_id, state_of(visitor_id, 2))) == [False]
    (second,) = (await side.store.read([visitor_id])).values()
    assert (second.state, second.write_id != first.write_id) == (first.state, True)


async def test_a_write_id_of_nothing_refuses_the_write(side: Side) -> None:
    """The state expired, or was never there."""
    visitor_id = new_id()
    assert await store(side, StateWrite(b"x" * 16, visitor_id, state_of(visitor_id, 1))) == [False]
    assert (await side.store.read([visitor_id]))[visitor_id].write_id == b""


async def test_each_write_is_answered_by_itself(side: Side) -> None:
    """One that is refused stops none of the others."""
    first, second, third = new_id(), new_id(), new_id()
    await store(side, StateWrite(b"", second, state_of(second, 1)))
    writes = [StateWrite(b"", visitor_id, state_of(visitor_id, 2)) for visitor_id in (first, second, third)]
    assert await store(side, *writes) == [True, False, True]
    stored = await side.store.read([first, second, third])
    assert [stored[visitor_id].state for visitor_id in (first, second, third)] == [
        state_of(first, 2), state_of(second, 1), state_of(third, 2),
    ]  # fmt: skip


async def test_no_update_is_lost_between_two_writers(side: Side) -> None:
    """Both write the same visitors at the same time; what is refused is read and written again."""
    visitor_ids = [new_id(), new_id()]
    writers = [ContextWriter(side.store, lambda: NOW_MS) for _ in range(2)]
    batches = [[update(visitor_id, offset) for visitor_id in visitor_ids] for offset in range(20)]
    outcomes = await asyncio.gather(*(writers[number % 2].apply(batch) for number, batch in enumerate(batches)))
    assert sum(outcome.absorbed.fresh for outcome in outcomes) == 40
    for visitor_id in visitor_ids:
        context = (await side.contexts.read(visitor_id)).context
        assert context is not None
        assert (context["version"], [line["quantity"] for line in context["cart"]]) == (20, [20])


async def test_a_write_is_seen_by_all_who_read_after_it(side: Side) -> None:
    """As the public context, and as the state."""
    visitor_id = new_id()
    for number in (1, 2):
        ((write_id, _),) = (await side.store.read([visitor_id])).values()
        state = state_of(visitor_id, number)
        assert await store(side, StateWrite(write_id, visitor_id, state)) == [True]
        assert (await side.contexts.read(visitor_id)).context == view(state)
        assert (await side.states.read(visitor_id)).own == state


async def test_a_notice_is_seen_once_the_context_can_be_read(side: Side) -> None:
    """Whoever reads after the notice sees what it announced."""
    visitor_id = new_id()
    watch = await open_watch(side.notices, visitor_id)
    writing = asyncio.create_task(store(side, StateWrite(b"", visitor_id, state_of(visitor_id, 1))))
    await becomes_dirty(watch)
    assert (await side.contexts.read(visitor_id)).context == view(state_of(visitor_id, 1))
    await writing
    watch.close()


async def test_a_refused_write_announces_nothing(side: Side) -> None:
    """Nothing changed."""
    visitor_id = new_id()
    await store(side, StateWrite(b"", visitor_id, state_of(visitor_id, 1)))
    watch = await open_watch(side.notices, visitor_id)
    assert await store(side, StateWrite(b"", visitor_id, state_of(visitor_id, 2))) == [False]
    assert await stays_clean(watch)
    watch.close()


async def test_an_alias_leads_to_the_visitor_it_joined(side: Side) -> None:
    """For contexts and for states; both ids concern the page."""
    anonymous, known = new_id("anon_"), new_id()
    joining = [update(anonymous, 0), update(anonymous, 1, "IDENTIFY", {"user_id": known})]
    await ContextWriter(side.store, lambda: NOW_MS).apply(joining)
    reading = await side.contexts.read(anonymous)
    assert reading.context is not None
    assert (reading.context["user_id"], reading.watched, reading.joined) == (known, (anonymous, known), True)
    states = await side.states.read(anonymous)
    assert states.own is not None
    assert states.owner is not None
    assert (states.own.alias_of, states.owner.visitor_id) == (known, known)
    assert await side.states.states([known, new_id(), anonymous]) == [states.owner, None, states.own]


async def test_an_alias_whose_visitor_is_not_stored_yet_knows_nothing(side: Side) -> None:
    """The alias is written first."""
    anonymous, known = new_id("anon_"), new_id()
    alias = absorb(State(anonymous), [update(anonymous, 1, "IDENTIFY", {"user_id": known})])[0]
    await store(side, StateWrite(b"", anonymous, State(anonymous, alias.parts, alias.positions, alias_of=known, link=alias.link)))
    reading = await side.contexts.read(anonymous)
    assert (reading.context, reading.watched, reading.joined) == (None, (anonymous, known), True)
    states = await side.states.read(anonymous)
    assert states.own is not None
    assert states.owner is None


async def test_a_store_that_is_away_is_unavailable(away: Side) -> None:
    """For whoever reads and for whoever writes."""
    visitor_id = new_id()
    with pytest.raises(StoreUnavailable):
        await away.store.read([visitor_id])
    with pytest.raises(StoreUnavailable):
        await store(away, StateWrite(b"", visitor_id, state_of(visitor_id, 1)))
    with pytest.raises(StoreUnavailable):
        await away.contexts.read(visitor_id)
    with pytest.raises(StoreUnavailable):
        await away.states.read(visitor_id)
