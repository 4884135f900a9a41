"""What browsers may do with the shop's answers, and which pages may post to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Handler = Callable[[Request], Awaitable[Response]]


class SecurityHeaders:
    """Pure ASGI middleware: a strict Content-Security-Policy and its companions on every answer."""

    def __init__(self, app: ASGIApp, browser_endpoint: str) -> None:
        self._app = app
        self._policy = content_security_policy(browser_endpoint)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; add the headers to the head of an HTTP answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["content-security-policy"] = self._policy
                headers["x-content-type-options"] = "nosniff"
                headers["referrer-policy"] = "same-origin"
            await send(message)

        await self._app(scope, receive, send_with_headers)


def content_security_policy(browser_endpoint: str) -> str:
    """Only the shop's own scripts, styles and images; connections to the shop and the gateway."""
    parts = urlsplit(browser_endpoint)
    socket_scheme = "wss" if parts.scheme == "https" else "ws"
    gateway = f"{parts.scheme}://{parts.netloc} {socket_scheme}://{parts.netloc}"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        f"connect-src 'self' {gateway}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


def own_pages_only(handler: Handler) -> Handler:
    """Refuse (403) what a browser sends for a page of another site. Tools without a browser's headers are let through."""

    async def guarded(request: Request) -> Response:
        origin = request.headers.get("origin")
        site = request.headers.get("sec-fetch-site", "same-origin")
        foreign_origin = origin is not None and urlsplit(origin).netloc != request.headers.get("host")
        if foreign_origin or site not in ("same-origin", "none"):
            return PlainTextResponse("Only pages of this shop may do that.", 403)
        return await handler(request)

    return guarded
