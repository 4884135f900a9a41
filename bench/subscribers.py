"""Open pages: visitors whose banner is followed over SSE or WebSocket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from bench.http_client import HttpClient, HttpProblem
from gateway.background import cancel_and_wait

PLACEMENT: Final = "homepage-hero"
_START: Final = orjson.dumps({"query": "mutation { startVisit { token } }"})
_CHANGED: Final = {
    # The fields that a page requests.
    "query": "subscription($placements: [ID!]!) { bannerChanged(placements: $placements) "
    "{ id placement reason banner { id headline body linkUrl ctaLabel image { url alt width height } } } }",
    "variables": {"placements": [PLACEMENT]},
}
_OPEN_S: Final = 15.0

OnFrame = Callable[[int, str, float, str], None]
"""Visitor, headline, moment (monotonic seconds), transport."""


@dataclass(frozen=True, slots=True)
class OpenPage:
    """A visitor with an open page."""

    visitor: int
    token: str
    transport: str


class OpenPages:
    """Opens pages and holds their subscriptions; a subscription that ends is a failure of the run."""

    def __init__(self, http: HttpClient, url: str, publishable_key: str, on_frame: OnFrame) -> None:
        self.problems: list[str] = []
        self._http = http
        self._websocket_url = url.replace("http", "ws", 1) + "/graphql"
        self._key = publishable_key
        self._on_frame = on_frame
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    async def open(self, count: int, websocket_every: int) -> list[OpenPage]:
        """Start visits and subscribe; returns when each page has its first frame. Every n-th page uses WebSocket. Raises HttpProblem."""
        pages = []
        for visitor in range(count):
            answer = orjson.loads(await self._http.post(_START, self._key))
            transport = "websocket" if visitor % websocket_every == 0 else "sse"
            page = OpenPage(visitor, answer["data"]["startVisit"]["token"], transport)
            first_frame = asyncio.Event()
            try:
                async with asyncio.timeout(_OPEN_S):
                    await (self._open_websocket if transport == "websocket" else self._open_sse)(page, first_frame)
                    await first_frame.wait()
            except TimeoutError:
                raise HttpProblem(f"no first frame over {transport} within {_OPEN_S:.0f} s") from None
            if self.problems:
                raise HttpProblem(f"a subscription failed: {self.problems[0]}")
            pages.append(page)
        return pages

    async def close(self) -> None:
        """Close all subscriptions."""
        self._closing = True
        await cancel_and_wait(self._tasks)
        await self._stack.aclose()

    def _handle_frame(self, page: OpenPage, payload: Any, at: float, first_frame: asyncio.Event) -> None:
        first_frame.set()
        if payload.get("errors"):
            self.problems.append(f"{page.transport}: {payload['errors']}")
            return
        banner = payload["data"]["bannerChanged"]["banner"]
        self._on_frame(page.visitor, banner["headline"] if banner else "", at, page.transport)

    async def _open_sse(self, page: OpenPage, first_frame: asyncio.Event) -> None:
        connection = await self._http.open()
        buffer = b""

        def on_piece(piece: bytes) -> None:
            nonlocal buffer
            at = time.monotonic()
            *lines, buffer = (buffer + piece).split(b"\n")
            for line in lines:
                if line.startswith(b"data: {"):
                    self._handle_frame(page, orjson.loads(line[6:]), at, first_frame)

        connection.on_piece = on_piece
        connection.send(self._http.request(orjson.dumps(_CHANGED), page.token, b"text/event-stream"))
        connection.done.add_done_callback(lambda _: self._ended(page))

    async def _open_websocket(self, page: OpenPage, first_frame: asyncio.Event) -> None:
        opening = connect(
            self._websocket_url, subprotocols=[Subprotocol("graphql-transport-ws")], compression=None, ping_interval=None, proxy=None
        )
        socket = await self._stack.enter_async_context(opening)
        await socket.send(orjson.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {page.token}"}}).decode())
        await socket.recv()  # connection_ack; a refusal closes the socket
        await socket.send(orjson.dumps({"type": "subscribe", "id": "1", "payload": _CHANGED}).decode())
        self._tasks.append(asyncio.create_task(self._read_websocket(page, socket, first_frame)))

    async def _read_websocket(self, page: OpenPage, socket: ClientConnection, first_frame: asyncio.Event) -> None:
        try:
            async for text in socket:
                at = time.monotonic()
                message = orjson.loads(text)
                if message["type"] == "next":
                    self._handle_frame(page, message["payload"], at, first_frame)
                elif message["type"] == "error":
                    self._handle_frame(page, {"errors": message["payload"]}, at, first_frame)
                elif message["type"] == "ping":
                    await socket.send('{"type":"pong"}')
        except ConnectionClosed as problem:
            self.problems.append(f"websocket: {problem}")
        self._ended(page)

    def _ended(self, page: OpenPage) -> None:
        if not self._closing:
            self.problems.append(f"the {page.transport} subscription of visitor {page.visitor} ended")
