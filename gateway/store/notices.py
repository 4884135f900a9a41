"""Change notices: one Redis connection per process listens for changes of the visitors that a watch follows.

A notice says only "read again". The gap-free hand-over, in order:

    1. a watch starts dirty, so its owner reads at once
    2. the channel is subscribed; the confirmation marks the watch dirty again: what changed between 1 and 2 is seen
    3. every notice marks it dirty; the owner reads after that, from the primary
    4. every later confirmation (the connection was lost and re-created) marks it dirty: a gap was possible

redis-py sends PING on a subscribed connection but never checks for the answer, so this module has its own deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import Any, Final, Protocol

from redis.asyncio import Redis

from gateway.background import cancel_and_wait
from gateway.store.connection import STORE_ERRORS
from gateway.store.keys import notice_channel
from gateway.telemetry import Metrics

PING_SECONDS: Final = 2.0
SILENCE_SECONDS: Final = 6.0
"""A connection on which nothing was received for this long is taken to be lost."""
RECONNECT_SECONDS: Final = 0.2
_CHANNELS_AT_ONCE: Final = 500
_OWN_CHANNEL: Final = "{gateway}:notices"
"""Nobody publishes to it. It is subscribed so that there is a connection while no visitor is followed."""

log = logging.getLogger(__name__)


class Channels(Protocol):
    """Where a watch listens."""

    def add(self, channel: str, watch: Watch) -> None:
        """Mark `watch` dirty as soon as the channel is open, at every notice on it, and whenever a notice may have been lost."""

    def remove(self, channel: str, watch: Watch) -> None:
        """Leave `watch` alone from now on."""


class Watch:
    """A subscription to the changes of some visitors. Wait until it is dirty, clear it, then read."""

    def __init__(self, bus: Channels) -> None:
        self._bus = bus
        self._dirty = asyncio.Event()
        self._dirty.set()
        self._channels: set[str] = set()

    def follow(self, visitor_ids: Iterable[str]) -> bool:
        """Follow these visitors too. Returns whether one is new: then an earlier read may have missed a change."""
        return self.listen(map(notice_channel, visitor_ids))

    def listen(self, channels: Iterable[str]) -> bool:
        """The same as `follow`, by the names of channels."""
        new = set(channels) - self._channels
        self._channels |= new
        for channel in new:
            self._bus.add(channel, self)
        return bool(new)

    def clear(self) -> None:
        """Make it clean. To be called before a read, which then sees everything that was announced so far."""
        self._dirty.clear()

    def mark(self) -> None:
        """Make it dirty: something may have changed."""
        self._dirty.set()

    async def wait(self, timeout_seconds: float) -> None:
        """Wait until it is dirty, at most for this long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._dirty.wait()

    def close(self) -> None:
        """Stop listening. Safe to call twice."""
        for channel in self._channels:
            self._bus.remove(channel, self)
        self._channels = set()


class NoticeBus:
    """Owns the notice connection; `run` is a task of the application."""

    def __init__(self, redis: Redis, metrics: Metrics) -> None:
        self._redis = redis
        self._metrics = metrics
        self._watches: dict[str, set[Watch]] = {}
        self._requests: asyncio.Queue[tuple[bool, str]] = asyncio.Queue()

    def watch(self, *visitor_ids: str) -> Watch:
        """A watch on these visitors, dirty from the start. Close it when done."""
        watch = Watch(self)
        watch.follow(visitor_ids)
        return watch

    def add(self, channel: str, watch: Watch) -> None:
        """As `Channels.add`."""
        watches = self._watches.setdefault(channel, set())
        watches.add(watch)
        # Even if another watch has subscribed to it: the confirmation marks this one dirty once the channel is open.
        self._requests.put_nowait((True, channel))

    def remove(self, channel: str, watch: Watch) -> None:
        """As `Channels.remove`."""
        watches = self._watches.get(channel)
        if watches is not None:
            watches.discard(watch)
            if not watches:
                del self._watches[channel]
                self._requests.put_nowait((False, channel))

    async def run(self) -> None:
        """Listen until cancelled. A lost connection is re-created, and every watch is marked dirty."""
        while True:
            try:
                await self._listen()
            except STORE_ERRORS as error:
                log.warning("notice connection lost (%s); connecting again", type(error).__name__)
            self._metrics.notice_reconnects.inc()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self) -> None:
        pubsub = self._redis.pubsub()
        sender: asyncio.Task[None] | None = None
        try:
            self._requests = asyncio.Queue()
            await pubsub.ssubscribe(_OWN_CHANNEL)
            channels = list(self._watches)
            for start in range(0, len(channels), _CHANNELS_AT_ONCE):
                await pubsub.ssubscribe(*channels[start : start + _CHANNELS_AT_ONCE])
            sender = asyncio.create_task(self._send(pubsub))
            loop = asyncio.get_running_loop()
            last_received = loop.time()
            while True:
                message = await pubsub.get_message(timeout=PING_SECONDS / 2)
                if message is not None:
                    last_received = loop.time()
                    self._on_message(message)
                elif loop.time() - last_received > SILENCE_SECONDS:
                    raise TimeoutError("no answer to PING")
                if sender.done():
                    await sender
        finally:
            try:
                # Nothing that the sender raises counts here, but a cancellation of this task goes on: the process is stopping.
                await cancel_and_wait([] if sender is None else [sender])
            finally:
                with contextlib.suppress(*STORE_ERRORS):
                    await pubsub.aclose()  # type: ignore[no-untyped-call]  # redis-py leaves it untyped

    async def _send(self, pubsub: Any) -> None:
        """Subscribe and unsubscribe as requested, many channels at once; PING when there is nothing else to send."""
        while True:
            try:
                async with asyncio.timeout(PING_SECONDS):
                    requests = [await self._requests.get()]
            except TimeoutError:
                await pubsub.ping()
                continue
            while not self._requests.empty() and len(requests) < _CHANNELS_AT_ONCE:
                requests.append(self._requests.get_nowait())
            is_wanted = {channel: wanted for wanted, channel in requests}
            added = [channel for channel, wanted in is_wanted.items() if wanted and channel in self._watches]
            removed = [channel for channel, wanted in is_wanted.items() if not wanted and channel not in self._watches]
            if added:
                await pubsub.ssubscribe(*added)
            if removed:
                await pubsub.sunsubscribe(*removed)

    def _on_message(self, message: dict[str, Any]) -> None:
        if message["type"] not in ("smessage", "ssubscribe"):
            return
        channel = message["channel"]
        name = channel.decode() if isinstance(channel, bytes) else channel
        for watch in tuple(self._watches.get(name, ())):
            watch.mark()
