"""The gateway under a path of the shop: what goes through, what does not, and streams that flow piece by piece."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn
from pydantic import SecretStr

from examples.storefront.app import create_app
from examples.storefront.catalogue import Catalogue
from examples.storefront.proxy import MAX_BODY_BYTES
from examples.storefront.settings import Settings
from tests.support.client_gateways import NOWHERE, BadServer, bad_server
from tests.support.toy_gateway import ORIGIN, eventually, serve

PATH = "/gw/graphql"


@asynccontextmanager
async def shop(gateway_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The shop on a free loopback port, with the gateway at an address."""
    app = create_app(Settings(gateway_url=gateway_url, publishable_key=SecretStr("pk_test")), Catalogue([]))  # type: ignore[call-arg]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=2))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await eventually(lambda: server.started)
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=20) as client:
                yield client
        finally:
            server.should_exit = True
            await task


async def test_answers_go_through_with_their_status_and_type() -> None:
    """A query, a refusal and a wrong method are answered as the gateway answers them."""
    async with serve() as toy, shop(toy.url.removesuffix("/graphql")) as client:
        good = await client.post(PATH, json={"query": "{ hello caller }"}, headers={"authorization": "Bearer alice"})
        assert good.json() == {"data": {"hello": "hello world", "caller": "alice"}}
        assert good.headers["cache-control"] == "private, no-store"
        refused = await client.post(PATH, json={"query": "{ hello }"}, headers={"authorization": "Bearer forged"})
        assert refused.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        assert (await client.post(PATH, content=b"query=1", headers={"content-type": "text/plain"})).status_code >= 400
        assert (await client.get("/gw/metrics")).status_code == 404
        assert (await client.get("/gw/")).status_code == 404


async def test_streams_flow_and_end_with_their_reader() -> None:
    """Each event comes before the next one exists; a reader who leaves ends the subscription at the gateway."""
    async with serve(allowed_origins=frozenset({ORIGIN})) as toy, shop(toy.url.removesuffix("/graphql")) as client:
        body = {"query": "subscription { count(to: 2, forever: true) }"}
        async with client.stream("POST", PATH, json=body, headers={"accept": "text/event-stream"}) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["x-accel-buffering"] == "no"
            seen = ""
            async for text in answer.aiter_text():
                seen += text
                if seen.count("event: next") + seen.count("event:next") == 2:
                    break
            assert toy.board.closed == 0
        await eventually(lambda: toy.board.closed == 1)


async def test_cookies_stay_with_the_shop() -> None:
    """Only what GraphQL needs goes on: the token yes, cookies and anything else no, in neither direction."""
    heads: list[str] = []

    async def behave(_: BadServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head.decode().lower())
        writer.write(b"HTTP/1.1 200 OK\r\nset-cookie: a=b\r\nserver: x\r\ncontent-type: text/x\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()

    async with bad_server(behave) as server, shop(server.endpoint.removesuffix("/graphql")) as client:
        headers = {"authorization": "Bearer t", "cookie": "visitor_token=t; cart=1-1", "x-else": "1", "last-event-id": "d1"}
        answer = await client.get(PATH, params={"query": "{a}"}, headers=headers)
    assert (answer.text, answer.headers["content-type"]) == ("ok", "text/x")
    assert "set-cookie" not in answer.headers
    [head] = heads
    assert head.startswith("get /graphql?query=%7ba%7d ")
    assert "authorization: bearer t" in head
    assert "last-event-id: d1" in head
    assert "cookie" not in head
    assert "x-else" not in head


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, MAX_BODY_BYTES * 4])
async def test_too_much_is_refused_here(size: int) -> None:
    """A body that no gateway would take is not passed on."""
    async with shop(f"http://{NOWHERE}") as client:
        assert (await client.post(PATH, content=json.dumps("x" * size))).status_code == 413


async def test_gateway_that_is_away_is_a_502_at_once() -> None:
    """The snippet tries again later; the shop's own pages are there."""
    async with shop(f"http://{NOWHERE}") as client:
        assert (await client.post(PATH, json={"query": "{ hello }"})).status_code == 502
        assert (await client.get("/healthz")).status_code == 200
