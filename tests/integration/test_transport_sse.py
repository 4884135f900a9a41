"""SSE over real sockets: uvicorn on a loopback port, httpx as client."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.support.toy_gateway import eventually, serve
from tests.support.transport_clients import data, raw_stream_request, stream

# SSE


async def test_sse_subscription() -> None:
    """SSE-DISTINCT: headers against buffering and caching, a comment at once, next events with ids, complete, end."""
    async with (
        serve(make_event_id=lambda payload: f"id-{payload['data']['count']}") as toy,
        stream(toy, "subscription { count(to: 2) }") as events,
    ):
        assert events.response.status_code == 200
        assert events.response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert events.response.headers["cache-control"] == "private, no-store"
        assert events.response.headers["x-accel-buffering"] == "no"
        assert await events.block() == b":"
        assert await events.all() == [
            b'event: next\nid: id-0\ndata: {"data":{"count":0}}',
            b'event: next\nid: id-1\ndata: {"data":{"count":1}}',
            b"event: complete\ndata:",
        ]


async def test_sse_query_mutation_and_get() -> None:
    """SSE-DISTINCT: queries and mutations give one next and complete; a GET works with its proof against forgery."""
    async with serve() as toy:
        for query in ("{ hello }", 'mutation { write(text: "t") }'):
            async with stream(toy, query) as events:
                first, last = await events.all()
                assert "data" in data(first)
                assert last == b"event: complete\ndata:"
        headers = {
            "accept": "text/event-stream",
            "graphql-require-preflight": "1",
            "last-event-id": "id-7",
            "authorization": "Bearer ann",
        }
        async with httpx.AsyncClient() as client:
            response = await client.get(toy.url, params={"query": "subscription { count(to: 1) }"}, headers=headers)
        assert response.text.count("event: next") == response.text.count("event: complete") == 1
        info = toy.board.infos[-1]
        assert (info.transport, info.last_event_id, info.credential) == ("sse", "id-7", info.credential)


async def test_sse_is_used_for_a_subscription_that_accepts_it_second() -> None:
    """SSE-ACCEPT: a client that lists text/event-stream after JSON gets JSON for queries and a stream for subscriptions."""
    accept = {"accept": "application/json, text/event-stream"}
    async with serve() as toy, httpx.AsyncClient() as client:
        query = await client.post(toy.url, json={"query": "{ hello }"}, headers=accept)
        subscription = await client.post(toy.url, json={"query": "subscription { count(to: 1) }"}, headers=accept)
    assert query.json() == {"data": {"hello": "hello world"}}
    assert subscription.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize(
    ("query", "headers", "code"),
    [
        ("{", {}, "GRAPHQL_PARSE_FAILED"),
        ("subscription { nope }", {}, "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { count(to: 1) }", {"authorization": "Bearer forged"}, "UNAUTHENTICATED"),
        ('subscription { fail(why: "forbidden") }', {}, "FORBIDDEN"),
        ('subscription { fail(why: "forbidden", after: 1) }', {}, "FORBIDDEN"),
    ],
)
async def test_sse_refusals_for_good_are_next_then_complete(query: str, headers: dict[str, str], code: str) -> None:
    """SSE-REFUSED: what trying again does not heal is a next with errors, then complete."""
    async with serve() as toy, stream(toy, query, headers) as events:
        blocks = await events.all()
    assert blocks[-1] == b"event: complete\ndata:"
    assert data(blocks[-2])["errors"][0]["extensions"]["code"] == code


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize(("why", "code"), [("unavailable", "UNAVAILABLE"), ("defect", "INTERNAL_SERVER_ERROR")])
async def test_sse_failures_that_may_heal_end_without_complete(why: str, code: str, after: int) -> None:
    """SSE-FAILED: a defect or a part that is away ends the stream without complete, so that clients come again."""
    async with serve() as toy, stream(toy, f'subscription {{ fail(why: "{why}", after: {after}) }}') as events:
        blocks = await events.all()
    assert len(blocks) == after + 1
    assert data(blocks[-1])["errors"][0]["extensions"]["code"] == code
    assert b"secret" not in blocks[-1]


async def test_sse_token_that_expires_in_mid_stream() -> None:
    """SSE-EXPIRED: when the token ends, UNAUTHENTICATED is sent and the stream ends without complete."""
    async with (
        serve() as toy,
        stream(toy, "subscription { count(to: 1, forever: true) }", {"authorization": "Bearer short:0.3"}) as events,
    ):
        first, last = await events.all()
        assert data(first) == {"data": {"count": 0}}
        assert data(last)["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        assert toy.board.closed == 1


async def test_sse_heartbeats() -> None:
    """SSE-HEARTBEAT: comments keep a quiet stream alive."""
    async with serve(heartbeat_s=0.05) as toy, stream(toy, "subscription { count(to: 0, forever: true) }") as events:
        assert [await events.block() for _ in range(5)] == [b":"] * 5


async def test_sse_disconnect_closes_the_generator_and_frees_the_slot() -> None:
    """SSE-GONE: when the client goes, the generator is closed promptly and the slot is free."""
    async with serve() as toy:
        async with stream(toy, "subscription { count(to: 1, forever: true) }") as events:
            await events.block()
            await events.block()
        await eventually(lambda: toy.board.closed == 1 and toy.endpoint.open_connections == 0, within_s=1.0)


async def test_sse_client_that_leaves_at_once_frees_its_slot() -> None:
    """SSE-GONE: a client that leaves before anything started leaves nothing behind, fifty times over."""
    request = raw_stream_request("subscription { count(to: 1, forever: true) }")
    async with serve() as toy:
        for _ in range(50):
            _reader, writer = await asyncio.open_connection("127.0.0.1", toy.port)
            writer.write(request)
            await writer.drain()
            writer.transport.abort()
        await eventually(lambda: toy.endpoint.open_connections == 0 and toy.board.started == toy.board.closed)
