"""The copy of the ruleset in force: never replaced by an older one, and announced whenever it changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from gateway.services.ports import Notices, NoticeWatch, RulesetCopies
from gateway.store.connection import StoreUnavailable
from gateway.store.keys import RULESET_CHANNEL
from gateway.store.rulesets import RulesetCopy, RulesetStore
from tests.contracts.sides import BOTH_SIDES, becomes_dirty, connected_notices, empty_redis, lost_redis, stays_clean
from tests.support.memory.notices import MemoryNotices
from tests.support.memory.ruleset_copies import MemoryRulesetCopies


@dataclass(frozen=True)
class Side:
    """The copies, and the notices of them."""

    copies: RulesetCopies
    notices: Notices


@pytest.fixture(params=BOTH_SIDES)
async def side(request: pytest.FixtureRequest) -> AsyncIterator[Side]:
    if request.param == "memory":
        notices = MemoryNotices()
        yield Side(MemoryRulesetCopies(notices.announce), notices)
        return
    async with empty_redis(request) as redis, connected_notices(redis) as bus:
        yield Side(RulesetStore(redis), bus)


@pytest.fixture(params=BOTH_SIDES)
async def away(request: pytest.FixtureRequest) -> AsyncIterator[RulesetCopies]:
    """Copies in a store that is away."""
    if request.param == "memory":
        memory = MemoryRulesetCopies()
        for faults in (memory.reading, memory.writing):
            faults.stay_away(StoreUnavailable("away"))
        yield memory
        return
    async with lost_redis() as redis:
        yield RulesetStore(redis)


def copy(log_epoch: int, version: int) -> RulesetCopy:
    return RulesetCopy(log_epoch, version, f"text {version} of epoch {log_epoch}, grün", 1_790_000_000_000 + version)


async def opened(side: Side) -> NoticeWatch:
    """A clean watch on new copies."""
    watch = side.notices.watch()
    watch.clear()
    watch.listen([RULESET_CHANNEL])
    await becomes_dirty(watch)
    watch.clear()
    return watch


async def test_at_first_there_is_no_copy(side: Side) -> None:
    """The first is stored whatever its version is."""
    assert await side.copies.load() is None
    assert await side.copies.save(copy(0, 0))
    assert await side.copies.load() == copy(0, 0)


@pytest.mark.parametrize(("log_epoch", "version", "is_newer"), [(1, 8, True), (2, 1, True), (1, 7, False), (1, 6, False), (0, 9, False)])
async def test_an_older_copy_never_replaces_a_newer_one(side: Side, log_epoch: int, version: int, is_newer: bool) -> None:
    """Newer is a later epoch, or a higher version of the same. What was stored is announced, nothing else is."""
    await side.copies.save(copy(1, 7))
    watch = await opened(side)
    assert await side.copies.save(copy(log_epoch, version)) == is_newer
    assert await side.copies.load() == (copy(log_epoch, version) if is_newer else copy(1, 7))
    if is_newer:
        await becomes_dirty(watch)
    else:
        assert await stays_clean(watch)


async def test_a_store_that_is_away_is_unavailable(away: RulesetCopies) -> None:
    """For both calls."""
    with pytest.raises(StoreUnavailable):
        await away.load()
    with pytest.raises(StoreUnavailable):
        await away.save(copy(1, 1))
