"""Open WebSockets and event streams: counted, limited, and closed when the process stops."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from gateway.errors import Throttled

TOO_MANY_CONNECTIONS: Final = "Too many open connections: try again later."
RESTARTING: Final = "The gateway is restarting: try again."


class OpenConnection(Protocol):
    """A connection that can be asked to end, so that its client connects elsewhere."""

    def restart(self) -> None:
        """End soon; returns at once."""


class OpenConnections:
    """All WebSockets and event streams of one endpoint."""

    def __init__(self, max_connections: int, max_per_address: int) -> None:
        self.slots = ConnectionSlots(max_connections, max_per_address)
        self.stopping = False
        self._open: set[OpenConnection] = set()
        self._all_closed = asyncio.Event()

    async def while_open(self, connection: OpenConnection, serving: Awaitable[None]) -> None:
        """Await `serving`, which takes as long as the connection is open."""
        self._open.add(connection)
        try:
            await serving
        finally:
            self._open.discard(connection)
            if not self._open:
                self._all_closed.set()

    async def shutdown(self, deadline_s: float) -> None:
        """Ask all connections to end, and wait for it, at most `deadline_s` seconds. The caller refuses new ones."""
        self.stopping = True
        for connection in list(self._open):
            connection.restart()
        if self._open:
            self._all_closed.clear()
            try:
                async with asyncio.timeout(deadline_s):
                    await self._all_closed.wait()
            except TimeoutError:
                return


class ConnectionSlots:
    """Counts open connections, in total and by address."""

    def __init__(self, max_connections: int, max_per_address: int) -> None:
        self._max_connections = max_connections
        self._max_per_address = max_per_address
        self._by_address: Counter[str] = Counter()
        self._total = 0

    @property
    def open(self) -> int:
        """The number of open connections."""
        return self._total

    @contextmanager
    def hold(self, address: str) -> Iterator[None]:
        """Hold a slot for the length of the block. Raises Throttled if none is left."""
        if self._total >= self._max_connections or self._by_address[address] >= self._max_per_address:
            if not self._by_address[address]:
                del self._by_address[address]
            raise Throttled(TOO_MANY_CONNECTIONS, retry_after_ms=5000)
        self._total += 1
        self._by_address[address] += 1
        try:
            yield
        finally:
            self._total -= 1
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]


class RateLimit:
    """A token bucket: at most `burst` at once, and `per_second` in the long run."""

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._clock = clock
        self._tokens = float(burst)
        self._updated_at_s = clock()

    def allow(self) -> bool:
        """Take one token. False if none is left."""
        now_s = self._clock()
        self._tokens = min(self._burst, self._tokens + (now_s - self._updated_at_s) * self._per_second)
        self._updated_at_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
