"""The store's writer on a real Valkey: any order of arrival, in any batches, gives the same contexts."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.model.events.contribution import Position
from gateway.model.events.event import check_record
from gateway.model.events.event_kinds import EventType
from gateway.model.visitors.state import Update
from gateway.store.connection import StoreUnavailable
from gateway.store.keys import context_key, state_key
from gateway.store.state_store import RedisStateStore
from gateway.store.writer import ContextWriter
from local_stack.stack.local_stack import LocalStack
from tests.support.free_ports import free_port_base

pytestmark = pytest.mark.integration

NOW_MS = 1_790_000_000_000
TRIALS = 120
ORDERS = 6


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with LocalStack(tmp_path_factory.mktemp("valkey") / "data", free_port_base(25000), ["valkey"]) as stack:
        yield stack.wiring.redis_url


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url)
    yield client
    await client.aclose()


def update(visitor_id: str, offset: int, kind: str, payload: dict[str, Any]) -> Update:
    """An event received `offset` seconds after the start; its topic is one of two, so that orders mix."""
    at_ms = NOW_MS + offset * 1000
    record = {"message_id": f"m{offset}", "type": kind, "visitor_id": visitor_id, "payload": payload}
    event = check_record({**record, "event_time_ms": at_ms, "received_at_ms": at_ms})
    return Update(visitor_id, Position("user_actions", 0, offset), 1, event)


def ids(run: str) -> tuple[str, str, str]:
    """The known visitor and the two anonymous ones of a run."""
    return f"{run}-user", f"anon_{run}-one", f"anon_{run}-two"


def history(chance: random.Random, run: str) -> list[Update]:
    """What a known visitor and two anonymous ones did, with joins and erasures somewhere among it, in order of receipt."""
    user, one, two = ids(run)
    updates: list[Update] = []
    erased = chance.sample([user, one, two], chance.randint(0, 2))
    for offset in range(chance.randint(4, 14)):
        visitor_id = chance.choice([user, one, two])
        what = chance.random()
        if what < 0.25 and visitor_id != user:
            updates.append(update(visitor_id, offset, "IDENTIFY", {"user_id": user, "traits": {"t": offset}}))
        elif what < 0.4 and visitor_id in erased:
            # Once each: a second erasure may also take what an anonymous visitor did after the first had freed it.
            erased.remove(visitor_id)
            updates.append(update(visitor_id, offset, "DELETE", {}))
        else:
            product = {"product_id": f"p{chance.randint(1, 3)}", "category": f"c{offset}"}
            updates.append(update(visitor_id, offset, chance.choice(["PRODUCT_ADDED", "PRODUCT_VIEWED"]), {"product": product}))
    return updates


def renamed(updates: list[Update], old: str, new: str) -> list[Update]:
    """The same history of other visitors."""
    found = []
    for one in updates:
        assert one.event is not None
        record = json.loads(json.dumps(one.event.record()).replace(old, new))
        found.append(Update(record["visitor_id"], one.position, one.log_epoch, check_record(record)))
    return found


async def contexts_after(redis: Redis, updates: list[Update], run: str, chance: random.Random) -> dict[str, Any]:
    """Apply in random batches, some of them twice; gives what the contexts then say, without the run's name."""
    writer = ContextWriter(RedisStateStore(redis, 60_000), lambda: NOW_MS + 10**6)
    left = list(updates)
    while left:
        size = chance.randint(1, len(left))
        batch, left = left[:size], left[size:]
        for _ in range(chance.choice([1, 1, 2])):
            await writer.apply(batch)
    found = {}
    for name in ids(run):
        stored: Any = await redis.get(context_key(name))
        context = {} if stored is None else json.loads(str(stored, "utf-8").replace(run, "run"))
        if not context.get("version") and "alias_of" not in context:
            context = {}  # nothing is known: whether a record says so does not matter
        found[name.replace(run, "run")] = {field: value for field, value in context.items() if field != "positions"}
    return found


def same_visitor_in_order(updates: list[Update], chance: random.Random) -> list[Update]:
    """A random interleaving in which each visitor's own updates keep their order, as in the log's partitions."""
    queues = [[one for one in updates if one.visitor_id == visitor_id] for visitor_id in sorted({one.visitor_id for one in updates})]
    mixed = []
    while queues := [queue for queue in queues if queue]:
        mixed.append(chance.choice(queues).pop(0))
    return mixed


async def test_any_order_of_joins_and_erasures_gives_the_same_contexts(redis: Redis) -> None:
    """Each visitor's records come in their order; those of different visitors, batches and repetitions are mixed at will."""
    for seed in range(TRIALS):
        chance = random.Random(seed)
        updates = history(chance, "run")
        expected: dict[str, Any] | None = None
        for order in range(ORDERS):
            run = f"s{seed}o{order}"
            mixed = updates if order == 0 else same_visitor_in_order(updates, chance)
            found = await contexts_after(redis, renamed(mixed, "run-", f"{run}-"), run, chance)
            expected = expected or found
            told = [(one.visitor_id, one.event and one.event.type, one.position.offset) for one in mixed]
            assert found == expected, f"seed {seed}, order {order}: {told}"


async def test_two_writers_at_one_visitor_do_no_harm(redis: Redis) -> None:
    """Both apply everything at the same time: every message counts once."""
    updates = [update("both", offset, "PRODUCT_ADDED", {"product": {"product_id": "p"}}) for offset in range(60)]
    writers = [ContextWriter(RedisStateStore(redis, 60_000), lambda: NOW_MS) for _ in range(2)]
    await asyncio.gather(*(writer.apply(updates[start : start + 5]) for start in range(0, 60, 5) for writer in writers))
    context = json.loads(await redis.get(context_key("both")) or b"{}")
    assert context["version"] == 60
    assert [line["quantity"] for line in context["cart"]] == [60]


async def test_an_unreadable_state_is_begun_anew(redis: Redis) -> None:
    """One bad record does not stop the others."""
    await redis.set("{context:bad}:state", b"x" * 40)
    writer = ContextWriter(RedisStateStore(redis, 60_000), lambda: NOW_MS)
    applied = await writer.apply([update("bad", 1, EventType.PAGE_VIEWED, {}), update("good", 2, EventType.PAGE_VIEWED, {})])
    assert applied.written == 2
    assert json.loads(await redis.get(context_key("bad")) or b"{}")["version"] == 1


async def test_what_the_store_refuses_names_no_visitor(redis: Redis) -> None:
    """The refusal is logged, and redis-py's own text holds the key: ours says what kind of error it was and nothing of whom."""
    await redis.lpush(state_key("alice@example.com"), "not a state")
    writer = ContextWriter(RedisStateStore(redis, 60_000), lambda: NOW_MS)
    with pytest.raises(StoreUnavailable, match="ResponseError") as refusal:
        await writer.apply([update("alice@example.com", 1, EventType.PAGE_VIEWED, {})])
    assert "alice" in str(refusal.value.__cause__)
    assert "alice" not in str(refusal.value)
