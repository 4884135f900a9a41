"""GraphiQL at the real gateway's address, in a real Chromium."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.app import Gateway
from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.settings import Settings
from local_stack.artifacts.builds import GRAPHIQL, ensure_build
from local_stack.artifacts.npm import NODE, ensure_packages, environment
from tests.browser.node import DEADLINE_S, HERE
from tests.compliance.conftest import served

CAMPAIGNS = Path(__file__).parents[2] / "examples" / "storefront" / "campaigns.yaml"
PUBLISHABLE_KEY = "pk_test_0123456789abcdef"
STEPS = 9
MIB = 1024 * 1024


def make_gateway(directory: Path) -> Gateway:
    """The real application; banners are its fallbacks, since Redis is away."""
    settings = Settings.model_validate(
        {
            "token_secret": "0123456789abcdef" * 2,
            "publishable_keys": [PUBLISHABLE_KEY],
            "environment": "development",
            "graphiql_dir": directory,
            "redis_url": "redis://127.0.0.1:1/0",
        }
    )
    return Gateway(settings, load_ruleset(CAMPAIGNS.read_text(encoding="utf-8"), 1))


async def test_graphiql_in_a_browser() -> None:
    """Queries, mutations and subscriptions run with the header that was written, errors are shown, and nothing leaves the origin."""
    await asyncio.to_thread(ensure_packages, HERE)
    gateway = make_gateway(await asyncio.to_thread(ensure_build, GRAPHIQL))
    async with served(gateway.app) as url, asyncio.timeout(DEADLINE_S):
        process = await asyncio.create_subprocess_exec(
            str(NODE), "graphiql.mjs", url, PUBLISHABLE_KEY, cwd=HERE, env=environment(), stdout=asyncio.subprocess.PIPE
        )
        said = []
        try:
            assert process.stdout is not None
            async for line in process.stdout:
                said.append(line.decode())
                if line == b"shut down\n":
                    await gateway.close_streams()
            await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
    assert process.returncode == 0, "".join(said)
    assert len(said) == STEPS


def test_it_is_three_files_of_a_bounded_size() -> None:
    """A page, a script, a stylesheet with its fonts: 2 MiB at most, and no address of another server in the page."""
    files = {path.name: path.read_bytes() for path in ensure_build(GRAPHIQL).iterdir() if path.name != ".built"}
    assert sorted(files) == ["graphiql.css", "graphiql.js", "index.html"]
    assert sum(map(len, files.values())) <= 2 * MIB
    assert b"//" not in files["index.html"]
