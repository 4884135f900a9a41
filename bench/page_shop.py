"""The storefront's home page in other variants, for `bench/page`: without personalization, and with a peer's script.

It is the storefront itself without a key, so its server never queries a gateway. The snippet's tags are removed from the page, which
takes less than 0.1 ms. For `/?queried` the page is sent after one gateway query, whose answer is discarded. For `/?peer` it contains
GrowthBook's script tag, as in GrowthBook's documentation; what GrowthBook's own servers would send comes from here immediately, which
flatters it.

Run it as `python -m bench.page_shop ENDPOINT`, with the gateway's endpoint. The first line that it prints is its address; it ends when
its input ends.
"""

from __future__ import annotations

import re
import socket
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import uvicorn
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bench.end_to_end import BenchFailed
from bench.sizes import PEERS
from examples.storefront.app import create_app
from examples.storefront.banner import PLACEMENT
from examples.storefront.settings import Settings
from examples.storefront.start import START
from local_stack.project import PROJECT_ROOT
from personalization_gateway import TOKEN_COOKIE, Deadline, GatewayClient, PageInput

PEER: Final = "peer"
QUERIED: Final = "queried"
HOME: Final[PageInput] = {"type": "home", "locale": "en", "currency": "USD"}
QUERY_S: Final = 5.0
_BUNDLES: Final = PEERS / "node_modules" / "@growthbook" / "growthbook" / "dist" / "bundles"
_SCRIPT: Final = PROJECT_ROOT / "bench" / "page_peer.js"
_CLIENT_KEY: Final = "sdk-bench"
_OF_THE_SNIPPET: Final = (
    re.compile(rb'<meta name="live-banner"[^>]*>'),
    re.compile(re.escape(START.encode())),
)
_FLAGS: Final[dict[str, Any]] = {
    "status": 200,
    "features": {
        "homepage-hero": {
            "defaultValue": {
                "headline": "Welcome! Fresh deals every day",
                "body": "Have a look around: what you like decides what you see here.",
                "linkUrl": "/category/smartphones",
                "ctaLabel": "See smartphones",
                "image": {"src": "/static/hero.svg", "alt": "A phone and headphones", "width": 480, "height": 320},
            }
        }
    },
    "dateUpdated": "2026-01-01T00:00:00.000Z",
}
"""The banner that the gateway has for a new visitor, as GrowthBook's features endpoint would send it."""


class OtherPages:
    """ASGI around the storefront: its home page without the snippet, after a query if requested, or with the peer's script instead."""

    def __init__(self, app: ASGIApp, client: GatewayClient | None = None) -> None:
        self._app = app
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; change the home page, which the storefront sends in one piece."""
        if scope["type"] != "http" or scope["path"] != "/":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        if QUERIED in request.query_params and self._client is not None:
            await query(self._client, request.cookies[TOKEN_COOKIE])
        tags = _peer_tags(str(request.base_url).rstrip("/")) if PEER in request.query_params else b""
        # For a visitor with a token the storefront would query a gateway itself.
        scope = {**scope, "headers": [header for header in scope["headers"] if header[0] != b"cookie"]}
        head: Message = {}

        async def send_changed(message: Message) -> None:
            nonlocal head
            if message["type"] == "http.response.start":
                head = message
                return
            body = without_snippet(message["body"]).replace(b"</head>", tags + b"</head>", 1)
            MutableHeaders(raw=head["headers"])["content-length"] = str(len(body))
            await send(head)
            await send({**message, "body": body})

        await self._app(scope, receive, send_changed)


async def query(client: GatewayClient, token: str) -> None:
    """Request the banner of the home page, as the storefront's server does. Raises BenchFailed if there is no decision."""
    if PLACEMENT not in await client.banners([PLACEMENT], visitor_token=token, page=HOME, deadline=Deadline.after(QUERY_S)):
        raise BenchFailed("the gateway returns no decision; its log has the reason")


def without_snippet(page: bytes) -> bytes:
    """The page without the snippet's tags. Raises ValueError if it does not have them: it would not be the same page."""
    for tag in _OF_THE_SNIPPET:
        page, count = tag.subn(b"", page)
        if count != 1:
            raise ValueError(f"the storefront's home page has {count} tags like {tag.pattern.decode()}, not one")
    return page


def _peer_tags(origin: str) -> bytes:
    return (
        '<script async src="/page_peer.js"></script>'
        f'<script async data-client-key="{_CLIENT_KEY}" data-api-host="{origin}" src="/growthbook/auto.min.js"></script>'
    ).encode()


async def _flags(_: Request) -> Response:
    return JSONResponse(_FLAGS)


async def _script(_: Request) -> Response:
    return FileResponse(_SCRIPT)


def create_shop(client: GatewayClient) -> Starlette:
    """The application; the packages of `bench/peers` must be installed. `client` is closed with it."""
    storefront = create_app(Settings(publishable_key=SecretStr(""), secret_key=SecretStr("")))  # type: ignore[call-arg]  # defaults
    routes = [
        Route(f"/api/features/{_CLIENT_KEY}", _flags),
        Route("/page_peer.js", _script),
        Mount("/growthbook", StaticFiles(directory=_BUNDLES)),
        Mount("/", OtherPages(storefront, client)),
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with client, storefront.router.lifespan_context(storefront):
            yield

    return Starlette(routes=routes, lifespan=lifespan)


def main() -> None:
    """Serve on a free port until the input ends, so that it never outlives the process that started it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        server = uvicorn.Server(uvicorn.Config(create_shop(GatewayClient(sys.argv[1])), access_log=False, log_level="warning"))
        threading.Thread(target=_end_with_input, args=(server,), daemon=True).start()
        server.run(sockets=[listener])


def _end_with_input(server: uvicorn.Server) -> None:
    sys.stdin.read()
    server.should_exit = True


if __name__ == "__main__":
    main()
