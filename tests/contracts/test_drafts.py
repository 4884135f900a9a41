"""Drafts: kept for as long as the longest-lived token needs them, and no longer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.clock import system_now_ms
from gateway.services.ports import Drafts
from gateway.store.connection import StoreUnavailable
from gateway.store.drafts import DraftStore
from tests.contracts.sides import BOTH_SIDES, DEADLINE_S, empty_redis, lost_redis, new_id
from tests.support.memory.drafts import MemoryDrafts

SHORT_MS = 200
LONG_MS = 60_000


@pytest.fixture(params=BOTH_SIDES)
async def drafts(request: pytest.FixtureRequest) -> AsyncIterator[Drafts]:
    if request.param == "memory":
        yield MemoryDrafts(system_now_ms)
        return
    async with empty_redis(request) as redis:
        yield DraftStore(redis)


@pytest.fixture(params=BOTH_SIDES)
async def away(request: pytest.FixtureRequest) -> AsyncIterator[Drafts]:
    """Drafts in a store that is away."""
    if request.param == "memory":
        memory = MemoryDrafts(system_now_ms)
        memory.calling.stay_away(StoreUnavailable("away"))
        yield memory
        return
    async with lost_redis() as redis:
        yield DraftStore(redis)


async def gone(drafts: Drafts, name: str) -> None:
    """Wait until a draft is no longer kept."""
    async with asyncio.timeout(DEADLINE_S):
        while await drafts.load(name) is not None:  # noqa: ASYNC110  # the store has no event for it
            await asyncio.sleep(0.01)


async def test_a_draft_is_read_as_it_was_saved(drafts: Drafts) -> None:
    """By its name; another name has none."""
    name = new_id("draft")
    await drafts.save(name, "grün: {}", system_now_ms() + LONG_MS)
    assert await drafts.load(name) == "grün: {}"
    assert await drafts.load(new_id("draft")) is None


async def test_a_draft_is_gone_after_its_time(drafts: Drafts) -> None:
    """Not before it."""
    name, until_ms = new_id("draft"), system_now_ms() + SHORT_MS
    await drafts.save(name, "text", until_ms)
    await gone(drafts, name)
    assert system_now_ms() >= until_ms - 1


async def test_a_shorter_token_does_not_shorten_a_draft(drafts: Drafts) -> None:
    """It is kept until the later of the two times."""
    name = new_id("draft")
    await drafts.save(name, "text", system_now_ms() + LONG_MS)
    await drafts.save(name, "text", system_now_ms() + SHORT_MS)
    await asyncio.sleep(2 * SHORT_MS / 1000)
    assert await drafts.load(name) == "text"


async def test_a_longer_token_keeps_a_draft_for_longer(drafts: Drafts) -> None:
    """The same way around."""
    name = new_id("draft")
    await drafts.save(name, "text", system_now_ms() + SHORT_MS)
    await drafts.save(name, "text", system_now_ms() + LONG_MS)
    await asyncio.sleep(2 * SHORT_MS / 1000)
    assert await drafts.load(name) == "text"


async def test_a_draft_that_is_gone_can_be_saved_again(drafts: Drafts) -> None:
    """As after an hour in which nobody previewed it."""
    name = new_id("draft")
    await drafts.save(name, "text", system_now_ms() + SHORT_MS)
    await gone(drafts, name)
    await drafts.save(name, "text", system_now_ms() + LONG_MS)
    assert await drafts.load(name) == "text"


async def test_a_store_that_is_away_is_unavailable(away: Drafts) -> None:
    """For both calls."""
    with pytest.raises(StoreUnavailable):
        await away.load(new_id("draft"))
    with pytest.raises(StoreUnavailable):
        await away.save(new_id("draft"), "text", system_now_ms() + LONG_MS)
