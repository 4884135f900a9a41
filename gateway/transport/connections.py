"""What is open: WebSockets and event streams, counted, and sent away when the process stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Protocol

from gateway.transport.documents.limits import ConnectionSlots


class OpenConnection(Protocol):
    """A connection that can be told to end so that its client connects elsewhere."""

    def restart(self) -> None:
        """End soon; returns at once."""


class OpenConnections:
    """All WebSockets and event streams of one endpoint."""

    def __init__(self, most: int, most_per_address: int) -> None:
        self.slots = ConnectionSlots(most, most_per_address)
        self.stopping = False
        self._open: set[OpenConnection] = set()
        self._all_closed = asyncio.Event()

    async def while_open(self, connection: OpenConnection, running: Awaitable[None]) -> None:
        """Await `running`, the life of the connection."""
        self._open.add(connection)
        try:
            await running
        finally:
            self._open.discard(connection)
            if not self._open:
                self._all_closed.set()

    async def shutdown(self, deadline_s: float) -> None:
        """Tell all to end, and wait until they have, at most `deadline_s` seconds. New ones are to be refused."""
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
