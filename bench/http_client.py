"""A light HTTP/1.1 client for load generators, on raw asyncio streams for speed.

It takes about a hundred microseconds per request, so that the machine is left to what is measured; everything else uses
`gateway.graphql_http`. Requests take an idle connection or open another one, so none waits for another (open loop). httptools
parses the answers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, cast
from urllib.parse import urlsplit

from httptools import HttpResponseParser

_TIMEOUT_S: Final = 30.0
_IDLE_S: Final = 2.0
"""A connection that was idle for longer is not used again: the server may be closing it at this moment."""


class HttpProblem(OSError):
    """A connection failed, or the status is not 200."""


class Connection(asyncio.Protocol):
    """One connection. `on_piece` gets each piece of a body as it arrives; `done` is set when an answer is complete."""

    def __init__(self) -> None:
        self.on_piece: Callable[[bytes], None] = self._append
        self.done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.lost = False
        self._transport: asyncio.WriteTransport | None = None
        self._parser = HttpResponseParser(self)
        self._body = b""

    def send(self, request: bytes) -> None:
        """Send a request; the previous one must be complete."""
        if self._transport is None:
            raise HttpProblem("not connected")
        self.done = asyncio.get_running_loop().create_future()
        self._body = b""
        self._transport.write(request)

    def close(self) -> None:
        """Close immediately."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio.Protocol."""
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's class is not derived from it

    def data_received(self, data: bytes) -> None:
        """Part of asyncio.Protocol."""
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio.Protocol."""
        self.lost = True
        self._fail(f"the connection was lost: {exc}")

    def on_headers_complete(self) -> None:
        """Part of httptools' protocol."""
        status = self._parser.get_status_code()
        if status != 200:
            self._fail(f"HTTP {status}")

    def on_body(self, piece: bytes) -> None:
        """Part of httptools' protocol, which binds this method once: hence `on_piece`."""
        self.on_piece(piece)

    def on_message_complete(self) -> None:
        """Part of httptools' protocol."""
        if not self.done.done():
            self.done.set_result(self._body)

    def _append(self, piece: bytes) -> None:
        self._body += piece

    def _fail(self, cause: str) -> None:
        if not self.done.done():
            self.done.set_exception(HttpProblem(cause))
            self.done.exception()  # marks it as retrieved: perhaps nothing awaits it


class HttpClient:
    """Posts JSON to /graphql of one gateway, over as many connections as are needed."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._idle: list[tuple[Connection, float]] = []
        self._all: list[Connection] = []

    @property
    def connections(self) -> int:
        """The number of connections opened so far."""
        return len(self._all)

    async def open(self) -> Connection:
        """Open a connection for the caller."""
        _, connection = await asyncio.get_running_loop().create_connection(Connection, self._host, self._port)
        self._all.append(connection)
        return connection

    async def post(self, body: bytes, credential: str) -> bytes:
        """The body of the answer to a request. Raises `HttpProblem`, OSError or TimeoutError."""
        connection = self._take_idle() or await self.open()
        connection.send(self.request(body, credential, b"application/json"))
        async with asyncio.timeout(_TIMEOUT_S):
            answer = await connection.done
        self._idle.append((connection, time.monotonic()))
        return answer

    def _take_idle(self) -> Connection | None:
        """The connection that was used last, if it is fresh enough; all others are older."""
        if self._idle:
            connection, since = self._idle.pop()
            if not connection.lost and time.monotonic() - since < _IDLE_S:
                return connection
            connection.close()
        return None

    def request(self, body: bytes, credential: str, accept: bytes) -> bytes:
        """The bytes of a POST request."""
        return (
            b"POST /graphql HTTP/1.1\r\nhost: %s:%d\r\ncontent-type: application/json\r\naccept: %s\r\n"
            b"authorization: Bearer %s\r\ncontent-length: %d\r\n\r\n%s"
            % (self._host.encode(), self._port, accept, credential.encode(), len(body), body)
        )

    def close(self) -> None:
        """Close all connections."""
        for connection in self._all:
            connection.close()
