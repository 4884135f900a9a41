"""The recipes of docs/integrate.md, run against the real gateway in process."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from examples.recipes import cached_page, django_page, starlette_page
from personalization_gateway import GatewayClient, SyncGatewayClient, parsing
from tests.support.client_gateways import DECISION, ENDPOINT, NOWHERE, PUBLISHABLE_KEY, lonely_gateway

ROOT = Path(__file__).parents[3]
FALLBACK = "Welcome! Fresh deals every day"
OWN = '<live-banner placement="homepage-hero" aria-live="polite"><h2>Welcome</h2></live-banner>'


def gateway() -> GatewayClient:
    return GatewayClient(ENDPOINT, publishable_key=PUBLISHABLE_KEY, deadline_s=10, transport=lonely_gateway())


def browser(app: Starlette) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://shop.test")


async def test_starlette_page_has_the_visitors_banner() -> None:
    """The first page starts a visitor, the second is the same visitor's; neither is kept by anyone."""
    async with browser(starlette_page.create_app(gateway(), PUBLISHABLE_KEY)) as client:
        first, second = await client.get("/"), await client.get("/")
    assert "visitor_token=" in first.headers["set-cookie"]
    assert "set-cookie" not in second.headers
    for page in (first, second):
        assert page.headers["cache-control"] == "private, no-store"
        assert FALLBACK in page.text
        assert 'data-decision-id="' in page.text


def test_django_page_has_the_visitors_banner() -> None:
    """The first page starts a visitor, the second is the same visitor's; neither is kept by anyone."""
    with SyncGatewayClient(ENDPOINT, publishable_key=PUBLISHABLE_KEY, deadline_s=10, transport=lonely_gateway()) as client:
        app = django_page.create_app(client, PUBLISHABLE_KEY)
        with httpx.Client(transport=httpx.WSGITransport(app), base_url="https://shop.test") as shop:
            first, second = shop.get("/"), shop.get("/")
    assert re.search("visitor_token=.*; Max-Age=2592000; .*SameSite=lax; Secure", first.headers["set-cookie"])
    assert "set-cookie" not in second.headers
    for page in (first, second):
        assert page.headers["cache-control"] == "private, no-store"
        assert FALLBACK in page.text
        assert 'data-decision-id="' in page.text
        assert 'name="live-banner" content="/graphql"' in page.text


def test_a_gateway_that_is_away_leaves_djangos_page_its_own_content() -> None:
    """The page is there, with what the shop wrote."""
    with SyncGatewayClient(f"http://{NOWHERE}/graphql", publishable_key=PUBLISHABLE_KEY) as client:
        app = django_page.create_app(client, PUBLISHABLE_KEY)
        with httpx.Client(transport=httpx.WSGITransport(app), base_url="https://shop.test") as shop:
            page = shop.get("/")
    assert OWN in page.text


async def test_cached_page_is_the_same_for_everybody() -> None:
    """No cookie goes in or out, and nothing in it names a visitor."""
    async with browser(cached_page.create_app(gateway(), PUBLISHABLE_KEY)) as client:
        page = await client.get("/", headers={"cookie": "visitor_token=a.b.c"})
    assert page.headers["cache-control"] == "public, s-maxage=300, max-age=0"
    assert "set-cookie" not in page.headers
    assert FALLBACK in page.text


@pytest.mark.parametrize("recipe", [starlette_page, cached_page])
async def test_a_gateway_that_is_away_leaves_the_pages_own_content(recipe: object) -> None:
    """The page is there, with what the shop wrote."""
    client = GatewayClient(f"http://{NOWHERE}/graphql", publishable_key=PUBLISHABLE_KEY)
    async with browser(recipe.create_app(client, PUBLISHABLE_KEY)) as shop:  # type: ignore[attr-defined]
        page = await shop.get("/")
    assert OWN in page.text


def test_a_page_is_kept_no_longer_than_its_banner_may_stand() -> None:
    """A schedule's end shortens the time; what is past is not kept at all."""
    now = datetime.now(UTC)
    decision = parsing.decision(DECISION, is_personal=False)
    ends = [timedelta(hours=1), timedelta(seconds=42), timedelta(seconds=-1)]
    assert [cached_page.cache_seconds(replace(decision, valid_until=now + end), now) for end in ends] == [300, 42, 0]
    assert cached_page.cache_seconds(None, now) == 10


def test_the_docs_show_the_code_that_runs() -> None:
    """Every file that docs/integrate.md names is there, and every name it imports from the client is public."""
    text = (ROOT / "docs" / "integrate.md").read_text()
    for link in re.findall(r"\]\((\.\./[^)#]+)\)", text):
        assert (ROOT / "docs" / link).exists(), link
    import personalization_gateway as public

    for names in re.findall(r"from personalization_gateway import ([\w, ]+)", text):
        assert set(names.split(", ")) <= set(public.__all__)
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        compile(block, "docs/integrate.md", "exec", flags=0x2000)  # PyCF_ALLOW_TOP_LEVEL_AWAIT
