"""Python's `gql` as a server or a test would use it: over HTTP and over graphql-transport-ws."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from gql import Client, GraphQLRequest, gql
from gql.transport.exceptions import TransportClosed, TransportConnectionFailed, TransportQueryError, TransportServerError
from gql.transport.httpx import HTTPXAsyncTransport
from gql.transport.websockets import WebsocketsTransport

from tests.support.restarting_toy import RestartingToy, restarting_toy
from tests.support.toy_gateway import eventually

NEWS = "subscription ($shown: [Int!]! = []) { news(shown: $shown) }"


async def publish(toy: RestartingToy) -> None:
    async with toy.board.heard:
        toy.board.news += 1
        toy.board.heard.notify_all()


def socket_client(toy: RestartingToy) -> Client:
    transport = WebsocketsTransport(url=toy.url.replace("http", "ws", 1), subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL])
    return Client(transport=transport)


async def test_query_mutation_and_errors_over_http() -> None:
    """CLIENT: gql over HTTP gets data, and errors with their codes."""
    async with restarting_toy() as toy, Client(transport=HTTPXAsyncTransport(url=toy.url)) as session:
        assert await session.execute(GraphQLRequest("query ($n: String!) { hello(name: $n) }", variable_values={"n": "x"})) == {
            "hello": "hello x"
        }
        assert await session.execute(gql('mutation { write(text: "t") }')) == {"write": "t"}
        with pytest.raises(TransportQueryError) as refused:
            await session.execute(gql("{ refused }"))
        assert refused.value.errors
        assert refused.value.errors[0]["extensions"]["code"] == "FORBIDDEN"
        with pytest.raises((TransportQueryError, TransportServerError)):
            await session.execute(gql("{ nope }"))


async def test_query_mutation_subscription_and_errors_over_websocket() -> None:
    """CLIENT: gql over graphql-transport-ws gets data, a subscription to its end, and errors with their codes."""
    async with restarting_toy() as toy, socket_client(toy) as session:
        assert await session.execute(gql("{ hello }")) == {"hello": "hello world"}
        assert await session.execute(gql('mutation { write(text: "t") }')) == {"write": "t"}
        counted = [result async for result in session.subscribe(gql("subscription { count(to: 3) }"))]
        assert counted == [{"count": 0}, {"count": 1}, {"count": 2}]
        with pytest.raises(TransportQueryError) as refused:
            [result async for result in session.subscribe(gql('subscription { fail(why: "forbidden") }'))]
        assert refused.value.errors
        assert refused.value.errors[0]["extensions"]["code"] == "FORBIDDEN"


async def test_resume_after_a_restart() -> None:
    """CLIENT: a restart ends the subscription by an error, never as if it were over; resumed from what is shown it loses nothing."""
    seen: list[int] = []
    async with restarting_toy() as toy, asyncio.timeout(20):
        await publish(toy)
        ended = await _follow(toy, seen, until=1, then=toy.board.restarts.set)
        assert ended is not None
        await eventually(lambda: toy.restarts == 1)
        await publish(toy)
        await publish(toy)
        await _follow(toy, seen, until=3, then=lambda: None)
    assert seen == [1, 2, 3]


async def _follow(toy: RestartingToy, seen: list[int], until: int, then: Any) -> Exception | None:
    """Append what comes; after number `until` call `then`, and go on when that asks for a restart."""
    try:
        async with socket_client(toy) as session:
            async for result in session.subscribe(GraphQLRequest(NEWS, variable_values={"shown": seen[-1:]})):
                seen.append(result["news"])
                if result["news"] == until:
                    then()
                    if not toy.board.restarts.is_set():
                        return None
    except (TransportClosed, TransportConnectionFailed) as problem:
        return problem
    return None
