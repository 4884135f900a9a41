"""GraphiQL, the page for trying the API, at the address of the endpoint. For development only: production does not mount it.

The page is built by `npm run build` in the folder graphiql/. It loads nothing from elsewhere, and its
Content-Security-Policy enforces that. It contains no data and needs no credential; its requests pass the endpoint's checks.
"""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.transport.http.messages import headers_of
from gateway.transport.parameters import EVENT_STREAM, JSON, RESPONSE_JSON

ASSETS: Final = {"graphiql.js": "text/javascript", "graphiql.css": "text/css"}
PAGE: Final = "index.html"
_NONCE_MARK: Final = "{nonce}"
_HEADERS: Final = {
    "cache-control": "no-cache",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def _page_policy(nonce: str) -> str:
    # Fonts and small images are inside the stylesheet; the nonce is for the styles that menus and dialogs create.
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; font-src data:; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


class GraphiQL:
    """An ASGI application in front of the endpoint: a browser that opens the address gets the page, other requests pass through.

    `directory` is read on each request, so a new build is served without a restart.
    """

    def __init__(self, endpoint: ASGIApp, directory: Path | None) -> None:
        self._endpoint = endpoint
        self._directory = directory

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        application = await self._page() if _is_navigation(scope) else self._endpoint
        await application(scope, receive, send)

    async def asset(self, request: Request) -> Response:
        """One of `ASSETS`, or 404."""
        name = request.path_params["name"]
        content = await self._read(name) if name in ASSETS else None
        if content is None:
            return PlainTextResponse("Not Found", 404)
        return Response(content, media_type=ASSETS[name], headers=_HEADERS)

    async def _page(self) -> Response:
        headers = {**_HEADERS, "vary": "Accept"}
        content = await self._read(PAGE)
        if content is None:
            return PlainTextResponse(self._build_hint(), 404, headers)
        nonce = secrets.token_urlsafe(16)
        headers["content-security-policy"] = _page_policy(nonce)
        return Response(content.decode().replace(_NONCE_MARK, nonce), media_type="text/html", headers=headers)

    async def _read(self, name: str) -> bytes | None:
        if self._directory is None:
            return None
        try:
            return await asyncio.to_thread((self._directory / name).read_bytes)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _build_hint(self) -> str:
        reason = "GATEWAY_GRAPHIQL_DIR is not set" if self._directory is None else f"there is no {PAGE} in {self._directory}"
        return (
            f"This is the API. GraphiQL, the page for trying it, is not available: {reason}.\n\n"
            "  In the folder graphiql of the project:  npm ci && npm run build\n"
            "  For the gateway:                        GATEWAY_GRAPHIQL_DIR=<that folder>/dist\n"
        )


def _is_navigation(scope: Scope) -> bool:
    """Whether a browser opens the address: it accepts HTML and no media type of a GraphQL client, and names no operation."""
    if scope["method"] != "GET" or scope["query_string"]:
        return False
    accepted = {part.split(";")[0].strip().lower() for part in headers_of(scope).get("accept", "").split(",")}
    return "text/html" in accepted and accepted.isdisjoint({JSON, RESPONSE_JSON, EVENT_STREAM})
