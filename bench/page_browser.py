"""The processes of `bench/page`: a Node process that drives Chromium (page.mjs), and the shop of the other pages (page_shop.py)."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from bench.end_to_end import BenchFailed
from bench.page_report import SWAP_S, PageLoad
from local_stack.artifacts.npm import NODE, ensure_packages, environment
from local_stack.project import PROJECT_ROOT

_BROWSER: Final = PROJECT_ROOT / "tests" / "browser"
_ANSWER_S: Final = 60.0
_END_S: Final = 10.0


class Browser:
    """A Chromium that loads one page at a time, each in its own context: without a cache, and only with the given cookies."""

    def __init__(self, process: Process, version: str) -> None:
        self._process = process
        self.version = version
        self.pid = process.pid

    async def load(self, url: str, token: str | None, *, observe_ms: int, is_live: bool) -> PageLoad:
        """Load a page as the token's visitor, observe it for `observe_ms` after its load event, and measure.

        `is_live`: wait for its event stream, then put a phone into the cart and wait for the banner that follows it.
        Raises `BenchFailed` if the page cannot be loaded or does not open a stream.
        """
        command = {"url": url, "token": token, "observeMs": observe_ms, "isLive": is_live, "swapMs": SWAP_S * 1000}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        await self._process.stdin.drain()
        measured = await _answer(self._process)
        return PageLoad(**{**measured, "scripts": tuple(measured["scripts"])})


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """The browser of tests/browser, whose packages are installed first."""
    await asyncio.to_thread(ensure_packages, _BROWSER)
    async with _process([str(NODE), str(PROJECT_ROOT / "bench" / "page.mjs")]) as process:
        yield Browser(process, str(await _answer(process)))


@asynccontextmanager
async def other_shop(gateway: str) -> AsyncIterator[tuple[str, int]]:
    """The address and process id of the shop in `page_shop.py`, which queries the gateway at this endpoint."""
    async with _process([sys.executable, "-m", "bench.page_shop", gateway]) as process:
        yield (await _line(process)).strip(), process.pid


@asynccontextmanager
async def _process(command: Sequence[str]) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(*command, cwd=PROJECT_ROOT, env=environment(), stdin=PIPE, stdout=PIPE)
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()  # both end when their input ends
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
        raise BenchFailed(f"a process of the measurement did not answer for {_ANSWER_S:.0f} s") from None
    if not line:
        raise BenchFailed("a process of the measurement has ended; its output is above")
    return line.decode()
