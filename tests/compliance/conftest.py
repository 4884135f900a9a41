"""What the compliance tests share: packages of npm, the real gateway's application, a toy that can be restarted."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from local_stack.artifacts.npm import NODE, ensure_packages, environment

HERE = Path(__file__).parent
NODE_DEADLINE_S = 60.0


@pytest.fixture(scope="package", autouse=True)
def _the_stack_starts_meanwhile(request: pytest.FixtureRequest) -> None:
    """These tests do without the whole stack, and take as long as it needs to start for those that come after them."""
    if any(isinstance(item, pytest.Function) and "site" in item.fixturenames for item in request.session.items):
        request.getfixturevalue("starting_stack")


@pytest.fixture(scope="session")
def packages() -> Path:
    """The folder whose node_modules are installed."""
    ensure_packages(HERE)
    return HERE


async def run_node(script: str, *arguments: str) -> Any:
    """Run a script of this folder; its standard output, as JSON. What it says on standard error fails the test."""
    process = await asyncio.create_subprocess_exec(
        str(NODE),
        script,
        *arguments,
        cwd=HERE,
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(NODE_DEADLINE_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    assert out, err.decode()
    return json.loads(out)


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """Serve an application by uvicorn on a free loopback port; the address of its /graphql."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="websockets-sansio"))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/graphql"
        finally:
            server.should_exit = True
            await task
