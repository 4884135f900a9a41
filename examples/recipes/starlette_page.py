"""Server rendering with Starlette (FastAPI works the same way): one call, one cookie, one function that renders."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from personalization_gateway import CURSOR_COOKIE, TOKEN_COOKIE, GatewayClient, render_banner, render_configuration, token_cookie

PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8"><title>Shop</title>
  {configuration}
  <link rel="stylesheet" href="/static/live-banner.css">
  <script type="module" async fetchpriority="low" src="/static/live-banner.js"></script>
</head>
<body>{banner}</body>
</html>
"""


def create_app(client: GatewayClient, publishable_key: str) -> Starlette:
    """A shop with one page. `client` is closed with it."""

    async def home(request: Request) -> Response:
        personal = await client.personalize(
            ["homepage-hero"],
            token=request.cookies.get(TOKEN_COOKIE),
            after=request.cookies.get(CURSOR_COOKIE),
            page={"type": "home", "url": str(request.url)},
        )
        html = PAGE.format(
            configuration=render_configuration("/graphql", publishable_key=publishable_key, page={"type": "home"}),
            banner=render_banner(
                personal.decisions.get("homepage-hero"),
                placement="homepage-hero",
                page_is_private=True,
                fallback_html="<h2>Welcome</h2>",
            ),
        )
        response = HTMLResponse(html, headers={"cache-control": "private, no-store"})
        if personal.started is not None:
            response.set_cookie(**token_cookie(personal.started.token, secure=request.url.scheme == "https"))
        return response

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with client:
            yield

    return Starlette(routes=[Route("/", home)], lifespan=lifespan)
