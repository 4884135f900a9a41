"""The page GraphiQL at the endpoint's address: who gets it, and what it may do."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from gateway.api.schema import build_schema
from gateway.app import Gateway
from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.settings import Settings
from gateway.transport.documents.persisted_documents import check_documents

ROOT = Path(__file__).parents[3]
CAMPAIGNS = ROOT / "examples" / "storefront" / "campaigns.yaml"
NAVIGATION = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}
HTML = '<meta property="csp-nonce" nonce="{nonce}"><script src="graphql/assets/graphiql.js"></script>'


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """As `npm run build` leaves it."""
    for name, text in {"index.html": HTML, "graphiql.js": "run()", "graphiql.css": "main {}", ".built": "hash"}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@asynccontextmanager
async def opened(environment: str, directory: Path | None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the real application."""
    settings = Settings.model_validate(
        {"token_secret": "0123456789abcdef" * 2, "environment": environment, "graphiql_dir": directory},
    )
    app = Gateway(settings, load_ruleset(CAMPAIGNS.read_text(encoding="utf-8"), 1)).app
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway.test") as client:
        yield client


async def test_a_browser_that_opens_the_address_gets_the_page(directory: Path) -> None:
    """With a fresh nonce each time, and a policy that allows nothing from elsewhere and no script but its file."""
    nonces = set()
    async with opened("development", directory) as client:
        for _ in range(2):
            page = await client.get("/graphql", headers=NAVIGATION)
            assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
            policy = page.headers["content-security-policy"]
            (nonce,) = re.findall("'nonce-([^']+)'", policy)
            assert f'nonce="{nonce}"' in page.text
            nonces.add(nonce)
            assert "default-src 'none'; script-src 'self';" in policy
            assert "connect-src 'self'" in policy
            assert "frame-ancestors 'none'" in policy
            assert not re.search("unsafe|https?:", policy)
            assert page.headers["x-content-type-options"] == "nosniff"
            assert "Accept" in page.headers["vary"]
    assert len(nonces) == 2


async def test_its_assets_are_served_and_nothing_beside_them(directory: Path) -> None:
    """Two files by name; what else lies in the folder, or above it, is not there."""
    async with opened("development", directory) as client:
        for name, kind in {"graphiql.js": "text/javascript", "graphiql.css": "text/css"}.items():
            asset = await client.get(f"/graphql/assets/{name}")
            assert (asset.text, asset.headers["content-type"]) == ((directory / name).read_text(), f"{kind}; charset=utf-8")
            assert asset.headers["x-content-type-options"] == "nosniff"
            assert asset.headers["content-security-policy"].startswith("default-src 'none'")
        for name in (".built", "index.html", "other.js", "%2e%2e%2fgraphiql.js", "..%2f..%2fetc%2fpasswd"):
            assert (await client.get(f"/graphql/assets/{name}")).status_code == 404


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"accept": "*/*"}, ""),
        ({"accept": "application/json"}, ""),
        ({"accept": "text/html, application/json"}, ""),
        ({"accept": "text/event-stream, text/html"}, ""),
        (NAVIGATION, "?query=%7B__typename%7D"),
        (NAVIGATION, f"?documentId=sha256:{'0' * 64}"),
    ],
)
async def test_all_other_requests_reach_the_endpoint(directory: Path, headers: dict[str, str], query: str) -> None:
    """A GET that names an operation or accepts GraphQL's types is answered as in production: without proof against forgery, 403."""
    answers = []
    for environment in ("development", "production"):
        async with opened(environment, directory) as client:
            answers.append(await client.get(f"/graphql{query}", headers=headers))
    one, other = answers
    assert (one.status_code, one.json(), one.headers) == (other.status_code, other.json(), other.headers)
    assert one.status_code == 403


async def test_posts_of_a_browser_reach_the_endpoint(directory: Path) -> None:
    """Whatever they accept."""
    async with opened("development", directory) as client:
        answer = await client.post("/graphql", json={"query": "{ __typename }"}, headers=NAVIGATION)
    assert answer.json() == {"data": {"__typename": "Query"}}


async def test_production_has_neither_page_nor_assets(directory: Path) -> None:
    """Although the folder is set: a browser is told what any GET is told, and the assets do not exist."""
    async with opened("production", directory) as client:
        page = await client.get("/graphql", headers=NAVIGATION)
        assert (page.status_code, page.headers["content-type"]) == (403, "application/json; charset=utf-8")
        assert (await client.get("/graphql/assets/graphiql.js")).status_code == 404


@pytest.mark.parametrize("setting", ["not set", "no such folder", "empty folder"])
async def test_where_it_is_not_built_the_browser_is_told_how(tmp_path: Path, setting: str) -> None:
    """By a plain text; once it is built, the same gateway shows it."""
    folder = {"not set": None, "no such folder": tmp_path / "dist", "empty folder": tmp_path}[setting]
    async with opened("development", folder) as client:
        told = await client.get("/graphql", headers=NAVIGATION)
        assert (told.status_code, told.headers["content-type"]) == (404, "text/plain; charset=utf-8")
        assert "npm ci && npm run build" in told.text
        assert ("GATEWAY_GRAPHIQL_DIR is not set" if folder is None else str(folder)) in told.text
        assert (await client.get("/graphql/assets/graphiql.js")).status_code == 404
        if folder is not None:
            folder.mkdir(exist_ok=True)
            (folder / "index.html").write_text(HTML)
            assert (await client.get("/graphql", headers=NAVIGATION)).status_code == 200


def test_the_operations_it_begins_with_fit_the_schema() -> None:
    """They can be run in production, too."""
    welcome = (ROOT / "graphiql" / "src" / "welcome.graphql").read_text("utf-8")
    check_documents(build_schema(), [welcome], production=True)
