"""A small GraphQL client for the demo, the check and the tests: queries over HTTP, banner changes over SSE and WebSocket."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from gateway.graphql_http import GraphQLClient, GraphQLErrors, data_of, operation

BANNER = """query Banner($placement: ID!, $userId: ID, $after: Cursor, $wait: Int!) {
  banner(placement: $placement, userId: $userId, after: $after, maxWaitMs: $wait) {
    id reason campaignId fresh cursor contextVersion banner { id headline } } }"""
TRACK = """mutation Track($events: [EventInput!]!, $placements: [ID!]!, $ask: Boolean!, $wait: Int!) {
  track(events: $events) { cursor serverTime results { messageId status error { code message field } }
    decisions(placements: $placements, maxWaitMs: $wait) @include(if: $ask) { id fresh reason banner { headline } } } }"""
START = "mutation { startVisit { anonymousId token expiresAt serverTime } }"
CHANGED = """subscription Changed($placements: [ID!]!, $shown: [ID!]!, $preview: String) {
  bannerChanged(placements: $placements, shown: $shown, previewToken: $preview) { id placement reason banner { headline } } }"""

WAIT_MS = 10_000
PLACEMENT = "homepage-hero"


class Api:
    """Talks to one gateway with one credential."""

    def __init__(self, http: httpx.AsyncClient, url: str, credential: str | None) -> None:
        self.http = http
        self.credential = credential
        self._graphql = GraphQLClient(url, credential)

    def with_credential(self, credential: str | None) -> Api:
        """The same gateway, another credential."""
        return Api(self.http, self._graphql.gateway_url, credential)

    @property
    def url(self) -> str:
        """The address of the GraphQL endpoint."""
        return self._graphql.url

    @property
    def headers(self) -> dict[str, str]:
        """The Authorization header, if there is a credential."""
        return self._graphql.headers

    async def run(self, query: str, **variables: Any) -> dict[str, Any]:
        """The `data` of an operation. Raises `GraphQLErrors`, `NoGraphQLAnswer` or httpx.HTTPError."""
        return data_of(await self.http.post(**self._graphql.request(query, variables)))

    async def start_visit(self) -> tuple[str, Api]:
        """A new anonymous visitor and a client with its token."""
        visit = (await self.run(START))["startVisit"]
        return visit["anonymousId"], self.with_credential(visit["token"])

    async def track(self, *events: dict[str, Any], ask: bool = False) -> dict[str, Any]:
        """The `TrackResult` of some events."""
        data = await self.run(TRACK, events=list(events), placements=[PLACEMENT], ask=ask, wait=WAIT_MS)
        result: dict[str, Any] = data["track"]
        return result

    async def banner(self, *, user_id: str | None = None, after: str | None = None, wait_ms: int = WAIT_MS) -> dict[str, Any]:
        """The decision on the banner of the homepage."""
        data = await self.run(BANNER, placement=PLACEMENT, userId=user_id, after=after, wait=wait_ms if after else 0)
        decision: dict[str, Any] = data["banner"]
        return decision

    @asynccontextmanager
    async def frames(self, transport: str, shown: list[str], *, preview: str | None = None) -> AsyncIterator[Frames]:
        """Subscribe to the banner of the homepage over "sse" or "websocket". `preview` is a preview token."""
        variables = {"placements": [PLACEMENT], "shown": shown, "preview": preview}
        frames = Frames()
        read = self._sse if transport == "sse" else self._websocket
        task = asyncio.create_task(read(frames, variables))
        opening = asyncio.create_task(frames.opened.wait())
        try:
            await asyncio.wait((task, opening), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                await task
            yield frames
        finally:
            for unfinished in (task, opening):
                unfinished.cancel()
                with suppress(asyncio.CancelledError):
                    await unfinished

    async def _sse(self, frames: Frames, variables: dict[str, Any]) -> None:
        request = self._graphql.request(CHANGED, variables, accept="text/event-stream")
        async with self.http.stream("POST", **request, timeout=None) as response:
            event = ""
            async for line in response.aiter_lines():
                # The gateway sends the first comment at once: the stream is open.
                frames.opened.set()
                if line.startswith("event:"):
                    event = line[6:].strip()
                elif line.startswith("data:") and event == "next":
                    frames.receive(json.loads(line[5:]))

    async def _websocket(self, frames: Frames, variables: dict[str, Any]) -> None:
        url = self.url.replace("http", "ws", 1)
        async with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")], proxy=None) as socket:
            await socket.send(json.dumps({"type": "connection_init", "payload": self.headers}))
            if json.loads(await socket.recv())["type"] != "connection_ack":
                raise GraphQLErrors([{"message": "no connection_ack"}])
            await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": operation(CHANGED, variables)}))
            frames.opened.set()
            async for text in socket:
                message = json.loads(text)
                if message["type"] == "next":
                    frames.receive(message["payload"])
                elif message["type"] == "ping":
                    await socket.send('{"type":"pong"}')
                elif message["type"] == "error":
                    raise GraphQLErrors(message["payload"])


class Frames:
    """What a subscription received: headline, decision id and time of arrival (monotonic, in seconds)."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.seen: list[tuple[str, str, float]] = []
        self._more = asyncio.Event()

    def receive(self, payload: dict[str, Any]) -> None:
        """Record a frame. Raises GraphQLErrors if it has errors."""
        if payload.get("errors"):
            raise GraphQLErrors(payload["errors"])
        decision = payload["data"]["bannerChanged"]
        headline = decision["banner"]["headline"] if decision["banner"] else ""
        self.seen.append((headline, decision["id"], time.monotonic()))
        self._more.set()

    async def until(self, headline: str, timeout_seconds: float = 15.0) -> float:
        """The time of arrival of this headline (monotonic, in seconds). Raises TimeoutError if it does not arrive."""
        async with asyncio.timeout(timeout_seconds):
            while True:
                for seen, _, at in self.seen:
                    if seen == headline:
                        return at
                self._more.clear()
                await self._more.wait()


def event(event_type: str, *, at_ms: int | None = None, **fields: Any) -> dict[str, Any]:
    """An EventInput of now, or of `at_ms`, with a new message id unless `fields` has one."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC) if at_ms is not None else datetime.now(UTC)
    timestamp = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"messageId": str(uuid.uuid4()), "type": event_type, "timestamp": timestamp, **fields}


def product_added(product_id: str, category: str, **fields: Any) -> dict[str, Any]:
    """A PRODUCT_ADDED event with a quantity of one."""
    return event("PRODUCT_ADDED", product={"productId": product_id, "category": category, "price": "99.00", "currency": "EUR"}, **fields)


def deals_on(category: str) -> str:
    """The headline that the storefront's campaigns show for an interest in `category`."""
    return f"Exclusive deals on {category} and accessories!"
