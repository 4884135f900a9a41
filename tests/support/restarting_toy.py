"""A toy gateway that restarts on the same port when the mutation `restart` asks for it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from gateway.transport.endpoint import GraphQLEndpoint
from tests.support.toy_gateway import Board, eventually, make_endpoint


class RestartingToy:
    """One address, one board, one server after the other."""

    def __init__(self, board: Board, settings: Mapping[str, Any]) -> None:
        self.board = board
        self.port = 0
        self.restarts = 0
        self.changing = asyncio.Lock()
        self._settings = settings
        self._endpoint: GraphQLEndpoint
        self._server: uvicorn.Server
        self._serving: asyncio.Task[None]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/graphql"

    async def start(self) -> None:
        """Serve; the first time on any free port, then on the same one."""
        self._endpoint = make_endpoint(self.board, **self._settings)
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(self._endpoint, log_level="error", lifespan="off", ws="websockets-sansio", timeout_graceful_shutdown=2)
        self._server = uvicorn.Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        await eventually(lambda: self._server.started)

    async def stop(self) -> None:
        """As a process that is told to stop."""
        await self._endpoint.shutdown()
        self._server.should_exit = True
        await self._serving

    async def restart_when_asked(self) -> None:
        """Goes on until it is cancelled."""
        while True:
            await self.board.restarts.wait()
            self.board.restarts.clear()
            async with self.changing:
                await self.stop()
                self.restarts += 1
                await self.start()


@asynccontextmanager
async def restarting_toy(**settings: Any) -> AsyncIterator[RestartingToy]:
    """Serve the toy until the end of the block."""
    toy = RestartingToy(Board(), settings)
    await toy.start()
    watching = asyncio.create_task(toy.restart_when_asked())
    try:
        yield toy
    finally:
        async with toy.changing:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
        toy.board.gate.set()
        await toy.stop()
