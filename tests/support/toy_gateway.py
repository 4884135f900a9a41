"""A toy schema behind the real endpoint, in process or on a real loopback port, for the tests of the transports."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import strawberry
import uvicorn

from gateway.errors import BadUserInput, Forbidden, Unauthenticated, Unavailable
from gateway.transport.endpoint import GraphQLEndpoint
from gateway.transport.settings import RequestInfo, TransportSettings

ORIGIN = "https://shop.example"


@dataclass(frozen=True)
class Caller:
    """A credential: a name and the moment at which it ends."""

    name: str | None
    expires_at: float | None = None


def authenticate(authorization: str | None) -> Caller:
    """`Bearer NAME` is NAME; `Bearer short:SECONDS` ends so many seconds from now; `forged` is refused."""
    if authorization is None:
        return Caller(None)
    scheme, _, token = authorization.partition(" ")
    if scheme != "Bearer" or not token or token == "forged":
        raise Unauthenticated("The token is not valid.")
    if token.startswith("short:"):
        return Caller("short", time.time() + float(token.removeprefix("short:")))
    return Caller(token)


@dataclass
class Board:
    """What the resolvers did, for tests to look at and wait for."""

    infos: list[RequestInfo] = field(default_factory=list)
    started: int = 0
    closed: int = 0
    written: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    news: int = 0
    """The number of the latest news; `publish` counts it up."""
    heard: asyncio.Condition = field(default_factory=asyncio.Condition)
    restarts: asyncio.Event = field(default_factory=asyncio.Event)
    """Somebody asked for a restart."""


@dataclass(frozen=True)
class Context:
    """`info.context`."""

    info: RequestInfo
    board: Board


Info = strawberry.Info[Context, None]


@strawberry.type
class Node:
    """A thing that nests."""

    name: str = "node"

    @strawberry.field
    def node(self) -> Node:
        return Node()


@strawberry.type
class Query:
    """Queries."""

    @strawberry.field
    def hello(self, name: str = "world") -> str:
        return f"hello {name}"

    @strawberry.field
    async def caller(self, info: Info) -> str | None:
        name: str | None = getattr(info.context.info.credential, "name", None)
        return name

    @strawberry.field
    def square(self, of: int) -> int:
        return of * of

    @strawberry.field
    def node(self) -> Node:
        return Node()

    @strawberry.field
    def refused(self, why: str = "forbidden") -> str | None:
        raise Forbidden("Not yours.") if why == "forbidden" else BadUserInput("Wrong.", field="why")

    @strawberry.field
    def broken(self) -> str | None:
        raise ValueError("secret detail")


@strawberry.type
class Mutation:
    """Mutations."""

    @strawberry.mutation
    async def write(self, info: Info, text: str, wait: bool = False) -> str:
        info.context.board.started += 1
        if wait:
            await info.context.board.gate.wait()
        info.context.board.written.append(text)
        return text

    @strawberry.mutation
    async def publish(self, info: Info) -> int:
        board = info.context.board
        async with board.heard:
            board.news += 1
            board.heard.notify_all()
        return board.news

    @strawberry.mutation
    async def restart(self, info: Info) -> bool:
        info.context.board.restarts.set()
        return True


@strawberry.type
class Subscription:
    """Subscriptions; each notes when it starts and when it is closed."""

    @strawberry.subscription
    async def count(self, info: Info, to: int, forever: bool = False) -> AsyncGenerator[int, None]:
        board = info.context.board
        board.started += 1
        try:
            for number in range(to):
                yield number
            if forever:
                await board.gate.wait()
        finally:
            board.closed += 1

    @strawberry.subscription
    async def news(self, info: Info, shown: list[int] = []) -> AsyncGenerator[int, None]:  # noqa: B006 - read only
        board = info.context.board
        seen = max([*shown, int(info.context.info.last_event_id or 0)])
        while True:
            async with board.heard:
                await board.heard.wait_for(lambda: board.news > seen)  # noqa: B023 - awaited at once
            seen += 1
            yield seen

    @strawberry.subscription
    async def fail(self, why: str, after: int = 0) -> AsyncGenerator[int, None]:
        for number in range(after):
            yield number
        errors: dict[str, Exception] = {
            "forbidden": Forbidden("Not yours."),
            "unavailable": Unavailable("Away."),
            "unauthenticated": Unauthenticated("Expired."),
        }
        raise errors.get(why, ValueError("secret detail"))

    @strawberry.subscription
    async def flood(self, info: Info, size: int) -> AsyncGenerator[str, None]:
        board = info.context.board
        board.started += 1
        try:
            while True:
                yield "x" * size
                await asyncio.sleep(0)
        finally:
            board.closed += 1


SCHEMA = strawberry.Schema(Query, Mutation, Subscription)


def make_endpoint(board: Board, **settings: Any) -> GraphQLEndpoint:
    """The real endpoint over the toy schema."""

    def make_context(info: RequestInfo) -> Context:
        board.infos.append(info)
        return Context(info, board)

    settings.setdefault("allowed_origins", frozenset({ORIGIN}))
    return GraphQLEndpoint(SCHEMA, authenticate=authenticate, make_context=make_context, settings=TransportSettings(**settings))


@dataclass
class Toy:
    """A running toy gateway."""

    port: int
    board: Board
    endpoint: GraphQLEndpoint

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/graphql"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/graphql"


@asynccontextmanager
async def serve(**settings: Any) -> AsyncIterator[Toy]:
    """Serve the toy by uvicorn on a free loopback port."""
    board = Board()
    endpoint = make_endpoint(board, **settings)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(endpoint, log_level="error", lifespan="off", ws="websockets-sansio", timeout_graceful_shutdown=2)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await eventually(lambda: server.started)
            yield Toy(listener.getsockname()[1], board, endpoint)
        finally:
            board.gate.set()
            await endpoint.shutdown()
            server.should_exit = True
            await task


async def eventually(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    """Wait until the condition holds; fails after the deadline."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - it waits for states that nothing announces
            await asyncio.sleep(0.005)
