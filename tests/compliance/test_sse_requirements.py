"""graphql-sse, distinct connections mode, byte by byte on a real socket."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from gateway.transport.documents.manifest import document_id
from gateway.transport.settings import TransportSettings
from tests.compliance.requirements import covers
from tests.support.toy_gateway import eventually, serve
from tests.support.transport_clients import Events, data, stream

FOREVER = "subscription { count(to: 1, forever: true) }"
COMPLETE = b"event: complete\ndata:"
STREAM = {"accept": "text/event-stream", "graphql-require-preflight": "1"}


@covers("SSE-001", "SSE-002", "SSE-003")
async def test_head_and_first_comment() -> None:
    """Before anything else, for a subscription that has nothing to say yet."""
    async with serve() as toy, stream(toy, "subscription { news }", {"accept-encoding": "gzip, br"}) as events:
        headers = events.response.headers
        assert headers["content-type"] == "text/event-stream; charset=utf-8"
        assert headers["x-accel-buffering"] == "no"
        assert headers["cache-control"] == "private, no-store"
        assert "content-encoding" not in headers
        assert await events.block() == b":"


@covers("SSE-004", "SSE-006", "SSE-005")
async def test_operations() -> None:
    """By POST and by GET: next, complete and the end; a mutation by GET is refused."""
    async with serve() as toy, httpx.AsyncClient(headers=STREAM) as client:
        for query, results in (("{ hello }", 1), ("subscription { count(to: 3) }", 3), ('mutation { write(text: "t") }', 1)):
            found = [await client.post(toy.url, json={"query": query})]
            if not query.startswith("mutation"):
                found.append(await client.get(toy.url, params={"query": query}))
            for response in found:
                blocks = response.text.removesuffix("\n\n").split("\n\n")
                assert [block.partition("\n")[0] for block in blocks] == [":", *["event: next"] * results, "event: complete"]
        assert (await client.get(toy.url, params={"query": 'mutation { write(text: "t") }'})).status_code == 405
        assert toy.board.written == ["t"]


@covers("SSE-007")
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"query": "{"}, "GRAPHQL_PARSE_FAILED"),
        ({"query": "{ nope }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "query ($of: Int!) { square(of: $of) }"}, "BAD_USER_INPUT"),
        ({"query": "query A { hello } query B { hello }"}, "OPERATION_RESOLUTION_FAILURE"),
        ({"query": 1}, "BAD_REQUEST"),
        ({}, "BAD_REQUEST"),
    ],
)
async def test_errors_before_execution(body: dict[str, Any], code: str) -> None:
    """In the stream, since a stream was asked for: an EventSource could not read them elsewhere."""
    async with serve() as toy, httpx.AsyncClient(headers=STREAM) as client, client.stream("POST", toy.url, json=body) as response:
        assert response.status_code == 200
        error, last = await Events(response).all()
        assert data(error)["errors"][0]["extensions"]["code"] == code
        assert "data" not in data(error)
        assert last == COMPLETE


@covers("SSE-008", "SSE-009")
async def test_resume() -> None:
    """What came after the event that the client names comes, and no other."""
    async with serve(make_event_id=lambda payload: str(payload["data"]["news"])) as toy:
        toy.board.news = 3
        async with stream(toy, "subscription { news }", {"last-event-id": "2"}) as events:
            assert await events.block() == b":"
            assert await events.block() == b'event: next\nid: 3\ndata: {"data":{"news":3}}'


@covers("SSE-010")
async def test_heartbeats() -> None:
    """As often as is set; by default proxies that wait 15 s keep the stream."""
    assert TransportSettings().heartbeat_s <= 15
    async with serve(heartbeat_s=0.05) as toy, stream(toy, "subscription { news }") as events:
        assert [await events.block() for _ in range(4)] == [b":"] * 4


@covers("SSE-011")
async def test_client_that_leaves() -> None:
    """Its source is closed and its place is free."""
    async with serve() as toy:
        async with stream(toy, FOREVER) as events:
            await events.block()
            await events.block()
        await eventually(lambda: toy.board.closed == 1 and toy.endpoint.open_connections == 0)


@covers("SSE-012")
@pytest.mark.parametrize(("why", "is_over"), [("unavailable", False), ("defect", False), ("unauthenticated", False), ("forbidden", True)])
async def test_failure_after_a_result(why: str, is_over: bool) -> None:
    """Only what coming again does not heal is completed."""
    async with serve() as toy, stream(toy, f'subscription {{ fail(why: "{why}", after: 1) }}') as events:
        blocks = await events.all()
    assert "errors" in data(blocks[1])
    assert blocks[2:] == ([COMPLETE] if is_over else [])


@covers("SSE-013")
async def test_restart() -> None:
    """The stream ends, and nothing says that it is over."""
    async with serve() as toy, stream(toy, FOREVER) as events:
        assert [await events.block(), data(await events.block() or b"")] == [b":", {"data": {"count": 0}}]
        await toy.endpoint.shutdown()
        assert await events.all() == []


@covers("SSE-014")
async def test_persisted_documents() -> None:
    """By id in the URL of a GET; unknown ones are told in the stream."""
    text = "subscription { count(to: 1) }"
    async with serve() as toy, httpx.AsyncClient(headers=STREAM) as client:
        named = {"documentId": document_id(text)}
        assert "PERSISTED_QUERY_NOT_FOUND" in (await client.get(toy.url, params=named)).text
        assert "event: complete" in (await client.post(toy.url, json={**named, "query": text})).text
        assert '{"data":{"count":0}}' in (await client.get(toy.url, params=named)).text
