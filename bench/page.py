"""What does a live banner cost a page? The storefront's home page in a real Chromium, with and without it, on the real stack.

In each round the pages are loaded in a random order, every load in its own browser context:

  plain       the shop's own content: without a gateway query and without a script
  queried     the same, sent after one gateway query whose answer is discarded
  server      the banner in the HTML, without a script
  hybrid      the banner in the HTML, which the snippet then keeps up to date
  newcomer    the same for a visitor without a token, for whom the server queries the gateway twice
  client      the shop's own content, into which the snippet then puts the banner
  growthbook  the shop's own content, into which GrowthBook's script tag puts a banner; this machine sends what its servers would send

Measured for each page: time to first byte, first and largest paint, layout shifts, script time, bytes of scripts (including those
that the first swap loads), when the event stream is open, and the time from a cart event to the banner that follows it. The hybrid
page must not be painted later than the queried one. Between the loads the gateway's client requests a banner, to measure a query
while no browser is working.
Absolute figures depend on the machine; the ratios and the checks at the end are the result.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import random
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import httpx
import uvloop

from bench.cpu_share import CpuMeter
from bench.end_to_end import BenchFailed
from bench.page_browser import Browser, browser, other_shop
from bench.page_report import LIVE, NEEDED, PageKind, PageLoad, PageMeasurements, Verdict, as_json, checks, show
from bench.page_shop import PEER, QUERIED, QUERY_S, query
from bench.sizes import PEERS
from local_stack.artifacts.npm import ensure_packages
from local_stack.console import say
from local_stack.demo import warmup
from local_stack.errors import StackError
from local_stack.project import PROJECT_ROOT
from local_stack.stack.info import StackInfo, read_info
from local_stack.stack.local_stack import LocalStack
from personalization_gateway import Deadline, GatewayClient

RESULT_FILE: Final = PROJECT_ROOT / "bench" / "results" / "page.json"
QUIET_S: Final = 3.0
PAUSE_S: Final = 0.3
"""Pause after each load, until the effects of its events are over."""
_EXAMPLES: Final = """\
examples:
  scripts/bench page                                    30 loads of each page, on its own stack
  scripts/bench page --loads 100                        narrower intervals
  scripts/bench page --pages plain,queried,hybrid --loads 200 --observe-ms 400     only the first paint
  scripts/bench page --stack .local/stack.json          on a running stack
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; returns 0, or 1 if a promise is broken, or 2 if nothing could be measured."""
    options = _parser().parse_args(arguments)
    try:
        ensure_packages(PEERS)
        measured, version = _measure_running(options) if options.stack is not None else _measure_own(options)
    except (StackError, BenchFailed, httpx.HTTPError, OSError) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    show(measured)
    used = {name: getattr(options, name) for name in ("loads", "warmup", "observe_ms", "seed")}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(as_json(measured, used, version), indent=2) + "\n")
    print(f"written to {options.output}")
    return 1 if any(check.verdict is Verdict.BROKEN for check in checks(measured)) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench page", description=__doc__, epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--loads", type=_count, default=30, help="loads of each page (default 30; with fewer than 6 the first paint cannot be judged)")
    add("--pages", type=_pages, default=tuple(PageKind), metavar="NAME,...", help="only these pages (default: all)")
    add("--warmup", type=_count, default=3, help="loads of each page before measuring (default 3)")
    add("--observe-ms", type=int, default=1200, help="milliseconds to observe each page after its load event (default 1200)")
    add("--seed", type=int, default=1, help="seed of the order of the pages (default 1)")
    add("--port-base", type=int, default=25000, metavar="N", help="first port of its own stack (default 25000)")
    add("--stack", type=Path, metavar="FILE", help="stack.json of a running stack with a storefront, to measure that stack")
    add("--output", type=Path, default=RESULT_FILE, metavar="FILE", help="file for the JSON (default bench/results/page.json)")
    return parser


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _pages(text: str) -> tuple[PageKind, ...]:
    names = text.split(",")
    unknown = set(names) - set(PageKind)
    if unknown or NEEDED - set(names):
        raise argparse.ArgumentTypeError(f"must be names of {', '.join(PageKind)}, and include {', '.join(sorted(NEEDED))}")
    return tuple(page for page in PageKind if page in names)


def _measure_running(options: argparse.Namespace) -> tuple[PageMeasurements, str]:
    info = read_info(options.stack)
    if info is None or info.storefront.pid is None:
        raise BenchFailed(f"{options.stack} has no running storefront: is the stack running?")
    return _run(info, options)


def _measure_own(options: argparse.Namespace) -> tuple[PageMeasurements, str]:
    with TemporaryDirectory(prefix="bench-page-") as folder, LocalStack(Path(folder), options.port_base) as stack:
        warmup.run(stack.info())
        return _run(stack.info(), options)


def _run(info: StackInfo, options: argparse.Namespace) -> tuple[PageMeasurements, str]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(info, options))


async def _measure(info: StackInfo, options: argparse.Namespace) -> tuple[PageMeasurements, str]:
    endpoint = f"{info.gateway.url}/graphql"
    async with (
        browser() as chromium,
        other_shop(endpoint) as (other_url, other_pid),
        GatewayClient(endpoint, publishable_key=info.keys.publishable) as client,
    ):
        rounds = _Rounds(chromium, client, _addresses(info.storefront.url, other_url), options)
        say(f"{chromium.version}: {options.warmup} loads of each page to warm up, then {options.loads}")
        await rounds.run(options.warmup)
        rounds.forget()
        pids = {**info.pids, "other shop": other_pid, "browser": chromium.pid}
        before = await _others_percent(pids)
        await rounds.run(options.loads)
        after = await _others_percent(pids)
        weights = {page: await _gzip_bytes(rounds.loads[page]) for page in options.pages}
    return PageMeasurements(rounds.loads, rounds.query_ms, weights, (before, after)), chromium.version


def _addresses(storefront: str, other: str) -> dict[PageKind, str]:
    return {
        PageKind.PLAIN: f"{other}/",
        PageKind.QUERIED: f"{other}/?{QUERIED}",
        PageKind.SERVER: f"{storefront}/?render=server",
        PageKind.HYBRID: f"{storefront}/",
        PageKind.NEWCOMER: f"{storefront}/",
        PageKind.CLIENT: f"{storefront}/?render=client",
        PageKind.PEER: f"{other}/?{PEER}",
    }


class _Rounds:
    """In each round loads every page once, in a random order, each as a new visitor, with one gateway query before each load."""

    def __init__(self, chromium: Browser, client: GatewayClient, addresses: Mapping[PageKind, str], options: argparse.Namespace) -> None:
        self._chromium = chromium
        self._client = client
        self._addresses = addresses
        self._pages: tuple[PageKind, ...] = options.pages
        self._observe_ms: int = options.observe_ms
        self._random = random.Random(options.seed)
        self.forget()

    def forget(self) -> None:
        """Discard the loads so far."""
        self.loads: dict[PageKind, list[PageLoad]] = {page: [] for page in self._pages}
        self.query_ms: list[float] = []

    async def run(self, rounds: int) -> None:
        """Load the pages. Raises `BenchFailed` if a page or the gateway does not do what the measurement needs."""
        for _ in range(rounds):
            for page in self._random.sample(self._pages, len(self._pages)):
                token = await self._visitor()
                self.query_ms.append(await self._query(token))
                shown = None if page in (PageKind.PLAIN, PageKind.PEER, PageKind.NEWCOMER) else token
                address = self._addresses[page]
                self.loads[page].append(await self._chromium.load(address, shown, observe_ms=self._observe_ms, is_live=page in LIVE))
                await asyncio.sleep(PAUSE_S)

    async def _visitor(self) -> str:
        started = await self._client.start_visit(deadline=Deadline.after(QUERY_S))
        if started is None:
            raise BenchFailed("the gateway does not start a visit; its log has the reason")
        return started.token

    async def _query(self, token: str) -> float:
        started = time.perf_counter()
        await query(self._client, token)
        return (time.perf_counter() - started) * 1000


async def _others_percent(pids: Mapping[str, int]) -> float:
    """The share of the processors that other programs use, while nothing is measured: during the work a browser's child processes come
    and go too fast to be counted."""
    meter = CpuMeter(pids)
    await asyncio.sleep(QUIET_S)
    return meter.read().others


async def _gzip_bytes(loads: Sequence[PageLoad]) -> int:
    addresses = {address for load in loads for address in load.scripts}
    async with httpx.AsyncClient(trust_env=False) as http:
        return sum([len(gzip.compress((await http.get(address)).raise_for_status().content, 9, mtime=0)) for address in addresses])
