"""What browsers may do with the shop's responses, and which pages may post to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from examples.storefront.start import POLICY_SOURCE

Handler = Callable[[Request], Awaitable[Response]]


CONTENT_SECURITY_POLICY: Final = (
    f"default-src 'none'; script-src 'self' {POLICY_SOURCE}; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Only the shop's own scripts, styles and images, connections only to the shop, and no strings that become markup."""


class SecurityHeaders:
    """Pure ASGI middleware that adds the Content-Security-Policy and related headers to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; add the headers to an HTTP response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["content-security-policy"] = CONTENT_SECURITY_POLICY
                headers["x-content-type-options"] = "nosniff"
                headers["referrer-policy"] = "same-origin"
            await send(message)

        await self._app(scope, receive, send_with_headers)


def own_pages_only(handler: Handler) -> Handler:
    """Refuse (403) requests that a browser sends for a page of another site. Clients without a browser's headers are allowed."""

    async def guarded(request: Request) -> Response:
        origin = request.headers.get("origin")
        site = request.headers.get("sec-fetch-site", "same-origin")
        foreign_origin = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
        if foreign_origin or site not in ("same-origin", "none"):
            return PlainTextResponse("Only pages of this shop can do this.", 403)
        return await handler(request)

    return guarded
