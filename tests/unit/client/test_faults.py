"""The client against gateways that are slow, away or answer nonsense, on real sockets: the page is never late and nothing is raised."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from personalization_gateway import Deadline, GatewayClient, NoAnswer, TryLater, event
from tests.support.client_gateways import DECISION, NOWHERE, BadServer, answer_to, bad_server, http

pytestmark = pytest.mark.usefixtures("http_library")

PLACEMENT = "homepage-hero"
LATE_S = 5.0
"""Far more than any deadline here, far less than what the servers would take."""


def client_of(endpoint: str, deadline_s: float = 0.1) -> GatewayClient:
    return GatewayClient(endpoint, publishable_key="pk_test", secret_key="sk_test", deadline_s=deadline_s, timeout_s=deadline_s)


async def silent(server: BadServer, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Take the request and say nothing."""
    await server.request(reader)
    await asyncio.sleep(60)


async def dripping(server: BadServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a byte at a time, each soon enough to keep a timeout between bytes from ever running out."""
    await server.request(reader)
    for byte in http(json.dumps({"data": answer_to("Banners")}).encode()):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.03)


async def endless(server: BadServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer without an end."""
    await server.request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")
    while True:
        writer.write(b" " * 10_000)
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("behave", [silent, dripping, endless])
async def test_a_slow_gateway_delays_a_page_by_its_deadline(behave: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Whether nothing comes or it never ends, the deadline holds for the whole answer."""
    async with bad_server(behave) as server, client_of(server.endpoint) as client:
        began = time.monotonic()
        assert await client.banner(PLACEMENT) is None
        took_s = time.monotonic() - began
    assert 0.09 < took_s < LATE_S
    assert "The gateway gave no answer to banner: too late" in caplog.text


async def test_all_calls_of_a_page_share_one_deadline() -> None:
    """A visit that cannot be started leaves no second wait for the banner."""
    async with bad_server(silent) as server, client_of(server.endpoint, deadline_s=60) as client:
        began = time.monotonic()
        found = await client.personalize([PLACEMENT], token=None, deadline=Deadline.after(0.3))
        assert (found.token, dict(found.decisions)) == (None, {})
        assert time.monotonic() - began < LATE_S
        assert "Banners" not in [request["operationName"] for request in server.requests]


async def test_a_gateway_that_is_away_costs_no_wait(caplog: pytest.LogCaptureFixture) -> None:
    """A refused connection ends the call at once, with its cause in the log."""
    async with client_of(f"http://{NOWHERE}/graphql", deadline_s=60) as client:
        began = time.monotonic()
        assert await client.banner(PLACEMENT) is None
        assert time.monotonic() - began < LATE_S
        with pytest.raises(NoAnswer) as away:
            await client.track([event("PAGE_VIEWED", userId="alice")])
    assert away.value.is_temporary
    assert "The gateway gave no answer to banner: ConnectError" in caplog.text


def nonsense() -> list[bytes]:
    """Answers that are none, of a proxy or of a gateway from another world."""
    ok: dict[str, Any] = {"data": {"banners": [DECISION]}}
    wrong = [
        {**DECISION, "id": 5},
        {**DECISION, "decidedAt": "yesterday"},
        {**DECISION, "fresh": "yes"},
        {**DECISION, "banner": {"headline": None}},
        {**DECISION, "banner": "x"},
        None,
        "x",
    ]
    bodies = [
        *(b"<html>502 Bad Gateway", b"", b"5", b"[1]", b"{}", b"null", b'{"data": null}', b'{"data": {}}', b'{"data": {"banners": 3}}'),
        *(b'{"errors": [{}]}', b'{"errors": 5}', b'{"errors": [5]}', b'{"errors": [{"extensions": 5}]}', b"\xff\xfe", b"[" * 100_000),
        *(json.dumps({"data": {"banners": [decision]}}).encode() for decision in wrong),
    ]
    answers = [http(body) for body in bodies]
    answers += [http(b"", "301 Moved", "location: http://elsewhere.example/graphql"), http(b"busy", "503 Service Unavailable")]
    return [*answers, b"SSH-2.0-OpenSSH\r\n", http(json.dumps(ok).encode())[:-10]]


@pytest.mark.parametrize("answer", nonsense(), ids=lambda answer: repr(answer[-30:]))
async def test_nonsense_is_no_answer(answer: bytes) -> None:
    """Whatever comes, the page shows its own content, and nothing is raised."""

    async def behave(server: BadServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(answer)
        await writer.drain()

    async with bad_server(behave) as server, client_of(server.endpoint, deadline_s=10) as client:
        assert await client.banner(PLACEMENT) is None


async def test_a_connection_that_was_closed_while_idle_costs_nothing() -> None:
    """A gateway that restarted has closed the pooled connections: the call is sent again on a new one."""

    async def once(server: BadServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(http(json.dumps({"data": answer_to("Banners")}).encode()))
        await writer.drain()
        # The next request on this connection is read and never answered: as if the process ended in between.
        await server.request(reader)

    async with bad_server(once) as server, client_of(server.endpoint, deadline_s=10) as client:
        for _ in range(3):
            assert await client.banner(PLACEMENT) is not None
    assert len(server.requests) == 5


async def test_overload_says_when_to_come_back() -> None:
    """THROTTLED is temporary and names the wait."""
    body = {"data": None, "errors": [{"message": "too much", "extensions": {"code": "THROTTLED", "retryAfterMs": 250}}]}

    async def behave(server: BadServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.request(reader)
        writer.write(http(json.dumps(body).encode(), "429 Too Many Requests"))
        await writer.drain()

    async with bad_server(behave) as server, client_of(server.endpoint, deadline_s=10) as client:
        with pytest.raises(TryLater) as throttled:
            await client.track([event("PAGE_VIEWED", userId="alice")])
    assert throttled.value.retry_after_ms == 250


async def test_a_page_that_is_given_up_leaves_no_request_behind() -> None:
    """Cancelling the page's handler cancels its call and gives the connection back."""
    async with bad_server(silent) as server, client_of(server.endpoint, deadline_s=60) as client:
        page = asyncio.create_task(client.banner(PLACEMENT))
        async with asyncio.timeout(LATE_S):
            while not server.requests:  # noqa: ASYNC110 - nothing announces it
                await asyncio.sleep(0.005)
        page.cancel()
        with pytest.raises(asyncio.CancelledError):
            await page


@pytest.mark.parametrize("token", ["é", "a\r\nx-evil: 1", "\ud800", "\0", " "])
async def test_a_token_that_no_header_can_hold_is_no_answer(token: str) -> None:
    """Whatever a cookie held, the page has its own content, and nothing of it becomes a header."""
    seen: list[bytes] = []

    async def behave(_server: BadServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(http(b'{"errors": [{"extensions": {"code": "UNAUTHENTICATED"}}]}', "401 Unauthorized", "connection: close"))
        await writer.drain()

    async with bad_server(behave) as server, client_of(server.endpoint, deadline_s=10) as client:
        assert await client.banner(PLACEMENT, visitor_token=token) is None
    assert b"x-evil" not in b"".join(seen)
