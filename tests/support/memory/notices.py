"""Change notices in memory, with the real `Watch`: notices may get lost, and so may the connection."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from gateway.store.notices import Watch


class MemoryNotices:
    """A `Notices`. A notice comes in a later turn of the loop, as over a connection."""

    def __init__(self) -> None:
        self._watches: dict[str, set[Watch]] = {}
        self._is_connected = True
        self._to_lose = 0

    @property
    def channels(self) -> frozenset[str]:
        """The channels that somebody listens to."""
        return frozenset(self._watches)

    def watch(self, *visitor_ids: str) -> Watch:
        """As `Notices.watch`."""
        watch = Watch(self)
        watch.follow(visitor_ids)
        return watch

    def add(self, channel: str, watch: Watch) -> None:
        """As `Channels.add`."""
        self._watches.setdefault(channel, set()).add(watch)
        if self._is_connected:
            # The confirmation that the channel is open.
            asyncio.get_running_loop().call_soon(self._mark, (channel,))

    def remove(self, channel: str, watch: Watch) -> None:
        """As `Channels.remove`."""
        watches = self._watches.get(channel, set())
        watches.discard(watch)
        if not watches:
            self._watches.pop(channel, None)

    def announce(self, channel: str) -> None:
        """Send a notice to those who listen by now."""
        if not self._is_connected:
            return
        if self._to_lose:
            self._to_lose -= 1
            return
        asyncio.get_running_loop().call_soon(self._mark, (channel,))

    def lose(self, count: int) -> None:
        """Let this many of the next notices get lost, without anybody knowing."""
        self._to_lose = count

    def disconnect(self) -> None:
        """Lose the connection: no notice arrives until `reconnect`."""
        self._is_connected = False

    def reconnect(self) -> None:
        """Connect again. Every channel is confirmed, so every watch becomes dirty."""
        self._is_connected = True
        asyncio.get_running_loop().call_soon(self._mark, tuple(self._watches))

    def _mark(self, channels: Iterable[str]) -> None:
        for channel in channels:
            for watch in tuple(self._watches.get(channel, ())):
                watch.mark()
