"""A page that a CDN caches for everyone: its banner is decided for no visitor, and the snippet replaces it after the load.

No cookie is read or set, so the page is the same for everyone. It is cached no longer than its banner is valid.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from examples.recipes.starlette_page import PAGE
from personalization_gateway import Decision, GatewayClient, render_banner, render_configuration

CACHED_S: Final = 300
CACHED_WITHOUT_BANNER_S: Final = 10
"""The gateway was away, and may be back soon."""


def create_app(client: GatewayClient, publishable_key: str) -> Starlette:
    """A shop with one public page."""

    async def home(_: Request) -> Response:
        decision = await client.banner("homepage-hero", page={"type": "home"})
        html = PAGE.format(
            configuration=render_configuration("/graphql", publishable_key=publishable_key, page={"type": "home"}),
            banner=render_banner(decision, placement="homepage-hero", page_is_private=False, fallback_html="<h2>Welcome</h2>"),
        )
        return HTMLResponse(html, headers={"cache-control": f"public, s-maxage={cache_seconds(decision, datetime.now(UTC))}, max-age=0"})

    return Starlette(routes=[Route("/", home)])


def cache_seconds(decision: Decision | None, now: datetime) -> int:
    """How many seconds a shared cache may keep the page."""
    if decision is None:
        return CACHED_WITHOUT_BANNER_S
    if decision.valid_until is None:
        return CACHED_S
    return max(0, min(CACHED_S, int((decision.valid_until - now).total_seconds())))
