"""The storefront on the real stack, in a real Chromium and without any script."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from pydantic import SecretStr

from examples.storefront.app import create_app
from examples.storefront.settings import Settings
from local_stack.artifacts.npm import NODE
from tests.browser.node import ensure_browser
from tests.support.stack_site import Site, until

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parent.parent.parent
SCRIPT = ROOT / "tests" / "browser" / "storefront.mjs"


@asynccontextmanager
async def shop_of(site: Site) -> AsyncIterator[str]:
    """The address of a shop with its panel, in front of the stack's gateway."""
    keys = site.stack.wiring.keys
    settings = Settings(
        gateway_url=site.stack.wiring.gateway_url,
        publishable_key=SecretStr(keys.publishable),
        secret_key=SecretStr(keys.secret),
        banner_deadline_ms=5000,
        panel=True,
    )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(settings), log_level="error", timeout_graceful_shutdown=2))
        task = asyncio.create_task(server.serve(sockets=[listener]))

        async def started() -> bool:
            return server.started

        try:
            await until(started, lambda: "the shop did not start")
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


async def test_the_storefront_in_a_browser(site: Site) -> None:
    """Open page, next page, panel, no script: the banner follows the cart, nothing moves, nothing leaves the shop's origin."""
    await asyncio.to_thread(ensure_browser)
    async with shop_of(site) as url:
        process = await asyncio.create_subprocess_exec(
            str(NODE), str(SCRIPT), url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        said, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, said.decode()
    assert said.decode().count("\n") == 4
