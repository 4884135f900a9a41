"""The recipes for Node, each a process of its own: asked plainly, and opened in a real Chromium in front of the real gateway."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from local_stack.artifacts.builds import SNIPPET, ensure_build
from local_stack.artifacts.npm import BIN, NODE, ensure_packages, environment
from local_stack.machine.processes import kill_child, spawn
from local_stack.project import PROJECT_ROOT
from local_stack.stack.local_stack import LocalStack
from tests.browser.node import HERE, ensure_browser
from tests.support.client_gateways import DECISION, VISIT, BadServer, bad_server, http
from tests.support.stack_site import until

RECIPES: Final = PROJECT_ROOT / "examples" / "recipes"
NEXT: Final = RECIPES / "next"
NEXT_JS: Final = pytest.param("next", marks=pytest.mark.long)
"""Its packages and its build take a minute and more."""
ALL: Final = ["express", "react", "vue", NEXT_JS]
OWN: Final = '<live-banner placement="homepage-hero" aria-live="polite"><h2>Welcome</h2></live-banner>'
LATE_S: Final = 5.0
"""Far more than a page may wait for its banner, far less than what a silent gateway would take."""
PATIENT_MS: Final = 10_000
TOKEN: Final = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm9uXzEiLCJleHAiOjk5OTk5OTk5OTl9.c2lnbmF0dXJl"
"""Of an anonymous visitor, until the year 2286; the signature is none."""


def command(recipe: str, settings: dict[str, str]) -> list[str]:
    """Install and build what the recipe needs; how its server is started."""
    snippet = ensure_build(SNIPPET)
    ensure_packages(RECIPES)
    if recipe == "next":
        _build_next(snippet, settings)
        return [str(NODE), str(NEXT / "node_modules/next/dist/bin/next"), "start", str(NEXT), "--hostname", "127.0.0.1"]
    if (RECIPES / recipe / "build.mjs").exists():
        subprocess.run([str(NODE), str(RECIPES / recipe / "build.mjs")], env=settings, check=True, timeout=60)
    return [str(NODE), str(RECIPES / recipe / "server.mjs")]


def _build_next(snippet: Path, settings: dict[str, str]) -> None:
    """It takes some twenty seconds, so it is done only when a source has changed."""
    ensure_packages(NEXT)
    sources = [path for pattern in ("*.*js*", "app/**/*.*js*", "../*.mjs", "../react/*.jsx") for path in NEXT.glob(pattern)]
    sources += snippet.glob("*.*")
    wanted = hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in sorted(sources))).hexdigest()
    stamp = NEXT / ".next" / ".built"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    done = subprocess.run(
        [str(BIN / "npm"), "run", "build"], cwd=NEXT, env=settings, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    stamp.write_text(wanted)


@asynccontextmanager
async def shop(
    folder: Path, recipe: str, gateway: str, *, key: str = "pk_test", mode: str = "production", **more: str
) -> AsyncIterator[str]:
    """The address of a recipe's server in front of a gateway. `more` is added to its environment."""
    settings = {"GATEWAY_URL": gateway, "PUBLISHABLE_KEY": key, "PORT": "0", "NODE_ENV": mode, "NEXT_TELEMETRY_DISABLED": "1"}
    settings = {**environment(), **settings, **more}
    child = spawn(recipe, await asyncio.to_thread(command, recipe, settings), settings, folder / f"{recipe}.log")

    async def listens() -> bool:
        assert not child.dead, child.tail()
        return "http://" in child.output()

    try:
        await until(listens, child.tail)
        yield re.findall(r"http://127\.0\.0\.1:\d+", child.output())[0]
    finally:
        await asyncio.to_thread(kill_child, child)


async def good(server: BadServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A gateway for which everybody is new."""
    while True:
        asked = await server.request(reader)
        data: dict[str, Any] = (
            {"startVisit": {**VISIT, "token": TOKEN}} if asked["operationName"] == "StartVisit" else {"banners": [DECISION]}
        )
        writer.write(http(json.dumps({"data": data}).encode()))
        await writer.drain()


@pytest.mark.parametrize("recipe", ALL)
async def test_a_page_starts_its_visitor_once_and_asks_for_the_banner_once(recipe: str, tmp_path: Path) -> None:
    """The first page sends the cookie and shows that visitor's banner; the second page comes with the cookie and only asks."""
    async with (
        bad_server(good) as server,
        shop(tmp_path, recipe, server.endpoint, BANNER_DEADLINE_MS=str(PATIENT_MS)) as url,
        httpx.AsyncClient() as visitor,
    ):
        first, second = await visitor.get(url), await visitor.get(url)
    assert f"visitor_token={TOKEN};" in first.headers["set-cookie"]
    assert "set-cookie" not in second.headers
    assert [asked["operationName"] for asked in server.requests] == ["StartVisit", "Banners", "Banners"]
    for page in (first, second):
        assert 'data-decision-id="d1" data-banner-id="b1" data-campaign-id="deals"' in page.text
        assert page.headers["cache-control"].startswith("private, ")
        assert "no-store" in page.headers["cache-control"]


@pytest.mark.parametrize("recipe", ALL)
async def test_a_gateway_in_trouble_leaves_the_pages_own_content(recipe: str, tmp_path: Path) -> None:
    """Whether it says nothing or hangs up, the page comes in time; its path to the gateway says what is wrong."""
    hangs_up = False

    async def behave(server: BadServer, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await server.request(reader)
        if not hangs_up:
            await asyncio.sleep(60)

    async with bad_server(behave) as server, shop(tmp_path, recipe, server.endpoint) as url, httpx.AsyncClient(timeout=LATE_S) as visitor:
        slow = await visitor.get(url)
        assert len(server.requests) == 1
        hangs_up = True
        away = await visitor.get(url)
        path = await visitor.post(f"{url}/graphql", json={"query": "{ __typename }"})
    assert OWN in slow.text
    assert OWN in away.text
    assert path.status_code == 502


@pytest.mark.parametrize("recipe", ["express", NEXT_JS])
async def test_cookies_stay_with_the_shop(recipe: str, tmp_path: Path) -> None:
    """What goes through the page's own path to the gateway has the credential, and no cookie."""
    heads: list[str] = []

    async def behave(_: BadServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
        writer.write(http(b'{"data": {}}'))
        await writer.drain()

    async with bad_server(behave) as server, shop(tmp_path, recipe, server.endpoint) as url, httpx.AsyncClient() as visitor:
        headers = {"cookie": "visitor_token=x; session=y", "authorization": "Bearer z"}
        answer = await visitor.post(f"{url}/graphql", json={"query": "{ __typename }"}, headers=headers)
    assert answer.json() == {"data": {}}
    assert len(heads) == 1
    assert "authorization: bearer z\r\n" in heads[0]
    assert "cookie" not in heads[0]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("recipe", "mode", "held"),
    [
        ("express", "production", 3),
        ("react", "development", 5),
        ("react", "production", 5),
        ("vue", "development", 5),
        ("vue", "production", 5),
        pytest.param("next", "production", 4, marks=pytest.mark.long),
    ],
)
async def test_in_a_browser(stack: LocalStack, recipe: str, mode: str, held: int, tmp_path: Path) -> None:
    """What tests/browser/recipes.mjs says holds: adopted and hydrated without a complaint, and the banner follows the visitor."""
    await asyncio.to_thread(ensure_browser)
    wiring, patient = stack.wiring, str(PATIENT_MS)
    gateway = f"{wiring.gateway_url}/graphql"
    async with shop(tmp_path, recipe, gateway, key=wiring.keys.publishable, mode=mode, BANNER_DEADLINE_MS=patient) as url:
        settings = json.dumps({"recipe": recipe, "url": url, "gateway": wiring.gateway_url})
        process = await asyncio.create_subprocess_exec(
            str(NODE),
            str(HERE / "recipes.mjs"),
            settings,
            env=environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, said.decode()
    assert said.decode().count("\n") == held
