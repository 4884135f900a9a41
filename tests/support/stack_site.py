"""What tests on the whole stack use: clients for every kind of credential, stored contexts, topics, parts that go away."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from redis.asyncio import Redis
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from gateway.graphql_http import GraphQLErrors
from local_stack.api import Api
from local_stack.stack.local_stack import LocalStack

DEADLINE_S = 30.0
STATE = "{ consent { personalization } version cart { productId quantity } interestedCategory recentProducts }"


@dataclass(frozen=True)
class Logged:
    """A record of a topic; `body` is its parsed value."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: dict[str, bytes]

    @property
    def body(self) -> dict[str, Any]:
        found = json.loads(self.value)
        assert isinstance(found, dict)
        return found


class Site:
    """A running stack as its callers see it."""

    def __init__(self, stack: LocalStack, http: httpx.AsyncClient, redis: Redis) -> None:
        self.stack = stack
        self.http = http
        self.redis = redis
        keys = stack.wiring.keys
        self.nobody = Api(http, stack.wiring.gateway_url, None)
        self.publishable = self.nobody.with_credential(keys.publishable)
        self.secret = self.nobody.with_credential(keys.secret)

    async def visit(self) -> tuple[str, Api]:
        """A new anonymous visitor and a client with its token."""
        return await self.publishable.start_visit()

    def token(self, visitor_id: str, *, secret: str | None = None, expires_in_s: float = 900, **claims: Any) -> str:
        """A visitor token as the shop's server makes it, or a forged one when `secret` is another."""
        claims = {"sub": visitor_id, "exp": int(time.time() + expires_in_s), **claims}
        return jwt.encode(claims, secret or self.stack.wiring.keys.token_secret, algorithm="HS256")

    def known(self, name: str = "user") -> tuple[str, Api]:
        """A new known visitor and a client with its token."""
        visitor_id = f"{name}-{uuid.uuid4().hex[:12]}"
        return visitor_id, self.nobody.with_credential(self.token(visitor_id))

    async def context(self, visitor_id: str) -> dict[str, Any]:
        """The context as it stands in Redis, read past the gateway; {} when there is none."""
        stored = await self.redis.get(f"context:{visitor_id}")
        return {} if stored is None else dict(json.loads(stored))

    async def context_when(self, visitor_id: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The context once `holds` is true of it."""
        found: dict[str, Any] = {}

        async def is_there() -> bool:
            nonlocal found
            found = await self.context(visitor_id)
            return bool(found) and holds(found)

        await until(is_there, lambda: f"the context stayed {found}")
        return found

    @asynccontextmanager
    async def without(self, part: str, *, orderly: bool = False) -> AsyncIterator[None]:
        """Kill a part, or stop it in order; start it again when the block ends."""
        await asyncio.to_thread(self.stack.stop_part if orderly else self.stack.kill, part)
        try:
            yield
        finally:
            await self.start(part)

    async def start(self, part: str) -> None:
        """Start a part that was killed and wait until it is ready."""
        await asyncio.to_thread(self.stack.start_part, part)

    async def ends(self, topics: Sequence[str]) -> dict[TopicPartition, int]:
        """Where the next records of these topics will stand."""
        async with AIOKafkaConsumer(bootstrap_servers=self.stack.wiring.bootstrap, enable_auto_commit=False) as consumer:
            found: dict[TopicPartition, int] = await consumer.end_offsets(_partitions(topics))
            return found

    async def records(self, since: dict[TopicPartition, int], enough: Callable[[list[Logged]], bool]) -> list[Logged]:
        """All records from `since` on, read until they are enough."""
        found: list[Logged] = []
        async with AIOKafkaConsumer(bootstrap_servers=self.stack.wiring.bootstrap, enable_auto_commit=False) as consumer:
            consumer.assign(list(since))
            for partition, offset in since.items():
                consumer.seek(partition, offset)
            deadline = time.monotonic() + DEADLINE_S
            while not enough(found):
                assert time.monotonic() < deadline, f"only {len(found)} records: {found[-3:]}"
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    found += [Logged(r.topic, r.partition, r.offset, r.key, r.value, dict(r.headers)) for r in batch]
        return found

    async def write(self, records: Iterable[tuple[str, bytes | None, bytes | None]]) -> list[tuple[str, int, int]]:
        """Put (topic, key, value) past the gateway into Kafka; their positions."""
        async with AIOKafkaProducer(bootstrap_servers=self.stack.wiring.bootstrap, acks="all", max_request_size=4_000_000) as producer:
            sent = [await producer.send(topic, value, key) for topic, key, value in records]
            return [(found.topic, found.partition, found.offset) for found in await asyncio.gather(*sent)]

    async def metric(self, name: str) -> float:
        """A metric of the gateway, without labels."""
        page = (await self.http.get(f"{self.stack.wiring.gateway_url}/metrics")).text
        return float(next(line.split()[1] for line in page.splitlines() if line.startswith(f"{name} ")))


def _partitions(topics: Sequence[str]) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for topic in topics for number in (0, 1)]


async def until(holds: Callable[[], Awaitable[bool]], what: Callable[[], str], within_s: float = DEADLINE_S) -> None:
    """Wait for a condition; fails with `what` at the deadline."""
    deadline = time.monotonic() + within_s
    while not await holds():
        assert time.monotonic() < deadline, what()
        await asyncio.sleep(0.05)


async def codes_of(api: Api, query: str, **variables: Any) -> list[str]:
    """The error codes of an operation over HTTP; empty when it has none."""
    try:
        await api.run(query, **variables)
    except GraphQLErrors as refused:
        return list(map(str, refused.codes))
    return []


async def answer(api: Api, query: str, **variables: Any) -> dict[str, Any]:
    """The whole answer over HTTP, data and errors."""
    response = await api.http.post(api.url, json={"query": query, "variables": variables}, headers=api.headers)
    found = response.json()
    assert isinstance(found, dict)
    return found


async def subscription_refusal(api: Api, transport: str, query: str, **variables: Any) -> str:
    """What a subscription is refused with: an error code, or "closed" and the WebSocket's close code."""
    async with asyncio.timeout(DEADLINE_S):
        return await (_sse_refusal if transport == "sse" else _websocket_refusal)(api, query, variables)


async def _sse_refusal(api: Api, query: str, variables: dict[str, Any]) -> str:
    headers = {**api.headers, "accept": "text/event-stream"}
    async with api.http.stream("POST", api.url, json={"query": query, "variables": variables}, headers=headers) as response:
        async for line in response.aiter_lines():
            if line.startswith("data:") and line != "data:":
                return _first_code(json.loads(line[5:]))
    return "ended"


async def _websocket_refusal(api: Api, query: str, variables: dict[str, Any]) -> str:
    url = api.url.replace("http", "ws", 1)
    async with connect(url, subprotocols=[Subprotocol("graphql-transport-ws")], proxy=None) as socket:
        try:
            await socket.send(json.dumps({"type": "connection_init", "payload": api.headers}))
            assert json.loads(await socket.recv())["type"] == "connection_ack"
            await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": {"query": query, "variables": variables}}))
            message = json.loads(await socket.recv())
        except ConnectionClosed as closed:
            return f"closed {closed.rcvd.code if closed.rcvd else None}"
    payload = message["payload"]
    return _first_code({"errors": payload} if message["type"] == "error" else payload)


def _first_code(payload: dict[str, Any]) -> str:
    return str(payload["errors"][0]["extensions"]["code"]) if payload.get("errors") else "none"
