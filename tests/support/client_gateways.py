"""Gateways for tests of the client: the real application without Kafka and Redis, and servers that behave badly on real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr
from starlette.applications import Starlette

from gateway.app import Gateway
from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.settings import Settings

CAMPAIGNS = Path(__file__).parents[2] / "examples" / "storefront" / "campaigns.yaml"
PUBLISHABLE_KEY = "pk_test_0123456789abcdef"
SECRET_KEY = "sk_test_0123456789abcdef"
TOKEN_SECRET = "a secret of the tests, 32 characters or more"
ENDPOINT = "http://gateway.test/graphql"
NOWHERE = "127.0.0.1:1"
"""A port at which nothing listens."""


def lonely_app() -> Starlette:
    """The real gateway; Kafka and Redis are away."""
    settings = Settings(  # type: ignore[call-arg]  # the other fields have defaults
        kafka_bootstrap=NOWHERE,
        redis_url=f"redis://{NOWHERE}/0",
        ruleset_file=CAMPAIGNS,
        secret_keys=[SecretStr(SECRET_KEY)],
        publishable_keys=[SecretStr(PUBLISHABLE_KEY)],
        token_secret=SecretStr(TOKEN_SECRET),
        log_epoch=1,
    )
    return Gateway(settings, load_ruleset(CAMPAIGNS.read_text(), 1)).app


def lonely_gateway() -> httpx.ASGITransport:
    """The same, as the network of a client."""
    return httpx.ASGITransport(lonely_app())


Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class BadServer:
    """A server that treats every connection by one function."""

    port: int
    requests: list[dict[str, Any]] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}/graphql"

    async def request(self, reader: asyncio.StreamReader) -> dict[str, Any]:
        """Read one request to its end; raises IncompleteReadError when none comes."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length:")[1].split("\r\n")[0])
        body: dict[str, Any] = json.loads(await reader.readexactly(length))
        self.requests.append(body)
        return body


@asynccontextmanager
async def bad_server(
    behave: Callable[[BadServer, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[BadServer]:
    """Serve on a free loopback port. What a connection does ends with the block."""
    running: set[asyncio.Task[Any]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await behave(found, reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has left, or the test is over
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    found = BadServer(server.sockets[0].getsockname()[1])
    try:
        yield found
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """An HTTP/1.1 answer."""
    lines = [f"HTTP/1.1 {status}", "content-type: application/json", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


DECISION: dict[str, Any] = {
    "id": "d1", "placement": "homepage-hero", "reason": "TARGETING_MATCH", "campaignId": "deals", "variant": None, "rulesetVersion": 1,
    "contextVersion": 3, "cursor": "c", "fresh": True, "decidedAt": "2026-01-01T00:00:00.000Z", "validUntil": None,
    "banner": {
        "id": "b1", "headline": "Exclusive deals on smartphones and accessories!", "body": None, "linkUrl": "/category/smartphones",
        "ctaLabel": "Go", "image": {"url": "/static/deal.svg", "alt": "A tag", "width": 480, "height": 320}, "locale": None,
        "products": [], "data": None,
    },
}  # fmt: skip
VISIT: dict[str, Any] = {
    "anonymousId": "anon_1", "token": "t", "expiresAt": "2026-01-01T01:00:00.000Z", "serverTime": "2026-01-01T00:00:00.000Z",
}  # fmt: skip


def answer_to(name: str, *, decision: Any = DECISION, visit: Any = VISIT) -> dict[str, Any]:
    """The `data` of a good answer to the client's operation of that name."""
    return {"startVisit": visit} if name == "StartVisit" else {"banners": [decision]}
