"""WebSocket and SSE over real sockets: uvicorn on a loopback port, httpx and websockets as clients."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from tests.support.toy_gateway import ORIGIN, eventually, serve
from tests.support.transport_clients import PROTOCOL, close_code, data, hear, raw_stream_request, ready, start, stream, tell

# WebSocket


async def test_ws_query_mutation_and_subscription() -> None:
    """WS-OPERATIONS: queries and mutations give next and complete, a subscription gives its results in order."""
    async with serve() as toy, ready(toy, {"authorization": "Bearer ann"}) as ws:
        assert ws.subprotocol == "graphql-transport-ws"
        await start(ws, "q", "query ($n: String!) { hello(name: $n) caller }", variables={"n": "x"})
        assert await hear(ws) == {"id": "q", "type": "next", "payload": {"data": {"hello": "hello x", "caller": "ann"}}}
        assert await hear(ws) == {"id": "q", "type": "complete"}
        await start(ws, "m", 'mutation { write(text: "t") }')
        assert [(await hear(ws))["type"], (await hear(ws))["type"]] == ["next", "complete"]
        await start(ws, "s", "subscription { count(to: 3) }")
        assert [(await hear(ws)).get("payload") for _ in range(4)] == [{"data": {"count": n}} for n in range(3)] + [None]
        assert toy.board.written == ["t"]
        assert {info.transport for info in toy.board.infos} == {"websocket"}


async def test_ws_request_errors_are_error_messages() -> None:
    """WS-ERROR: a document that is refused is answered by error, and the socket lives on."""
    async with serve() as toy, ready(toy) as ws:
        for query, code in (
            ("{", "GRAPHQL_PARSE_FAILED"),
            ("{ nope }", "GRAPHQL_VALIDATION_FAILED"),
            ("query ($of: Int!) { square(of: $of) }", "BAD_USER_INPUT"),
        ):
            await start(ws, "e", query)
            message = await hear(ws)
            assert message["type"] == "error"
            assert message["payload"][0]["extensions"]["code"] == code
        await tell(ws, type="ping", payload={"n": 1})
        assert await hear(ws) == {"type": "pong", "payload": {"n": 1}}


@pytest.mark.parametrize("why", ["forbidden", "unavailable", "unauthenticated", "defect"])
async def test_ws_failure_before_the_first_result_is_an_error_message(why: str, caplog: pytest.LogCaptureFixture) -> None:
    """WS-ERROR: a subscription that fails before its first result is answered by error; defects are masked."""
    async with serve() as toy, ready(toy) as ws:
        await start(ws, "f", f'subscription {{ fail(why: "{why}") }}')
        message = await hear(ws)
        assert message["type"] == "error"
        assert "secret" not in str(message)
        assert message["payload"][0]["extensions"]["code"] == {"defect": "INTERNAL_SERVER_ERROR"}.get(why, why.upper())
    assert ("secret detail" in caplog.text) is (why == "defect")


@pytest.mark.parametrize(("why", "code"), [("unavailable", 1013), ("defect", 1013), ("unauthenticated", 4403)])
async def test_ws_failure_after_a_result_closes_so_that_clients_come_again(why: str, code: int) -> None:
    """WS-1013 WS-4403: after a result the client must not believe that the subscription is over: the socket is closed."""
    async with serve() as toy, ready(toy) as ws:
        await start(ws, "f", f'subscription {{ fail(why: "{why}", after: 1) }}')
        assert (await hear(ws))["type"] == "next"
        assert await close_code(ws) == code


async def test_ws_4406_subprotocol() -> None:
    """WS-4406: a client without graphql-transport-ws is closed; the legacy protocol is not spoken."""
    async with serve() as toy:
        for subprotocols in (None, [Subprotocol("graphql-ws")]):
            async with connect(toy.ws_url, subprotocols=subprotocols) as ws:
                assert await close_code(ws) == 4406


async def test_ws_4408_silent_socket() -> None:
    """WS-4408: a socket that sends no connection_init in time is closed; pings do not prolong it."""
    async with serve(init_timeout_s=0.1) as toy, connect(toy.ws_url, subprotocols=PROTOCOL) as ws:
        await tell(ws, type="ping")
        assert await close_code(ws) == 4408


async def test_ws_close_codes_on_the_wire() -> None:
    """WS-4400 WS-4401 WS-4409 WS-4429 WS-1009: mistakes of a client close the socket with their code."""
    query = {"query": "subscription { count(to: 0, forever: true) }"}
    init, subscribe = {"type": "connection_init"}, {"type": "subscribe", "id": "a", "payload": query}
    cases: list[tuple[list[Any], int]] = [
        (["nonsense"], 4400),
        ([b"\x00"], 4400),
        ([subscribe], 4401),
        ([init, subscribe, subscribe], 4409),
        ([init, init], 4429),
        (["x" * 70_000], 1009),
    ]
    async with serve() as toy:
        for messages, code in cases:
            async with connect(toy.ws_url, subprotocols=PROTOCOL) as ws:
                for message in messages:
                    await ws.send(orjson.dumps(message).decode() if isinstance(message, dict) else message)
                assert await close_code(ws) == code
        await eventually(lambda: toy.endpoint.open_connections == 0)


@pytest.mark.parametrize("authorization", ["Bearer forged", "nonsense", "Bearer short:-1"])
async def test_ws_4403_bad_credential(authorization: str) -> None:
    """WS-4403: a forged, malformed or expired credential in connection_init closes the socket."""
    async with serve() as toy, connect(toy.ws_url, subprotocols=PROTOCOL) as ws:
        await tell(ws, type="connection_init", payload={"authorization": authorization})
        assert await close_code(ws) == 4403


async def test_ws_4403_token_that_expires_in_mid_stream() -> None:
    """WS-4403: when the token ends, the socket is closed and its subscriptions with it."""
    async with serve() as toy, ready(toy, {"authorization": "Bearer short:0.3"}) as ws:
        await start(ws, "s", "subscription { count(to: 1, forever: true) }")
        assert (await hear(ws))["type"] == "next"
        assert await close_code(ws) == 4403
        await eventually(lambda: toy.board.closed == 1)


@pytest.mark.parametrize(
    "origin", ["https://evil.com", "null", "https://shop.example.evil.com", "https://shop.example:8443", "http://shop.example"]
)
async def test_ws_foreign_origins_are_refused_before_the_handshake(origin: str) -> None:
    """WS-ORIGIN: a page of another origin gets HTTP 403 and no socket."""
    async with serve() as toy:
        with pytest.raises(InvalidStatus) as refused:
            async with connect(toy.ws_url, subprotocols=PROTOCOL, origin=Origin(origin)):
                pass
        assert refused.value.response.status_code == 403


async def test_ws_allowed_origin() -> None:
    """WS-ORIGIN: a page of an allowed origin gets its socket."""
    async with serve() as toy, connect(toy.ws_url, subprotocols=PROTOCOL, origin=Origin(ORIGIN)) as ws:
        await tell(ws, type="connection_init")
        assert (await hear(ws))["type"] == "connection_ack"


async def test_ws_stop_closes_the_generator_and_frees_the_id() -> None:
    """WS-STOP: the client's complete closes the resolver's generator at once; the id can be used again."""
    async with serve() as toy, ready(toy) as ws:
        for round_number in (1, 2):
            await start(ws, "s", "subscription { count(to: 1, forever: true) }")
            assert (await hear(ws))["payload"] == {"data": {"count": 0}}
            await tell(ws, type="complete", id="s")
            await eventually(lambda n=round_number: toy.board.closed == n)  # type: ignore[misc]


@pytest.mark.parametrize("abrupt", [False, True])
async def test_ws_disconnect_closes_generators_and_frees_the_slot(abrupt: bool) -> None:
    """WS-GONE: when the client goes, politely or not, its generators are closed and its slot is free."""
    async with serve() as toy:
        async with ready(toy) as ws:
            for n in range(3):
                await start(ws, str(n), "subscription { count(to: 1, forever: true) }")
                await hear(ws)
            if abrupt:
                ws.transport.abort()
        await eventually(lambda: toy.board.closed == 3 and toy.endpoint.open_connections == 0)


async def test_ws_server_pings_and_closes_a_silent_socket() -> None:
    """WS-PING: the server pings; a client that answers stays, one that does not is closed."""
    async with serve(ping_interval_s=0.1) as toy, ready(toy) as ws:
        for _ in range(4):
            assert await hear(ws) == {"type": "ping"}
            await tell(ws, type="pong")
        assert await close_code(ws) == 4499


async def test_ws_flooding_socket_is_closed() -> None:
    """WS-1008: a client that sends far more messages than allowed is closed."""
    async with serve(message_burst=20, messages_per_second=1.0) as toy, ready(toy) as ws:
        for _ in range(30):
            await tell(ws, type="pong")
        assert await close_code(ws) == 1008


async def test_connections_over_the_limit_are_refused() -> None:
    """LIMIT: one address gets so many sockets and streams and no more; a closed one frees its place."""
    async with serve(max_connections_per_address=2) as toy:
        async with ready(toy), stream(toy, "subscription { count(to: 1, forever: true) }") as events:
            assert await events.block() == b":"
            with pytest.raises(InvalidStatus) as refused:
                async with connect(toy.ws_url, subprotocols=PROTOCOL):
                    pass
            assert refused.value.response.status_code == 429
            async with stream(toy, "{ hello }") as second:
                assert second.response.status_code == 429
        await eventually(lambda: toy.endpoint.open_connections == 0)
        async with ready(toy):
            pass


async def test_mutations_go_on_when_their_carrier_is_cut() -> None:
    """GONE: a mutation that has begun is finished although its socket or stream has gone."""
    mutation = 'mutation { write(text: "last", wait: true) }'
    async with serve() as toy:
        async with ready(toy) as ws:
            await start(ws, "m", mutation)
            await eventually(lambda: toy.board.started == 1)
        async with stream(toy, mutation) as events:
            await events.block()
            await eventually(lambda: toy.board.started == 2)
        await eventually(lambda: toy.endpoint.open_connections == 0)
        toy.board.gate.set()
        await eventually(lambda: toy.board.written == ["last", "last"])


# Restart and slow readers, both transports


async def test_shutdown_sends_clients_away_to_come_again() -> None:
    """RESTART: sockets close with 1012, streams end without complete, generators are closed, newcomers are refused."""
    async with serve() as toy, ready(toy) as ws, stream(toy, "subscription { count(to: 1, forever: true) }") as events:
        await start(ws, "s", "subscription { count(to: 1, forever: true) }")
        await hear(ws)
        assert [await events.block(), data(await events.block() or b"")] == [b":", {"data": {"count": 0}}]
        await toy.endpoint.shutdown()
        assert await close_code(ws) == 1012
        assert await events.all() == []
        assert toy.board.closed == 2
        assert toy.endpoint.open_connections == 0
        with pytest.raises(InvalidStatus) as refused:
            async with connect(toy.ws_url, subprotocols=PROTOCOL):
                pass
        assert refused.value.response.status_code == 503


async def test_slow_readers_are_closed_and_others_are_served() -> None:
    """SLOW: a WebSocket and a stream that nobody reads are ended after the send deadline; another subscriber meets no delay."""
    flood = "subscription { flood(size: 60000) }"
    async with (
        serve(send_deadline_s=0.3) as toy,
        ready(toy) as quick,
        connect(toy.ws_url, subprotocols=PROTOCOL, max_queue=1, compression=None) as slow,
    ):
        await tell(slow, type="connection_init")
        await hear(slow)
        await start(slow, "f", flood)
        with socket.create_connection(("127.0.0.1", toy.port)) as reader:
            reader.sendall(raw_stream_request(flood))
            await eventually(lambda: toy.board.started == 2)
            for _ in range(20):
                await start(quick, "q", "{ hello }")
                async with asyncio.timeout(0.3):
                    assert [(await hear(quick))["type"], (await hear(quick))["type"]] == ["next", "complete"]
            await eventually(lambda: toy.board.closed == 2 and toy.endpoint.open_connections == 1)
        slow.transport.abort()


async def test_nothing_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    """CLEAN: after sockets and streams of every ending no task is left and nothing was logged."""
    with caplog.at_level(logging.WARNING):
        async with serve() as toy:
            async with ready(toy) as ws, stream(toy, "subscription { count(to: 1, forever: true) }") as events:
                await start(ws, "s", "subscription { count(to: 1, forever: true) }")
                await start(ws, "c", "subscription { count(to: 2) }")
                await hear(ws)
                await events.block()
            await eventually(lambda: toy.endpoint.open_connections == 0)
        gc.collect()
    names = {task.get_coro().__qualname__ for task in asyncio.all_tasks() if task is not asyncio.current_task()}  # type: ignore[union-attr]
    assert not {name for name in names if name.startswith(("WebSocketSession", "EventStream", "ResponseStream"))}
    assert caplog.text == ""
