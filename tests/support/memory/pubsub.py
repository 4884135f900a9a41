"""The pub/sub of Redis in memory, as redis-py shows it: confirmations, messages, PING, and connections that break or fall silent."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.exceptions import ConnectionError as ConnectionLost

Message = dict[str, Any]


class MemoryPubSubServer:
    """What `Redis.pubsub` connects to.

    While `is_away`, no connection can be opened. While `is_silent`, an open connection takes commands and answers nothing.
    """

    def __init__(self) -> None:
        self.is_away = False
        self.is_silent = False
        self.connections: list[MemoryPubSub] = []

    @property
    def connection(self) -> MemoryPubSub:
        """The latest connection."""
        return self.connections[-1]

    @property
    def open_connections(self) -> int:
        """How many connections are not closed."""
        return sum(not connection.is_closed for connection in self.connections)

    def pubsub(self) -> MemoryPubSub:
        """A connection that is opened by its first command."""
        connection = MemoryPubSub(self)
        self.connections.append(connection)
        return connection

    def publish(self, channel: str, data: bytes = b"") -> None:
        """Send a message to the subscribers of a channel."""
        for connection in self.connections:
            if channel in connection.channels:
                connection.receive({"type": "smessage", "channel": channel.encode(), "data": data})

    def drop(self) -> None:
        """Break every open connection."""
        for connection in self.connections:
            connection.break_off()


class MemoryPubSub:
    """One connection. `subscriptions` are the channels of each SSUBSCRIBE, `pings` the number of PINGs."""

    def __init__(self, server: MemoryPubSubServer) -> None:
        self.channels: set[str] = set()
        self.subscriptions: list[tuple[str, ...]] = []
        self.pings = 0
        self.is_closed = False
        self._server = server
        self._messages: asyncio.Queue[Message | None] = asyncio.Queue()
        self._is_broken = False

    async def ssubscribe(self, *channels: str) -> None:
        """Subscribe; each channel is confirmed."""
        await self._enter()
        self.subscriptions.append(channels)
        self.channels.update(channels)
        for channel in channels:
            self.receive({"type": "ssubscribe", "channel": channel.encode(), "data": 1})

    async def sunsubscribe(self, *channels: str) -> None:
        """Unsubscribe; each channel is confirmed."""
        await self._enter()
        self.channels.difference_update(channels)
        for channel in channels:
            self.receive({"type": "sunsubscribe", "channel": channel.encode(), "data": 0})

    async def ping(self) -> None:
        """Send PING. The answer is a message."""
        await self._enter()
        self.pings += 1
        self.receive({"type": "pong", "channel": None, "data": b""})

    async def get_message(self, timeout: float) -> Message | None:  # redis-py's own parameter
        """The next message; None after `timeout` seconds. Raises ConnectionError when the connection broke."""
        message: Message | None = None
        if not self._is_broken or not self._messages.empty():
            try:
                async with asyncio.timeout(timeout):
                    message = await self._messages.get()
            except TimeoutError:
                return None
        if message is None:
            raise ConnectionLost("connection closed by the server")
        return message

    async def aclose(self) -> None:
        """Close the connection."""
        await asyncio.sleep(0)
        self.is_closed = True
        self.channels.clear()

    def receive(self, message: Message) -> None:
        """Let a message arrive, unless the server is silent."""
        if not self._server.is_silent and not self._is_broken:
            self._messages.put_nowait(message)

    def break_off(self) -> None:
        """Break the connection: whoever uses it gets an error."""
        self._is_broken = True
        self.channels.clear()
        self._messages.put_nowait(None)

    async def _enter(self) -> None:
        await asyncio.sleep(0)
        if self._is_broken or self.is_closed or self._server.is_away:
            raise ConnectionLost("connection refused")
