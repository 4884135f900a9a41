"""A page that a CDN keeps for everybody: its banner is decided for nobody, the snippet replaces it by the visitor's own after load.

No cookie is read and none is set, so the page is the same for all. It is kept no longer than the banner may stand.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from examples.recipes.starlette_page import PAGE
from gateway.client import Decision, GatewayClient, render_banner, render_configuration

KEPT_S: Final = 300
KEPT_WITHOUT_BANNER_S: Final = 10
"""The gateway was away: soon it will not be."""


def create_app(client: GatewayClient, publishable_key: str) -> Starlette:
    """A shop of one public page."""

    async def home(_: Request) -> Response:
        decision = await client.banner("homepage-hero", page={"type": "home"})
        html = PAGE.format(
            configuration=render_configuration("/graphql", publishable_key=publishable_key, page={"type": "home"}),
            banner=render_banner(decision, placement="homepage-hero", page_is_private=False, fallback_html="<h2>Welcome</h2>"),
        )
        return HTMLResponse(html, headers={"cache-control": f"public, s-maxage={kept_s(decision, datetime.now(UTC))}, max-age=0"})

    return Starlette(routes=[Route("/", home)])


def kept_s(decision: Decision | None, now: datetime) -> int:
    """How many seconds a shared cache may keep the page."""
    if decision is None:
        return KEPT_WITHOUT_BANNER_S
    if decision.valid_until is None:
        return KEPT_S
    return max(0, min(KEPT_S, int((decision.valid_until - now).total_seconds())))
