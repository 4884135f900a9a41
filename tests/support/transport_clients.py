"""Clients of the toy gateway: a socket that speaks graphql-transport-ws, and a reader of event streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.support.toy_gateway import Toy

PROTOCOL = [Subprotocol("graphql-transport-ws")]
DEADLINE_S = 5.0


async def tell(ws: ClientConnection, **message: Any) -> None:
    await ws.send(orjson.dumps(message).decode())


async def hear(ws: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE_S):
        found: dict[str, Any] = orjson.loads(await ws.recv())
        return found


async def close_code(ws: ClientConnection) -> int | None:
    async with asyncio.timeout(DEADLINE_S):
        try:
            while True:
                await ws.recv()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None


@asynccontextmanager
async def ready(toy: Toy, payload: dict[str, Any] | None = None) -> AsyncIterator[ClientConnection]:
    async with connect(toy.ws_url, subprotocols=PROTOCOL) as ws:
        await tell(ws, type="connection_init", payload=payload)
        assert await hear(ws) == {"type": "connection_ack"}
        yield ws


async def start(ws: ClientConnection, operation_id: str, query: str, **payload: Any) -> None:
    await tell(ws, type="subscribe", id=operation_id, payload={"query": query, **payload})


class Events:
    """Reads an event stream block by block."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._chunks = response.aiter_raw()
        self._rest = b""

    async def block(self) -> bytes | None:
        async with asyncio.timeout(DEADLINE_S):
            while b"\n\n" not in self._rest:
                try:
                    self._rest += await anext(self._chunks)
                except StopAsyncIteration:
                    assert self._rest == b""
                    return None
            block, _, self._rest = self._rest.partition(b"\n\n")
            return block

    async def all(self) -> list[bytes]:
        """The blocks up to the end of the stream, without comments."""
        found: list[bytes] = []
        while (block := await self.block()) is not None:
            if block != b":":
                found.append(block)
        return found


@asynccontextmanager
async def stream(toy: Toy, query: str, headers: dict[str, str] | None = None, **body: Any) -> AsyncIterator[Events]:
    async with (
        httpx.AsyncClient(timeout=DEADLINE_S) as client,
        client.stream(
            "POST", toy.url, json={"query": query, **body}, headers={"accept": "text/event-stream", **(headers or {})}
        ) as response,
    ):
        yield Events(response)


def data(block: bytes) -> dict[str, Any]:
    (line,) = [line for line in block.split(b"\n") if line.startswith(b"data: ")]
    found: dict[str, Any] = orjson.loads(line.removeprefix(b"data: "))
    return found


def raw_stream_request(query: str) -> bytes:
    """A POST for an event stream as it goes on the wire, for clients that misbehave below HTTP."""
    body = orjson.dumps({"query": query})
    lines = ["POST /graphql HTTP/1.1", "host: x", "content-type: application/json", "accept: text/event-stream"]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body
