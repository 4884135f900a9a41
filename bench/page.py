"""What does a live banner cost a page? The storefront's home page in a real Chromium, with and without it, on the real stack.

The pages are loaded in turn, in a random order in each round, every load in a browser context of its own:

  plain       the shop's own content: no gateway is asked, no script is loaded
  queried     the same, sent after one gateway query whose answer is thrown away
  server      the banner in the HTML, no script
  hybrid      the banner in the HTML, then the snippet keeps it up to date
  newcomer    the same for a visitor without a token, for whom the server asks the gateway twice
  client      the shop's own content, then the snippet puts the banner in
  growthbook  the shop's own content, then GrowthBook's script tag puts a banner in; what its servers would send comes from this machine

Measured in each: time to first byte, first and largest paint, layout shifts, script time, bytes of scripts (also of those that the
first swap fetches), the moment at which the event stream is open, and from a cart event to the banner that answers it. The hybrid page
may be painted no later than the queried one. Between the loads the gateway's client is asked for a banner, too: how long that takes
where no browser is at work.
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
from bench.page_report import LIVE, NEEDED, Load, Measured, Page, Verdict, as_json, checks, show
from bench.page_shop import PEER, QUERIED, QUERY_S, query
from bench.sizes import PEERS
from gateway.client import Deadline, GatewayClient
from local_stack.artifacts.npm import ensure_packages
from local_stack.console import say
from local_stack.demo import warmup
from local_stack.errors import StackError
from local_stack.project import PROJECT_ROOT
from local_stack.stack.info import StackInfo, read_info
from local_stack.stack.local_stack import LocalStack

RESULT_FILE: Final = PROJECT_ROOT / "bench" / "results" / "page.json"
QUIET_S: Final = 3.0
PAUSE_S: Final = 0.3
"""After each load: what its events set going comes to rest before the next one."""
_EXAMPLES: Final = """\
examples:
  scripts/bench page                                    30 loads of each page, on a stack of its own
  scripts/bench page --loads 100                        narrower intervals
  scripts/bench page --pages plain,queried,hybrid --loads 200 --observe-ms 400     the first paint alone
  scripts/bench page --stack .local/stack.json          on the stack that runs
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; 0 unless a promise was seen broken (1) or nothing could be measured (2)."""
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
    add("--loads", type=_count, default=30, help="loads of each page (default 30; fewer than 6 tell nothing of the first paint)")
    add("--pages", type=_pages, default=tuple(Page), metavar="NAME,...", help="these only (default: all)")
    add("--warmup", type=_count, default=3, help="loads of each page before measuring (default 3)")
    add("--observe-ms", type=int, default=1200, help="how long each page is looked at after its load event (default 1200)")
    add("--seed", type=int, default=1, help="of the order of the pages (default 1)")
    add("--port-base", type=int, default=25000, metavar="N", help="of the stack it starts (default 25000)")
    add("--stack", type=Path, metavar="FILE", help="stack.json of a running stack with a storefront, to measure that one")
    add("--output", type=Path, default=RESULT_FILE, metavar="FILE", help="where the JSON goes (bench/results/page.json)")
    return parser


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _pages(text: str) -> tuple[Page, ...]:
    names = text.split(",")
    unknown = set(names) - set(Page)
    if unknown or NEEDED - set(names):
        raise argparse.ArgumentTypeError(f"must be of {', '.join(Page)}, with {', '.join(sorted(NEEDED))} among them")
    return tuple(page for page in Page if page in names)


def _measure_running(options: argparse.Namespace) -> tuple[Measured, str]:
    info = read_info(options.stack)
    if info is None or info.storefront.pid is None:
        raise BenchFailed(f"{options.stack} names no running storefront: does the stack run?")
    return _run(info, options)


def _measure_own(options: argparse.Namespace) -> tuple[Measured, str]:
    with TemporaryDirectory(prefix="bench-page-") as folder, LocalStack(Path(folder), options.port_base) as stack:
        warmup.run(stack.info())
        return _run(stack.info(), options)


def _run(info: StackInfo, options: argparse.Namespace) -> tuple[Measured, str]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(info, options))


async def _measure(info: StackInfo, options: argparse.Namespace) -> tuple[Measured, str]:
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
    return Measured(rounds.loads, rounds.query_ms, weights, (before, after)), chromium.version


def _addresses(storefront: str, other: str) -> dict[Page, str]:
    return {
        Page.PLAIN: f"{other}/",
        Page.QUERIED: f"{other}/?{QUERIED}",
        Page.SERVER: f"{storefront}/?render=server",
        Page.HYBRID: f"{storefront}/",
        Page.NEWCOMER: f"{storefront}/",
        Page.CLIENT: f"{storefront}/?render=client",
        Page.PEER: f"{other}/?{PEER}",
    }


class _Rounds:
    """Loads every page once a round, in a random order, each as a new visitor; one gateway query before each load."""

    def __init__(self, chromium: Browser, client: GatewayClient, addresses: Mapping[Page, str], options: argparse.Namespace) -> None:
        self._chromium = chromium
        self._client = client
        self._addresses = addresses
        self._pages: tuple[Page, ...] = options.pages
        self._observe_ms: int = options.observe_ms
        self._random = random.Random(options.seed)
        self.forget()

    def forget(self) -> None:
        """Begin to count."""
        self.loads: dict[Page, list[Load]] = {page: [] for page in self._pages}
        self.query_ms: list[float] = []

    async def run(self, rounds: int) -> None:
        """Raises `BenchFailed` when a page or the gateway does not do what the measurement needs."""
        for _ in range(rounds):
            for page in self._random.sample(self._pages, len(self._pages)):
                token = await self._visitor()
                self.query_ms.append(await self._query(token))
                shown = None if page in (Page.PLAIN, Page.PEER, Page.NEWCOMER) else token
                address = self._addresses[page]
                self.loads[page].append(await self._chromium.load(address, shown, observe_ms=self._observe_ms, is_live=page in LIVE))
                await asyncio.sleep(PAUSE_S)

    async def _visitor(self) -> str:
        started = await self._client.start_visit(deadline=Deadline.after(QUERY_S))
        if started is None:
            raise BenchFailed("the gateway starts no visit; its log says why")
        return started.token

    async def _query(self, token: str) -> float:
        began = time.perf_counter()
        await query(self._client, token)
        return (time.perf_counter() - began) * 1000


async def _others_percent(pids: Mapping[str, int]) -> float:
    """What other programs take of the processors, while we rest: a browser's children come and go too fast to be counted at work."""
    meter = CpuMeter(pids)
    await asyncio.sleep(QUIET_S)
    return meter.read().others


async def _gzip_bytes(loads: Sequence[Load]) -> int:
    addresses = {address for load in loads for address in load.scripts}
    async with httpx.AsyncClient(trust_env=False) as http:
        return sum([len(gzip.compress((await http.get(address)).raise_for_status().content, 9, mtime=0)) for address in addresses])
