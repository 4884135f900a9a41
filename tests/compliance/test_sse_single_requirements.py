"""graphql-sse, single connection mode: reservations, their stream, and operations on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest

from tests.compliance.requirements import covers
from tests.support.toy_gateway import ORIGIN, Toy, eventually, serve
from tests.support.transport_clients import DEADLINE_S, Events

FOREVER = "subscription { count(to: 1, forever: true) }"
TOKEN = "x-graphql-event-stream-token"


def read(block: bytes | None) -> tuple[str, str, Any]:
    """Event, operation id and payload of a block."""
    assert block is not None
    event, line = block.decode().split("\n")
    found = orjson.loads(line.removeprefix("data: "))
    return event.removeprefix("event: "), found["id"], found.get("payload")


class Page:
    """A caller of the single connection mode."""

    def __init__(self, toy: Toy, http: httpx.AsyncClient) -> None:
        self.toy = toy
        self.http = http
        self.token = ""

    async def reserve(self) -> None:
        response = await self.http.put(self.toy.url)
        assert response.status_code == 201
        self.token = response.text

    async def operate(self, operation_id: str | None, query: str, **more: Any) -> httpx.Response:
        extensions = {} if operation_id is None else {"extensions": {"operationId": operation_id}}
        return await self.http.post(self.toy.url, json={"query": query, **extensions, **more}, headers={TOKEN: self.token})

    async def stop(self, **parameters: str) -> httpx.Response:
        return await self.http.delete(self.toy.url, params=parameters, headers={TOKEN: self.token})

    @asynccontextmanager
    async def open(self, **headers: str) -> AsyncIterator[Events]:
        wanted = {"accept": "text/event-stream", TOKEN: self.token, **headers}
        async with self.http.stream("GET", self.toy.url, headers=wanted) as response:
            yield Events(response)


@asynccontextmanager
async def page(credential: str = "ann", **settings: Any) -> AsyncIterator[Page]:
    """A page with a reservation at a toy of its own."""
    settings.setdefault("same_caller", lambda one, other: one.name == other.name)
    headers = {"authorization": f"Bearer {credential}"}
    async with serve(**settings) as toy, httpx.AsyncClient(timeout=DEADLINE_S, headers=headers) as http:
        found = Page(toy, http)
        await found.reserve()
        yield found


@covers("SSE-101", "SSE-102")
async def test_reservation() -> None:
    """A text that cannot be guessed, another one each time."""
    async with page() as one:
        tokens = set()
        for accept in (None, "*/*", "text/plain", "application/json, text/*;q=0.5"):
            response = await one.http.put(one.toy.url, headers={TOKEN: "of-my-own", **({"accept": accept} if accept else {})})
            assert response.status_code == 201
            assert response.headers["content-type"] == "text/plain; charset=utf-8"
            assert response.headers["cache-control"] == "private, no-store"
            tokens.add(response.text)
        assert len(tokens) == 4
        assert min(map(len, tokens)) >= 32
        assert "of-my-own" not in tokens
        assert (await one.http.put(one.toy.url, headers={"accept": "application/json"})).status_code == 406


@covers("SSE-103", "SSE-104", "SSE-105")
async def test_one_stream_for_a_token() -> None:
    """By header or by URL; a second one is refused while it is open, and every one after it has ended."""
    async with page() as one:
        async with one.open() as events:
            assert events.response.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert await events.block() == b":"
            async with one.open() as second:
                assert second.response.status_code == 409
        await eventually(lambda: one.toy.endpoint.open_connections == 0)
        async with one.open() as late:
            assert late.response.status_code == 404
        await one.reserve()
        accept = {"accept": "text/event-stream"}
        async with one.http.stream("GET", one.toy.url, params={"token": one.token}, headers=accept) as response:
            assert await Events(response).block() == b":"


@covers("SSE-106", "SSE-109")
async def test_operations() -> None:
    """Accepted at once, answered on the stream beside their ids; an id is free when its operation has ended."""
    async with page() as one, one.open() as events:
        await events.block()
        for _ in range(2):
            response = await one.operate("q", "query ($n: String!) { hello(name: $n) caller }", variables={"n": "x"})
            assert (response.status_code, response.content) == (202, b"")
            assert read(await events.block()) == ("next", "q", {"data": {"hello": "hello x", "caller": "ann"}})
            assert read(await events.block()) == ("complete", "q", None)
        await one.operate("m", 'mutation { write(text: "t") }')
        assert read(await events.block()) == ("next", "m", {"data": {"write": "t"}})
        await events.block()
        await one.operate("s", "subscription { count(to: 2) }")
        assert [read(await events.block())[0] for _ in range(3)] == ["next", "next", "complete"]
        await one.operate("f", FOREVER)
        await events.block()
        assert (await one.operate("f", "{ hello }")).status_code == 409


@covers("SSE-107")
async def test_operation_before_the_stream() -> None:
    """Its results wait for the stream."""
    async with page() as one:
        assert (await one.operate("s", "subscription { count(to: 3) }")).status_code == 202
        async with one.open() as events:
            await events.block()
            assert [read(await events.block())[2] for _ in range(4)] == [{"data": {"count": n}} for n in range(3)] + [None]


@covers("SSE-108", "SSE-110")
async def test_mistaken_requests() -> None:
    """Each is answered itself, and leaves nothing on the stream."""
    async with page() as one, one.open() as events:
        await events.block()
        answers = [
            await one.operate(None, "{ hello }"),
            await one.operate("", "{ hello }"),
            await one.operate("x" * 129, "{ hello }"),
            await one.operate("a", "{"),
            await one.operate("a", "{ nope }"),
            await one.operate("a", "query ($of: Int!) { square(of: $of) }"),
            await one.operate("a", "{ hello }", variables=[]),
        ]
        assert [answer.status_code for answer in answers] == [400] * len(answers)
        assert all("errors" in answer.json() for answer in answers)
        await one.operate("a", "{ hello }")
        assert read(await events.block()) == ("next", "a", {"data": {"hello": "hello world"}})


@covers("SSE-111", "SSE-112")
async def test_stop() -> None:
    """The source is closed, the id is free, and what comes next is of the new operation."""
    async with page() as one, one.open() as events:
        await events.block()
        await one.operate("s", FOREVER)
        await events.block()
        assert (await one.stop(operationId="s")).status_code == 200
        await eventually(lambda: one.toy.board.closed == 1)
        await one.operate("s", "{ hello }")
        assert read(await events.block()) == ("next", "s", {"data": {"hello": "hello world"}})
        assert [(await one.stop()).status_code, (await one.stop(operationId="gone")).status_code] == [400, 200]


@covers("SSE-113", "SSE-121")
async def test_end_of_the_stream() -> None:
    """Sources are closed; a mutation that has begun is finished."""
    async with page() as one:
        async with one.open() as events:
            await events.block()
            for n in range(3):
                await one.operate(f"s{n}", FOREVER)
                await events.block()
            await one.operate("m", 'mutation { write(text: "last", wait: true) }')
            await eventually(lambda: one.toy.board.started == 4)
        board = one.toy.board
        await eventually(lambda: board.closed == 3 and one.toy.endpoint.open_connections == 0)
        board.gate.set()
        await eventually(lambda: board.written == ["last"])
        assert (await one.operate("late", "{ hello }")).status_code == 404


@covers("SSE-114")
async def test_reservation_that_is_not_used() -> None:
    """Gone with what ran for it."""
    async with page(reservation_s=0.2) as one:
        await one.operate("s", FOREVER)
        await eventually(lambda: one.toy.board.closed == 1)
        assert (await one.stop(operationId="s")).status_code == 404
        async with one.open() as events:
            assert events.response.status_code == 404


@covers("SSE-115")
async def test_number_of_reservations() -> None:
    """By address; one that ends frees its place."""
    async with page(max_connections_per_address=2) as one:
        await one.reserve()
        refused = await one.http.put(one.toy.url)
        assert (refused.status_code, refused.json()["errors"][0]["extensions"]["code"]) == (429, "THROTTLED")
        async with one.open() as events:
            await events.block()
        await eventually(lambda: one.toy.endpoint.open_connections == 0)
        await one.reserve()


@covers("SSE-116")
@pytest.mark.parametrize("other", ["Bearer bob", None])
async def test_token_of_another_caller(other: str | None) -> None:
    """It opens nothing, starts nothing and stops nothing, and does not even show that it is one."""
    async with page() as one, one.open() as events:
        await events.block()
        await one.operate("s", FOREVER)
        await events.block()
        del one.http.headers["authorization"]
        if other is not None:
            one.http.headers["authorization"] = other
        async with one.open() as stolen:
            assert stolen.response.status_code == 404
        assert (await one.operate("x", "{ hello }")).status_code == 404
        assert (await one.stop(operationId="s")).status_code == 404
        assert one.toy.board.closed == 0


@covers("SSE-117")
async def test_failing_subscriptions() -> None:
    """For good: errors and complete, the stream lives on. Else: errors, and the stream ends."""
    async with page() as one, one.open() as events:
        await events.block()
        await one.operate("f", 'subscription { fail(why: "forbidden", after: 1) }')
        found = [read(await events.block()) for _ in range(3)]
        assert [event for event, _, _ in found] == ["next", "next", "complete"]
        assert found[1][2]["errors"][0]["extensions"]["code"] == "FORBIDDEN"
        await one.operate("u", 'subscription { fail(why: "unavailable", after: 1) }')
        blocks = [read(block) for block in await events.all()]
        assert [event for event, _, _ in blocks] == ["next", "next"]
        assert blocks[1][2]["errors"][0]["extensions"]["code"] == "UNAVAILABLE"


@covers("SSE-118")
async def test_credential_that_expires() -> None:
    """Every operation is told why."""
    async with page("short:0.6") as one, one.open() as events:
        await events.block()
        for operation_id in ("a", "b"):
            await one.operate(operation_id, "subscription { news }")
        blocks = [read(block) for block in await events.all()]
        assert {(event, operation_id) for event, operation_id, _ in blocks} == {("next", "a"), ("next", "b")}
        assert {payload["errors"][0]["extensions"]["code"] for _, _, payload in blocks} == {"UNAUTHENTICATED"}


@covers("SSE-119")
async def test_restart() -> None:
    """Nothing is completed; what was reserved is forgotten."""
    async with page() as one, one.open() as events:
        await events.block()
        await one.operate("s", FOREVER)
        await events.block()
        await one.reserve()
        await one.operate("r", FOREVER)
        await eventually(lambda: one.toy.board.started == 2)
        await one.toy.endpoint.shutdown()
        assert await events.all() == []
        await eventually(lambda: one.toy.board.closed == 2)
        assert (await one.http.put(one.toy.url)).status_code == 503
        assert (await one.operate("s", "{ hello }")).status_code == 404


@covers("SSE-120")
async def test_requests_of_foreign_pages() -> None:
    """A GET without a header of ours, and a POST of a simple type, although the token is right."""
    async with serve() as toy, httpx.AsyncClient(timeout=DEADLINE_S) as http:
        token = (await http.put(toy.url)).text
        get = await http.get(toy.url, params={"token": token}, headers={"accept": "text/event-stream"})
        assert get.status_code == 403
        body = b'{"query":"{ hello }","extensions":{"operationId":"a"}}'
        post = await http.post(toy.url, params={"token": token}, content=body, headers={"content-type": "text/plain"})
        assert post.status_code == 415
        assert toy.board.infos == []


@covers("SSE-122")
async def test_number_of_operations() -> None:
    """One too many is refused by itself."""
    async with page(max_operations_per_connection=2) as one, one.open() as events:
        await events.block()
        answers = [(await one.operate(str(n), FOREVER)).status_code for n in range(3)]
        assert answers == [202, 202, 429]


@covers("SSE-123")
async def test_cors() -> None:
    """The preflight allows what the mode needs."""
    async with serve() as toy, httpx.AsyncClient() as http:
        asks = {"origin": ORIGIN, "access-control-request-method": "PUT", "access-control-request-headers": TOKEN}
        response = await http.options(toy.url, headers=asks)
        assert {"PUT", "DELETE"} <= set(response.headers["access-control-allow-methods"].split(", "))
        assert TOKEN in response.headers["access-control-allow-headers"].split(", ")
        assert "access-control-allow-origin" not in (await http.options(toy.url, headers={**asks, "origin": "https://evil.com"})).headers
