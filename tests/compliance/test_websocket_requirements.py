"""graphql-transport-ws, message by message on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from gateway.transport.documents.manifest import document_id
from tests.compliance.requirements import covers
from tests.support.toy_gateway import ORIGIN, Toy, eventually, serve
from tests.support.transport_clients import PROTOCOL, close_code, hear, ready, start, tell

FOREVER = "subscription { count(to: 1, forever: true) }"


async def closing(ws: ClientConnection) -> tuple[int | None, str]:
    """Code and reason of the close."""
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await ws.recv()
    return ws.close_code, ws.close_reason or ""


async def closed_after(toy: Toy, *messages: Any) -> tuple[int | None, str]:
    """Code and reason with which a new socket is closed after these messages; bytes and str are sent as they are."""
    async with connect(toy.ws_url, subprotocols=PROTOCOL) as ws:
        for message in messages:
            await ws.send(message if isinstance(message, bytes | str) else orjson.dumps(message).decode())
        return await closing(ws)


async def run(ws: ClientConnection, operation_id: str, query: str, **payload: Any) -> list[dict[str, Any]]:
    """All messages of an operation, to its end."""
    await start(ws, operation_id, query, **payload)
    found = [await hear(ws)]
    while found[-1]["type"] == "next":
        found.append(await hear(ws))
    assert {message["id"] for message in found} == {operation_id}
    return found


INIT = {"type": "connection_init"}


def subscribe(operation_id: str = "a", query: str = FOREVER, **payload: Any) -> dict[str, Any]:
    return {"type": "subscribe", "id": operation_id, "payload": {"query": query, **payload}}


@covers("WS-001", "WS-003")
async def test_handshake() -> None:
    """The sub-protocol is chosen among several, and the connection acknowledged."""
    async with serve() as toy, connect(toy.ws_url, subprotocols=[Subprotocol("graphql-ws"), *PROTOCOL]) as ws:
        assert ws.subprotocol == "graphql-transport-ws"
        await tell(ws, **INIT)
        assert await hear(ws) == {"type": "connection_ack"}


@covers("WS-002")
async def test_other_subprotocols() -> None:
    """Neither none nor the legacy one is spoken."""
    async with serve() as toy:
        for offered in (None, [Subprotocol("graphql-ws")], [Subprotocol("soap")]):
            async with connect(toy.ws_url, subprotocols=offered) as ws:
                assert await close_code(ws) == 4406


@covers("WS-004")
@pytest.mark.parametrize("payload", [{}, {"payload": None}, {"payload": {}}, {"payload": {"authorization": "Bearer ann", "n": [1]}}])
async def test_payload_of_init(payload: dict[str, Any]) -> None:
    """Whatever the payload is, the connection is acknowledged."""
    async with serve() as toy, connect(toy.ws_url, subprotocols=PROTOCOL) as ws:
        await tell(ws, **INIT, **payload)
        assert await hear(ws) == {"type": "connection_ack"}


@covers("WS-005")
async def test_no_init_in_time() -> None:
    """Pings do not prolong the time; after the acknowledgement it means nothing."""
    async with serve(init_timeout_s=0.15) as toy:
        assert await closed_after(toy, {"type": "ping"}) == (4408, "Connection initialisation timeout")
        async with ready(toy) as ws:
            await asyncio.sleep(0.3)  # the time itself is the subject: nothing announces that nothing happens
            assert (await run(ws, "q", "{ hello }"))[-1]["type"] == "complete"


@covers("WS-006")
async def test_second_init() -> None:
    """Two at once, and one after the acknowledgement."""
    async with serve() as toy:
        assert await closed_after(toy, INIT, INIT) == (4429, "Too many initialisation requests")
        async with ready(toy) as ws:
            await tell(ws, **INIT)
            assert await close_code(ws) == 4429


@covers("WS-007")
async def test_ping_from_the_client() -> None:
    """With and without payload, before and after connection_init."""
    async with serve() as toy, connect(toy.ws_url, subprotocols=PROTOCOL) as ws:
        await tell(ws, type="ping", payload={"n": 1})
        assert await hear(ws) == {"type": "pong", "payload": {"n": 1}}
        await tell(ws, **INIT)
        assert await hear(ws) == {"type": "connection_ack"}
        for _ in range(2):
            await tell(ws, type="ping")
            assert await hear(ws) == {"type": "pong"}


@covers("WS-008")
async def test_ping_from_the_server() -> None:
    """A client that answers stays; pongs nobody asked for do no harm."""
    async with serve(ping_interval_s=0.1) as toy, ready(toy) as ws:
        for _ in range(5):
            assert await hear(ws) == {"type": "ping"}
            await tell(ws, type="pong")
            await tell(ws, type="pong", payload={"unasked": True})
        assert await close_code(ws) == 4499


@covers("WS-009")
async def test_subscribe_before_the_acknowledgement() -> None:
    """At once, and without any connection_init."""
    async with serve() as toy:
        assert await closed_after(toy, subscribe()) == (4401, "Unauthorized")


@covers("WS-010", "WS-011", "WS-013")
@pytest.mark.parametrize("extra", [{}, {"operationName": None, "variables": None, "extensions": None}, {"variables": {}, "extensions": {}}])
async def test_single_results(extra: dict[str, Any]) -> None:
    """One next, then complete."""
    async with serve() as toy, ready(toy) as ws:
        for query, data in (("query Q { hello }", {"hello": "hello world"}), ('mutation { write(text: "t") }', {"write": "t"})):
            assert await run(ws, "1", query, **extra) == [
                {"id": "1", "type": "next", "payload": {"data": data}},
                {"id": "1", "type": "complete"},
            ]


@covers("WS-012", "WS-015")
async def test_subscription_and_its_id() -> None:
    """In order, to the end, and again by the same id."""
    async with serve() as toy, ready(toy) as ws:
        for _ in range(2):
            found = await run(ws, "s", "subscription { count(to: 50) }")
            assert [message["payload"]["data"]["count"] for message in found[:-1]] == list(range(50))
            assert found[-1] == {"id": "s", "type": "complete"}


@covers("WS-014")
async def test_id_in_use() -> None:
    """The socket is closed, and with it the first operation."""
    async with serve() as toy:
        assert await closed_after(toy, INIT, subscribe("same"), subscribe("same")) in [
            (4401, "Unauthorized"),  # both came before the acknowledgement
            (4409, "Subscriber for same already exists"),
        ]
        async with ready(toy) as ws:
            await tell(ws, **subscribe("same"))
            await tell(ws, **subscribe("same", "{ hello }"))
            assert await closing(ws) == (4409, "Subscriber for same already exists")
        await eventually(lambda: toy.board.started == toy.board.closed and toy.endpoint.open_connections == 0)


@covers("WS-016", "WS-021", "WS-022")
async def test_document_errors() -> None:
    """A list of errors, then nothing; the id is free."""
    async with serve() as toy, ready(toy) as ws:
        for query, code in (("{", "GRAPHQL_PARSE_FAILED"), ("{ nope }", "GRAPHQL_VALIDATION_FAILED"), ("", "BAD_REQUEST")):
            (error,) = await run(ws, "e", query)
            assert error["type"] == "error"
            assert [entry["extensions"]["code"] for entry in error["payload"]] == [code]
        assert [message["type"] for message in await run(ws, "e", "{ hello }")] == ["next", "complete"]


@covers("WS-017", "WS-018")
async def test_stop_and_start_again_by_the_same_id() -> None:
    """The first operation's source is closed; only the second one's results come."""
    async with serve() as toy, ready(toy) as ws:
        await start(ws, "s", "subscription { news }")
        await eventually(lambda: len(toy.board.infos) == 1)
        await tell(ws, type="complete", id="s")
        await start(ws, "s", "subscription { count(to: 2) }")
        assert [(await hear(ws)).get("payload") for _ in range(3)] == [{"data": {"count": 0}}, {"data": {"count": 1}}, None]
        await start(ws, "f", FOREVER)
        await hear(ws)
        await tell(ws, type="complete", id="f")
        await eventually(lambda: toy.board.closed == 2)
        await tell(ws, type="ping")
        assert await hear(ws) == {"type": "pong"}


@covers("WS-019")
async def test_complete_for_nothing() -> None:
    """The socket lives on."""
    async with serve() as toy, ready(toy) as ws:
        await run(ws, "q", "{ hello }")
        for operation_id in ("q", "never"):
            await tell(ws, type="complete", id=operation_id)
        await tell(ws, type="ping")
        assert await hear(ws) == {"type": "pong"}


@covers("WS-020")
async def test_complete_before_any_result() -> None:
    """Both messages in one go: whatever was started, nothing is heard of it."""
    async with serve() as toy, ready(toy) as ws:
        for n in range(20):
            await tell(ws, **subscribe(str(n), "subscription { news(shown: [0]) }"))
            await tell(ws, type="complete", id=str(n))
        async with toy.board.heard:
            toy.board.news = 1
            toy.board.heard.notify_all()
        await tell(ws, type="ping")
        assert await hear(ws) == {"type": "pong"}


@covers("WS-023")
async def test_errors_of_fields() -> None:
    """In next, with the other fields' data."""
    async with serve() as toy, ready(toy) as ws:
        first, last = await run(ws, "q", "{ refused hello }")
        assert first["payload"]["data"] == {"refused": None, "hello": "hello world"}
        assert first["payload"]["errors"][0]["extensions"]["code"] == "FORBIDDEN"
        assert last["type"] == "complete"


MALFORMED: list[Any] = [
    "nonsense",
    "",
    "null",
    "[]",
    b"\x00",
    {},
    {"type": None},
    {"type": "start"},
    {"type": "next", "id": "a", "payload": {}},
    {"type": "connection_ack"},
    {"type": "connection_init", "payload": "text"},
    {"type": "connection_init", "payload": []},
    {"type": "ping", "payload": 1},
    {"type": "pong", "payload": "text"},
    {"type": "complete"},
    {"type": "complete", "id": ""},
    {"type": "subscribe", "payload": {"query": "{ hello }"}},
    {"type": "subscribe", "id": 1, "payload": {"query": "{ hello }"}},
    {"type": "subscribe", "id": "", "payload": {"query": "{ hello }"}},
    {"type": "subscribe", "id": "a"},
    {"type": "subscribe", "id": "a", "payload": "{ hello }"},
    {"type": "subscribe", "id": "a", "payload": {"query": 1}},
    {"type": "subscribe", "id": "a", "payload": {"query": "{ hello }", "variables": "v"}},
    {"type": "subscribe", "id": "a", "payload": {"query": "{ hello }", "operationName": 1}},
    {"type": "subscribe", "id": "a", "payload": {"query": "{ hello }", "extensions": []}},
    {"type": "subscribe", "id": "a", "payload": {"documentId": "x" * 500}},
]


@covers("WS-024", "WS-025")
async def test_malformed_messages() -> None:
    """Each closes the socket at once, with a reason that fits into the frame."""
    async with serve() as toy:
        for message in MALFORMED:
            code, reason = await closed_after(toy, message)
            assert (code, bool(reason)) == (4400, True), message
            assert len(reason.encode()) <= 123


@covers("WS-026")
async def test_operations_side_by_side() -> None:
    """A subscription that waits holds up nobody."""
    async with serve() as toy, ready(toy) as ws:
        for n in range(5):
            await start(ws, f"s{n}", FOREVER)
        assert {(await hear(ws))["id"] for _ in range(5)} == {f"s{n}" for n in range(5)}
        assert [message["type"] for message in await run(ws, "q", "{ hello }")] == ["next", "complete"]


@covers("WS-027")
async def test_normal_closure() -> None:
    """The sources of all operations are closed."""
    async with serve() as toy:
        async with ready(toy) as ws:
            for n in range(3):
                await start(ws, str(n), FOREVER)
                await hear(ws)
            await ws.close(1000)
        await eventually(lambda: toy.board.closed == 3 and toy.endpoint.open_connections == 0)


@covers("WS-028")
async def test_restart() -> None:
    """Also of a socket that has not said anything yet."""
    async with serve() as toy, ready(toy) as ws, connect(toy.ws_url, subprotocols=PROTOCOL) as silent:
        await start(ws, "s", FOREVER)
        await hear(ws)
        await eventually(lambda: toy.endpoint.open_connections == 2)
        await toy.endpoint.shutdown()
        assert [await close_code(ws), await close_code(silent)] == [1012, 1012]


@covers("WS-029")
async def test_credentials() -> None:
    """Forged, malformed, expired, and expiring while a subscription is open."""
    async with serve() as toy:
        for authorization in ("Bearer forged", "nonsense", "Bearer short:-1"):
            assert (await closed_after(toy, {**INIT, "payload": {"authorization": authorization}}))[0] == 4403
        async with ready(toy, {"Authorization": "Bearer short:0.3"}) as ws:
            await start(ws, "s", FOREVER)
            assert (await hear(ws))["type"] == "next"
            assert await close_code(ws) == 4403


@covers("WS-030")
async def test_persisted_documents() -> None:
    """From the manifest, unknown, registered and then by the hash alone; a mismatch is an error of that operation."""
    trusted, other = "{ hello }", "subscription { count(to: 1) }"
    apollo = {"persistedQuery": {"version": 1, "sha256Hash": document_id(other).removeprefix("sha256:")}}
    async with serve(manifest={document_id(trusted): trusted}) as toy, ready(toy) as ws:

        async def by(**payload: Any) -> list[str]:
            await tell(ws, type="subscribe", id="p", payload=payload)
            found = [await hear(ws)]
            while found[-1]["type"] == "next":
                found.append(await hear(ws))
            return [one["payload"][0]["extensions"]["code"] if one["type"] == "error" else one["type"] for one in found]

        assert await by(documentId=document_id(trusted)) == ["next", "complete"]
        assert await by(query="", extensions=apollo) == ["PERSISTED_QUERY_NOT_FOUND"]
        assert await by(query=other, extensions=apollo) == ["next", "complete"]
        assert await by(documentId=document_id(other)) == ["next", "complete"]
        assert await by(query=trusted, documentId=document_id(other)) == ["BAD_REQUEST"]


@covers("WS-031")
async def test_failure_after_a_result() -> None:
    """1013 where coming again helps, 4403 where another token does."""
    async with serve() as toy:
        for why, code in (("unavailable", 1013), ("defect", 1013), ("unauthenticated", 4403)):
            async with ready(toy) as ws:
                await start(ws, "f", f'subscription {{ fail(why: "{why}", after: 1) }}')
                assert (await hear(ws))["type"] == "next"
                assert await close_code(ws) == code


@covers("WS-032")
async def test_floods() -> None:
    """By size and by number."""
    async with serve(message_burst=20, messages_per_second=1.0) as toy:
        assert (await closed_after(toy, "x" * 70_000))[0] == 1009
        assert (await closed_after(toy, *([{"type": "pong"}] * 30)))[0] == 1008


@covers("WS-033")
async def test_origins() -> None:
    """403 before the handshake; a page of an allowed origin gets its socket."""
    async with serve() as toy:
        for origin in ("https://evil.com", "null", f"{ORIGIN}.evil.com", f"{ORIGIN}:8443", ORIGIN.replace("https", "http")):
            with pytest.raises(InvalidStatus) as refused:
                async with connect(toy.ws_url, subprotocols=PROTOCOL, origin=Origin(origin)):
                    pass
            assert refused.value.response.status_code == 403
        async with connect(toy.ws_url, subprotocols=PROTOCOL, origin=Origin(ORIGIN)) as ws:
            await tell(ws, **INIT)
            assert (await hear(ws))["type"] == "connection_ack"
