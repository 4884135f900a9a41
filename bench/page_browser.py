"""The processes of `bench/page`: a Node that drives Chromium (page.mjs), and the shop of the other pages (page_shop.py)."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from bench.end_to_end import BenchFailed
from bench.page_report import SWAP_S, Load
from local_stack.artifacts.npm import NODE, ensure_packages, environment
from local_stack.project import PROJECT_ROOT

_BROWSER: Final = PROJECT_ROOT / "tests" / "browser"
_ANSWER_S: Final = 60.0
_END_S: Final = 10.0


class Browser:
    """A Chromium that loads one page at a time, each in a context of its own: no cache, no cookies but those given."""

    def __init__(self, process: Process, version: str) -> None:
        self._process = process
        self.version = version
        self.pid = process.pid

    async def load(self, url: str, token: str | None, *, observe_ms: int, is_live: bool) -> Load:
        """Load a page as the visitor of the token, look at it for `observe_ms` after its load event, and measure.

        `is_live`: wait for its event stream, then put a phone into the cart and wait for the banner that answers it.
        Raises `BenchFailed` when the page cannot be loaded, or opens no stream.
        """
        asked = {"url": url, "token": token, "observeMs": observe_ms, "isLive": is_live, "swapMs": SWAP_S * 1000}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        await self._process.stdin.drain()
        found = await _answer(self._process)
        return Load(**{**found, "scripts": tuple(found["scripts"])})


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """The browser of tests/browser, whose packages are installed first."""
    await asyncio.to_thread(ensure_packages, _BROWSER)
    async with _process([str(NODE), str(PROJECT_ROOT / "bench" / "page.mjs")]) as process:
        yield Browser(process, str(await _answer(process)))


@asynccontextmanager
async def other_shop(gateway: str) -> AsyncIterator[tuple[str, int]]:
    """The address and process id of the shop in `page_shop.py`, which asks the gateway at this endpoint."""
    async with _process([sys.executable, "-m", "bench.page_shop", gateway]) as process:
        yield (await _line(process)).strip(), process.pid


@asynccontextmanager
async def _process(command: Sequence[str]) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(*command, cwd=PROJECT_ROOT, env=environment(), stdin=PIPE, stdout=PIPE)
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()  # both end when their input does
        try:
            await asyncio.wait_for(process.wait(), _END_S)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _answer(process: Process) -> Any:
    message = json.loads(await _line(process))
    if "failed" in message:
        raise BenchFailed(f"a page could not be measured: {message['failed']}")
    return message["done"]


async def _line(process: Process) -> str:
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), _ANSWER_S)
    except TimeoutError:
        raise BenchFailed(f"a process of the measurement said nothing for {_ANSWER_S:.0f} s") from None
    if not line:
        raise BenchFailed("a process of the measurement has ended; what it said is above")
    return line.decode()
