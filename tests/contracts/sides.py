"""The two sides of a contract, and how a test waits for what takes time on one of them."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Final

import pytest
from redis.asyncio import Redis

from gateway.background import BackgroundTasks
from gateway.services.ports import Notices, NoticeWatch
from gateway.store.connection import connect
from gateway.store.notices import NoticeBus
from gateway.telemetry import Metrics
from local_stack.stack.local_stack import LocalStack

BOTH_SIDES: Final = ("memory", pytest.param("real", marks=pytest.mark.integration))
"""The parameters of a fixture that is one side of a contract."""
DEADLINE_S: Final = 20.0
MEANWHILE_S: Final = 0.1
"""How long a test waits for what must not happen."""
TIMEOUT_MS: Final = 5_000
NOWHERE: Final = "127.0.0.1:1"
"""An address at which nothing answers."""


def new_id(name: str = "visitor") -> str:
    """An id that no other test uses."""
    return f"{name}-{uuid.uuid4().hex[:12]}"


def stack_of(request: pytest.FixtureRequest) -> LocalStack:
    """The stack of the real side, started if it does not run yet."""
    stack: LocalStack = request.getfixturevalue("real_stack")
    return stack


@contextlib.asynccontextmanager
async def empty_redis(request: pytest.FixtureRequest) -> AsyncIterator[Redis]:
    """A client of the real store, with nothing in it."""
    redis = connect(stack_of(request).wiring.redis_url, TIMEOUT_MS)
    try:
        await redis.flushdb()
        yield redis
    finally:
        await redis.aclose()


@contextlib.asynccontextmanager
async def lost_redis() -> AsyncIterator[Redis]:
    """A client of a store that is away."""
    redis = connect(f"redis://{NOWHERE}", TIMEOUT_MS)
    try:
        yield redis
    finally:
        await redis.aclose()


@contextlib.asynccontextmanager
async def connected_notices(redis: Redis) -> AsyncIterator[NoticeBus]:
    """The real notices, once their connection is there."""
    bus, tasks = NoticeBus(redis, Metrics()), BackgroundTasks()
    tasks.start(bus.run())
    try:
        (await open_watch(bus, new_id("nobody"))).close()
        yield bus
    finally:
        await tasks.stop()


async def open_watch(notices: Notices, visitor_id: str) -> NoticeWatch:
    """A watch that is clean, and whose channel is open."""
    watch = notices.watch(visitor_id)
    watch.clear()
    await becomes_dirty(watch)
    watch.clear()
    return watch


async def becomes_dirty(watch: NoticeWatch) -> None:
    """Wait until a watch is dirty, or fail at the deadline."""
    async with asyncio.timeout(DEADLINE_S):
        await watch.wait(2 * DEADLINE_S)


async def stays_clean(watch: NoticeWatch) -> bool:
    """Whether a watch does not become dirty meanwhile."""
    waiting = asyncio.create_task(watch.wait(DEADLINE_S))
    await asyncio.sleep(MEANWHILE_S)
    is_clean = not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])
    return is_clean


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, or fail at the deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110  # the real parts have no event for it
            await asyncio.sleep(0.01)
