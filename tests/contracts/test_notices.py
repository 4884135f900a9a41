"""Change notices: a watch is dirty at first, after every notice, and whenever one may have been lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.services.ports import Notices
from gateway.store.keys import notice_channel
from tests.contracts.sides import BOTH_SIDES, becomes_dirty, connected_notices, empty_redis, new_id, open_watch, stays_clean
from tests.support.memory.notices import MemoryNotices


@dataclass(frozen=True)
class Side:
    """The notices; `announce` sends one on a channel, `lose_connection` takes their connection away; they connect again."""

    notices: Notices
    announce: Callable[[str], Awaitable[None]]
    lose_connection: Callable[[], Awaitable[None]]


@pytest.fixture(params=BOTH_SIDES)
async def side(request: pytest.FixtureRequest) -> AsyncIterator[Side]:
    if request.param == "memory":
        memory = MemoryNotices()

        async def announce(channel: str) -> None:
            memory.announce(channel)

        async def lose_connection() -> None:
            memory.disconnect()
            memory.reconnect()

        yield Side(memory, announce, lose_connection)
        return
    async with empty_redis(request) as redis, connected_notices(redis) as bus:
        call: Any = redis

        async def publish(channel: str) -> None:
            await call.execute_command("SPUBLISH", channel, "")

        async def kill_connections() -> None:
            await call.execute_command("CLIENT", "KILL", "TYPE", "PUBSUB")

        yield Side(bus, publish, kill_connections)


async def test_a_watch_is_dirty_at_first(side: Side) -> None:
    """Its owner reads at once."""
    await becomes_dirty(side.notices.watch(new_id()))


async def test_a_watch_is_dirty_once_its_channel_is_open(side: Side) -> None:
    """What changed before that would have been missed. For the second watch of a visitor too."""
    visitor_id = new_id()
    for _ in range(2):
        watch = side.notices.watch(visitor_id)
        watch.clear()
        await becomes_dirty(watch)
        watch.clear()
        assert await stays_clean(watch)


async def test_a_notice_marks_all_watches_of_its_visitor(side: Side) -> None:
    """And no other, as often as it comes."""
    visitor_id = new_id()
    watches = [await open_watch(side.notices, visitor_id) for _ in range(2)]
    other = await open_watch(side.notices, new_id())
    for watch in watches:
        watch.clear()
    for _ in range(2):
        await side.announce(notice_channel(visitor_id))
        for watch in watches:
            await becomes_dirty(watch)
            watch.clear()
    assert await stays_clean(other)


async def test_a_visitor_who_is_followed_later_is_heard_as_well(side: Side) -> None:
    """`follow` says whether a visitor is new; then a read made before may have missed a change."""
    first, second = new_id(), new_id()
    watch = await open_watch(side.notices, first)
    assert (watch.follow([first]), watch.follow([first, second])) == (False, True)
    await becomes_dirty(watch)
    for visitor_id in (first, second):
        watch.clear()
        await side.announce(notice_channel(visitor_id))
        await becomes_dirty(watch)


async def test_a_channel_is_listened_to_by_its_name(side: Side) -> None:
    """As that of a new ruleset."""
    channel = new_id("{channel}")
    watch = side.notices.watch()
    watch.clear()
    assert watch.listen([channel])
    await becomes_dirty(watch)
    watch.clear()
    await side.announce(channel)
    await becomes_dirty(watch)


async def test_a_lost_connection_marks_every_watch(side: Side) -> None:
    """A notice may have been lost with it. Notices come again afterwards."""
    visitor_ids = [new_id(), new_id()]
    watches = [await open_watch(side.notices, visitor_id) for visitor_id in visitor_ids]
    await side.lose_connection()
    for watch in watches:
        await becomes_dirty(watch)
        watch.clear()
    for visitor_id, watch in zip(visitor_ids, watches, strict=True):
        await side.announce(notice_channel(visitor_id))
        await becomes_dirty(watch)


async def test_a_closed_watch_is_left_alone(side: Side) -> None:
    """Closing it a second time does no harm, and another watch of the visitor is still marked."""
    visitor_id = new_id()
    closed, open_ = [await open_watch(side.notices, visitor_id) for _ in range(2)]
    closed.close()
    closed.close()
    closed.clear()
    open_.clear()
    await side.announce(notice_channel(visitor_id))
    await becomes_dirty(open_)
    assert await stays_clean(closed)


async def test_a_visitor_can_be_watched_again(side: Side) -> None:
    """After nobody did."""
    visitor_id = new_id()
    (await open_watch(side.notices, visitor_id)).close()
    watch = await open_watch(side.notices, visitor_id)
    await side.announce(notice_channel(visitor_id))
    await becomes_dirty(watch)


async def test_a_watch_is_marked_by_its_owner(side: Side) -> None:
    """For reasons of its own."""
    watch = await open_watch(side.notices, new_id())
    watch.mark()
    await becomes_dirty(watch)


async def test_waiting_ends_in_time(side: Side) -> None:
    """The watch stays clean then."""
    watch = await open_watch(side.notices, new_id())
    await watch.wait(0.01)
    assert await stays_clean(watch)
