"""The connection for change notices: what it subscribes, and how it finds out that it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.background import BackgroundTasks
from gateway.store.keys import notice_channel
from gateway.store.notices import PING_SECONDS, RECONNECT_SECONDS, SILENCE_SECONDS, NoticeBus, Watch
from gateway.telemetry import Metrics
from tests.support.memory.pubsub import MemoryPubSubServer
from tests.support.strategies import SETTINGS
from tests.support.virtual_time import VirtualTimeLoop

AT_ONCE_SECONDS = 0.001
OWN_CHANNEL = "{gateway}:notices"


class Notices:
    """The bus, running, and the server that it is connected to."""

    def __init__(self) -> None:
        self.server = MemoryPubSubServer()
        self.metrics = Metrics()
        redis: Any = self.server
        self.bus = NoticeBus(redis, self.metrics)
        self._tasks = BackgroundTasks()

    async def __aenter__(self) -> Notices:
        self._tasks.start(self.bus.run())
        await asyncio.sleep(AT_ONCE_SECONDS)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.stop()

    @property
    def reconnects(self) -> float:
        return self.metrics.registry.get_sample_value("gateway_notice_reconnects_total") or 0.0

    def subscribed(self) -> set[str]:
        """The channels of visitors that the server would send notices for."""
        return self.server.connection.channels - {OWN_CHANNEL}


@pytest.fixture
async def notices() -> AsyncIterator[Notices]:
    async with Notices() as notices:
        yield notices


async def becomes_dirty(watch: Watch, seconds: float = AT_ONCE_SECONDS) -> bool:
    """Whether a watch becomes dirty in this time."""
    waiting = asyncio.create_task(watch.wait(seconds))
    await asyncio.sleep(seconds / 2)
    is_dirty = waiting.done()
    await waiting
    return is_dirty


def clean(*watches: Watch) -> None:
    for watch in watches:
        watch.clear()


async def opened(notices: Notices, *visitor_ids: str) -> Watch:
    """A clean watch whose channels are open."""
    watch = notices.bus.watch(*visitor_ids)
    await asyncio.sleep(AT_ONCE_SECONDS)
    watch.clear()
    return watch


# Subscribing


async def test_the_confirmation_marks_a_watch_dirty(notices: Notices) -> None:
    """What changed before the channel was open would have been missed. Also for the second watch of a visitor."""
    for _ in range(2):
        watch = notices.bus.watch("v")
        watch.clear()
        assert await becomes_dirty(watch)
    assert notices.subscribed() == {notice_channel("v")}


async def test_a_notice_marks_the_watches_of_its_channel(notices: Notices) -> None:
    """And no other."""
    one, same, other = [await opened(notices, visitor_id) for visitor_id in ("v", "v", "w")]
    one.clear()
    notices.server.publish(notice_channel("v"))
    assert [await becomes_dirty(watch) for watch in (one, same, other)] == [True, True, False]


async def test_answers_to_ping_and_unsubscribing_mark_nothing(notices: Notices) -> None:
    """They say nothing about a visitor."""
    watch, other = await opened(notices, "v"), await opened(notices, "w")
    for message in ({"type": "pong", "channel": None}, {"type": "sunsubscribe", "channel": notice_channel("v").encode()}):
        notices.server.connection.receive(message)
    other.close()
    await asyncio.sleep(AT_ONCE_SECONDS)
    assert not await becomes_dirty(watch)


async def test_channels_are_opened_many_at_once(notices: Notices) -> None:
    """A busy process does not send a command for each page."""
    watches = [notices.bus.watch(f"v{number}") for number in range(1200)]
    await asyncio.sleep(AT_ONCE_SECONDS)
    assert [len(channels) for channels in notices.server.connection.subscriptions] == [1, 500, 500, 200]
    clean(*watches)
    notices.server.drop()
    await asyncio.sleep(RECONNECT_SECONDS + AT_ONCE_SECONDS)
    assert [len(channels) for channels in notices.server.connection.subscriptions] == [1, 500, 500, 200]
    assert all([await becomes_dirty(watch) for watch in watches[:3] + watches[-3:]])


async def test_the_last_watch_of_a_visitor_closes_its_channel(notices: Notices) -> None:
    """Not the one before it. Closing twice does no harm."""
    first, second = await opened(notices, "v", "w"), await opened(notices, "v")
    first.close()
    first.close()
    await asyncio.sleep(AT_ONCE_SECONDS)
    assert notices.subscribed() == {notice_channel("v")}
    second.close()
    await asyncio.sleep(AT_ONCE_SECONDS)
    assert notices.subscribed() == set()


async def test_a_watch_that_is_closed_at_once_opens_no_channel(notices: Notices) -> None:
    """A page that looked in and left."""
    notices.bus.watch("v").close()
    await asyncio.sleep(AT_ONCE_SECONDS)
    assert notices.server.connection.subscriptions == [(OWN_CHANNEL,)]


async def test_a_visitor_who_comes_back_at_once_stays_subscribed(notices: Notices) -> None:
    """The page was reloaded. The new watch hears that its channel is open."""
    (await opened(notices, "v")).close()
    watch = notices.bus.watch("v")
    watch.clear()
    assert await becomes_dirty(watch)
    assert notices.subscribed() == {notice_channel("v")}


# Connections that are lost


async def test_a_lost_connection_is_opened_again(notices: Notices) -> None:
    """With all its channels, whose confirmations mark every watch dirty."""
    watches = [await opened(notices, visitor_id) for visitor_id in ("v", "w")]
    notices.server.drop()
    await asyncio.sleep(RECONNECT_SECONDS / 2)
    assert notices.subscribed() == set()
    await asyncio.sleep(RECONNECT_SECONDS / 2)
    assert [await becomes_dirty(watch) for watch in watches] == [True, True]
    assert notices.subscribed() == {notice_channel("v"), notice_channel("w")}
    assert (notices.reconnects, notices.server.open_connections) == (1, 1)


async def test_a_watch_that_was_opened_without_a_connection_is_subscribed_later(notices: Notices) -> None:
    """And one that was closed meanwhile is not."""
    closed = await opened(notices, "w")
    notices.server.drop()
    await asyncio.sleep(AT_ONCE_SECONDS)
    watch = notices.bus.watch("v")
    closed.close()
    watch.clear()
    assert await becomes_dirty(watch, 2 * RECONNECT_SECONDS)
    assert notices.subscribed() == {notice_channel("v")}


async def test_a_store_that_is_away_is_asked_until_it_answers(notices: Notices) -> None:
    """Five times a second, over one connection at a time."""
    watch = await opened(notices, "v")
    notices.server.is_away = True
    notices.server.drop()
    await asyncio.sleep(10)
    assert 45 <= notices.reconnects <= 51
    assert notices.server.open_connections <= 1
    watch.clear()
    notices.server.is_away = False
    assert await becomes_dirty(watch, 2 * RECONNECT_SECONDS)


async def test_a_connection_that_falls_silent_is_taken_to_be_lost(notices: Notices) -> None:
    """After six seconds. redis-py would not notice: it never checks whether its PING was answered."""
    watch = await opened(notices, "v")
    notices.server.is_silent = True
    await asyncio.sleep(SILENCE_SECONDS)
    assert len(notices.server.connections) == 1
    notices.server.is_silent = False
    assert await becomes_dirty(watch, 2 * PING_SECONDS)
    assert (len(notices.server.connections), notices.server.open_connections) == (2, 1)
    assert (notices.subscribed(), notices.reconnects) == ({notice_channel("v")}, 1)


async def test_a_quiet_connection_that_answers_stays(notices: Notices) -> None:
    """It is sent a PING every two seconds, and nothing else."""
    await opened(notices, "v")
    await asyncio.sleep(3600)
    assert len(notices.server.connections) == 1
    assert notices.server.connection.pings == 3600 / PING_SECONDS
    assert len(notices.server.connection.subscriptions) == 2


async def test_a_command_that_fails_ends_the_connection(notices: Notices) -> None:
    """A subscription that was not sent must not be taken for an open channel."""
    await opened(notices, "v")
    notices.server.is_away = True
    watch = notices.bus.watch("w")
    await asyncio.sleep(PING_SECONDS)
    notices.server.is_away = False
    watch.clear()
    assert await becomes_dirty(watch, 2 * RECONNECT_SECONDS)
    assert notices.subscribed() == {notice_channel("v"), notice_channel("w")}


async def test_the_end_closes_the_connection() -> None:
    """Of a process that stops."""
    async with Notices() as notices:
        await opened(notices, "v")
        assert notices.server.open_connections == 1
    assert notices.server.open_connections == 0


@pytest.mark.parametrize("turns", range(12))
async def test_the_end_is_not_missed_while_a_lost_connection_is_closed(turns: int) -> None:
    """Whichever step it comes at: otherwise the process would connect again, and never stop."""
    async with asyncio.timeout(60):
        async with Notices() as notices:
            await opened(notices, "v")
            notices.server.drop()
            for _ in range(turns):
                await asyncio.sleep(0)
        made = len(notices.server.connections)
        await asyncio.sleep(10 * RECONNECT_SECONDS)
        assert len(notices.server.connections) == made


@SETTINGS
@given(st.lists(st.sampled_from(["open", "close", "drop", "away", "back", "silent", "wait"]), max_size=25), st.randoms())
def test_whatever_happens_the_server_sends_what_is_watched(happened: list[str], chance: Any) -> None:
    """A little after it is back: no notice goes missing, and no channel stays open that nobody watches."""

    async def live() -> None:
        async with Notices() as notices:
            open_: list[tuple[str, Watch]] = []
            for what in happened:
                await _happen(notices, open_, what, chance)
            notices.server.is_away = notices.server.is_silent = False
            await asyncio.sleep(2 * SILENCE_SECONDS)
            assert notices.subscribed() == {notice_channel(visitor_id) for visitor_id, _ in open_}
            clean(*(watch for _, watch in open_))
            for visitor_id, watch in open_:
                notices.server.publish(notice_channel(visitor_id))
                assert await becomes_dirty(watch)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(live())


async def _happen(notices: Notices, open_: list[tuple[str, Watch]], what: str, chance: Any) -> None:
    match what:
        case "open":
            visitor_id = chance.choice("abc")
            open_.append((visitor_id, notices.bus.watch(visitor_id)))
        case "close" if open_:
            open_.pop(chance.randrange(len(open_)))[1].close()
        case "drop":
            notices.server.drop()
        case "away" | "back":
            notices.server.is_away = what == "away"
        case "silent":
            notices.server.is_silent = True
        case _:
            await asyncio.sleep(chance.choice([0, AT_ONCE_SECONDS, RECONNECT_SECONDS, SILENCE_SECONDS]))
