"""What is held of a visitor who withdrew consent goes by the clock: on a real Valkey, and by the context writer of the whole stack."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import generate_latest
from redis.asyncio import Redis

from gateway.clock import system_now_ms
from gateway.model.events.contribution import Position
from gateway.model.events.event import check_record
from gateway.model.visitors.state import Update
from gateway.settings import load_settings
from gateway.store.keys import PURGES_KEY, context_key, state_key
from gateway.store.purges import LEASE_MS, PurgeQueue
from gateway.store.state_store import RedisStateStore
from gateway.store.writer import ContextWriter
from gateway.telemetry import Metrics
from local_stack.api import product_added
from local_stack.stack.local_stack import LocalStack
from processors.context.purging import Purger
from processors.context.writer import ContextWriterProcess
from tests.integration.test_gateway_visitors import consent, identify
from tests.support.free_ports import free_port_base
from tests.support.stack_site import Site, until

pytestmark = pytest.mark.integration

NOW_MS = 1_790_000_000_000
MINUTE_MS = 60_000
RETENTION_MS = 60_000
PRODUCT = {"product": {"product_id": "secret-product", "category": "secret-category"}}


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with LocalStack(tmp_path_factory.mktemp("valkey") / "data", free_port_base(24000), ["valkey"]) as stack:
        yield stack.wiring.redis_url


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_url(redis_url)
    await client.flushdb()
    yield client
    await client.aclose()


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


def update(visitor_id: str, minute: int, kind: str, payload: dict[str, Any]) -> Update:
    at_ms = NOW_MS + minute * MINUTE_MS
    record = {"message_id": f"{visitor_id}-{kind}-{minute}", "type": kind, "visitor_id": visitor_id, "payload": payload}
    return Update(
        visitor_id, Position("user_actions", 0, minute), 1, check_record({**record, "event_time_ms": at_ms, "received_at_ms": at_ms})
    )


def purger(redis: Redis, clock: Clock) -> tuple[Purger, Metrics]:
    metrics = Metrics()
    return Purger(PurgeQueue(redis), ContextWriter(RedisStateStore(redis, RETENTION_MS), clock), metrics, clock), metrics


async def is_held(redis: Redis, visitor_id: str) -> bool:
    stored: Any = await redis.get(state_key(visitor_id))
    return b"secret" in (stored or b"")


async def test_a_visitor_who_never_comes_back_is_purged_when_it_is_due(redis: Redis) -> None:
    """Not before, once, with the devices that joined; the public context stays as it was."""
    clock = Clock()
    writer = ContextWriter(RedisStateStore(redis, RETENTION_MS), clock)
    await writer.apply([update("anon_a", 0, "PRODUCT_ADDED", PRODUCT), update("user", 1, "PRODUCT_ADDED", PRODUCT)])
    await writer.apply([update("anon_a", 2, "IDENTIFY", {"user_id": "user", "traits": {"plan": "secret"}})])
    assert await redis.zcard(PURGES_KEY) == 0
    await writer.apply([update("user", 3, "CONSENT", {"personalization": False})])
    before = await redis.get(context_key("user"))
    work, _ = purger(redis, clock)
    clock.now_ms = NOW_MS + 14 * MINUTE_MS
    assert await work.purge_due() == 0
    clock.now_ms += 1
    assert sorted(await asyncio.gather(work.purge_due(), purger(redis, clock)[0].purge_due())) == [0, 1]
    for visitor_id in ("user", "anon_a"):
        assert not await is_held(redis, visitor_id)
    assert await redis.get(context_key("user")) == before
    assert await redis.zcard(PURGES_KEY) == 0
    await writer.apply([update("anon_a", 0, "PRODUCT_ADDED", PRODUCT)])
    assert not await is_held(redis, "user")
    await writer.apply([update("user", 20, "CONSENT", {"personalization": True}), update("anon_a", 21, "PRODUCT_ADDED", PRODUCT)])
    assert await is_held(redis, "user")


async def test_what_is_taken_and_not_finished_comes_again(redis: Redis) -> None:
    """A writer that dies over it leaves it to another; what was noted anew meanwhile is not lost; a needless entry just goes."""
    clock = Clock()
    queue = PurgeQueue(redis)
    await queue.add({"gone": NOW_MS, "again": NOW_MS, "nobody": NOW_MS})
    assert sorted(await queue.lease(NOW_MS, 10)) == ["again", "gone", "nobody"]
    assert await queue.lease(NOW_MS + LEASE_MS - 1, 10) == []
    await queue.add({"again": NOW_MS + 5})
    await queue.finish(["again", "nobody"], NOW_MS)
    assert await queue.lease(NOW_MS + 5, 10) == ["again"]
    assert sorted(await queue.lease(NOW_MS + 5 + LEASE_MS, 10)) == ["again", "gone"]
    clock.now_ms = NOW_MS + 10 * LEASE_MS
    work, _ = purger(redis, clock)
    assert await work.purge_due() == 2
    assert await redis.keys("*") == []


async def test_each_event_of_a_withdrawn_visitor_is_purged_too(redis: Redis) -> None:
    """What comes in while consent is withdrawn is noted anew, and goes a minute after it was received."""
    clock = Clock()
    writer = ContextWriter(RedisStateStore(redis, RETENTION_MS), clock)
    work, metrics = purger(redis, clock)
    await writer.apply([update("user", 0, "CONSENT", {"personalization": False})])
    for minute in (20, 30):
        await writer.apply([update("user", minute, "PRODUCT_ADDED", PRODUCT)])
        assert await is_held(redis, "user")
        clock.now_ms = NOW_MS + (minute + 1) * MINUTE_MS
        assert await work.purge_due() == 1
        assert not await is_held(redis, "user")
    assert b"context_writer_purges_total 2.0" in generate_latest(metrics.registry)


@asynccontextmanager
async def writer_ahead(site: Site, monkeypatch: pytest.MonkeyPatch, ahead_ms: int) -> AsyncIterator[None]:
    """A context writer whose clock is ahead, instead of that of the stack."""
    for name, value in site.stack.environment("context_writer").items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    async with site.without("context_writer", orderly=True):
        process = ContextWriterProcess(settings, Metrics(), lambda: system_now_ms() + ahead_ms)
        running = asyncio.create_task(process.run())
        try:
            yield
        finally:
            process.stop()
            await running


async def test_the_context_writer_purges_by_the_clock_also_after_a_restart(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Withdrawn on one device: eleven minutes later nothing is held of any part, and nothing comes back with new consent."""
    anonymous_id, anonymous = await site.visit()
    user_id, known = site.known()
    added = product_added("secret-product", "smartphones")
    await anonymous.track(added)
    joined = await identify(known, token=anonymous.credential)
    await known.banner(after=joined["cursor"])
    await consent(anonymous, False)
    assert await is_held(site.redis, user_id)
    async with writer_ahead(site, monkeypatch, 12 * MINUTE_MS):

        async def is_gone() -> bool:
            return not await is_held(site.redis, user_id) and not await is_held(site.redis, anonymous_id)

        await until(is_gone, lambda: "something is still held")
    context = await site.context(user_id)
    assert (context["version"], context["anonymous_ids"], context["cart"]) == (3, [anonymous_id], [])
    await site.secret.track({**added, "userId": anonymous_id})
    given = await consent(anonymous, True)
    decision = await known.banner(after=given["cursor"])
    assert (decision["fresh"], decision["reason"]) == (True, "DEFAULT")
