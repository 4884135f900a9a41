"""The figures of `bench/page`, what they mean for the hybrid page, and the report: a table for people, and JSON for programs."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from gateway.commands.percentiles import Percentiles, percentiles

BUSY_PERCENT: Final = 10.0
"""If other programs used more than this share of the processors, the figures say more about them."""
CONFIDENCE: Final = 0.95
FRAME_MS: Final = 1000 / 120
"""The frame of a fast display; on most displays it is twice as long."""
SWAP_S: Final = 15
"""How long a page has to show the banner that follows a cart event."""


class PageKind(StrEnum):
    """The pages that are compared: the same home page, with different ways to put the banner into it."""

    PLAIN = "plain"
    """The shop's own content, without a gateway query and without a script."""
    QUERIED = "queried"
    """The plain page, sent after one gateway query whose answer is discarded: the least that personalization must cost."""
    SERVER = "server"
    """The server, in the HTML, without a script."""
    HYBRID = "hybrid"
    """The server; then the snippet changes it while the page is open."""
    NEWCOMER = "newcomer"
    """`hybrid` for a visitor without a token: the server queries the gateway twice, one after the other."""
    CLIENT = "client"
    """The snippet, in place of the shop's own content."""
    PEER = "growthbook"
    """GrowthBook's script, in place of the shop's own content."""


LIVE: Final = frozenset({PageKind.HYBRID, PageKind.NEWCOMER, PageKind.CLIENT})
"""Pages with an event stream, which follow the cart."""
NEEDED: Final = frozenset({PageKind.PLAIN, PageKind.QUERIED, PageKind.HYBRID})
"""Pages that every comparison needs."""
DECIDED_BY_SERVER: Final = frozenset({PageKind.SERVER, PageKind.HYBRID, PageKind.NEWCOMER})


@dataclass(frozen=True, slots=True)
class PageLoad:
    """One load of a page, in milliseconds since the navigation started; None for what the page does not do."""

    ttfb_ms: float
    loaded_ms: float
    fcp_ms: float
    """The first paint with content."""
    lcp_ms: float
    """The largest paint, which browsers report in steps of 4 ms."""
    changed_ms: float | None
    """When a script replaced the banner that the page was loaded with."""
    script_ms: float
    """Script time of the main thread until the end of the observation. `busy_ms` is the time of all its tasks in the same period."""
    busy_ms: float
    live_ms: float | None
    """When the response headers of the event stream arrived."""
    swap_ms: float | None
    """From putting something into the cart to the banner that follows it, both in the page; also None if that banner never appeared."""
    shift: float
    """The sum of all layout shifts, including those of the swap: never less than CLS."""
    has_decision: bool
    """Whether the HTML contained the gateway's decision."""
    script_bytes: int
    """Bytes over the network, including response headers and the scripts that the swap loaded."""
    scripts: tuple[str, ...]
    """Addresses of the scripts."""

    @property
    def settled_ms(self) -> float:
        """When the page showed its final banner."""
        return max(self.fcp_ms, self.changed_ms or 0.0)


class Verdict(StrEnum):
    """What a run says about a promise."""

    HOLDS = "holds"
    OPEN = "open: too few loads, or too much other activity, to judge"
    BROKEN = "does not hold"


@dataclass(frozen=True, slots=True)
class Check:
    """A promise, and whether it holds."""

    promise: str
    verdict: Verdict
    detail: str


@dataclass(frozen=True, slots=True)
class PageMeasurements:
    """All loads of all pages: a list for each page, with one entry for each round."""

    loads: Mapping[PageKind, Sequence[PageLoad]]
    query_ms: Sequence[float]
    """Durations of the gateway client's `banners`, called between the loads."""
    script_gzip_bytes: Mapping[PageKind, int]
    others_percent: Sequence[float]
    """The share of the processors that other programs used, before and after."""

    def too_late(self, page: PageKind) -> int:
        """The number of loads for which the gateway answered after the shop's deadline: they were sent with the shop's own content."""
        return sum(not load.has_decision for load in self.loads[page]) if page in DECIDED_BY_SERVER else 0


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % confidence interval of the median, for any distribution (order statistics); unbounded for fewer than six values."""
    ordered = sorted(values)
    count = len(ordered)
    tail = (1 - CONFIDENCE) / 2
    below, rank = 0.0, 0
    while (below := below + math.comb(count, rank) / 2**count) <= tail:
        rank += 1
    return (-math.inf, math.inf) if rank == 0 else (ordered[rank - 1], ordered[count - rank])


def checks(measured: PageMeasurements) -> list[Check]:
    """The promises about the hybrid page, checked."""
    return [_first_paint(measured), _nothing_moves(measured), _nothing_flickers(measured), _all_answered(measured)]


def _first_paint(measured: PageMeasurements) -> Check:
    """Less than one frame later, with 95 % confidence: what arrives within a frame is painted with it."""
    pairs = zip(measured.loads[PageKind.HYBRID], measured.loads[PageKind.QUERIED], strict=True)
    delays_ms = [hybrid.fcp_ms - queried.fcp_ms for hybrid, queried in pairs]
    low, high = median_interval(delays_ms)
    verdict = Verdict.HOLDS if high < FRAME_MS else Verdict.BROKEN if low > 0 else Verdict.OPEN
    promise = "first paint: hybrid no later than the plain page after one gateway query"
    interval = f"{median(delays_ms):+.1f} ms (95 %: {low:+.1f} to {high:+.1f}, {len(delays_ms)} pairs)"
    return Check(promise, verdict, f"{interval}; a frame takes {FRAME_MS:.1f} ms")


def _nothing_moves(measured: PageMeasurements) -> Check:
    worst = max(load.shift for load in measured.loads[PageKind.HYBRID])
    promise = "layout: nothing moves in the hybrid page, even when the banner is swapped"
    return Check(promise, Verdict.BROKEN if worst else Verdict.HOLDS, f"largest sum of shifts {worst:g}")


def _nothing_flickers(measured: PageMeasurements) -> Check:
    loads = [load for load in measured.loads[PageKind.HYBRID] if load.has_decision]
    changed = sum(load.changed_ms is not None for load in loads)
    verdict = Verdict.BROKEN if changed else Verdict.HOLDS if loads else Verdict.OPEN
    return Check("flicker: the hybrid page keeps the banner of its HTML", verdict, f"{changed} of {len(loads)} loads changed it")


def _all_answered(measured: PageMeasurements) -> Check:
    loads = [load for page in LIVE & measured.loads.keys() for load in measured.loads[page]]
    lost = sum(load.swap_ms is None for load in loads)
    promise = "swap: the open page follows everything that is put into the cart"
    detail = f"{lost} of {len(loads)} cart events were not followed within {SWAP_S} s"
    return Check(promise, Verdict.BROKEN if lost else Verdict.HOLDS, detail)


_DURATIONS: Final[tuple[tuple[str, Callable[[PageLoad], float | None], bool], ...]] = (
    ("time to first byte", lambda load: load.ttfb_ms, True),
    ("first paint", lambda load: load.fcp_ms, True),
    ("largest paint", lambda load: load.lcp_ms, True),
    ("the banner is the right one", lambda load: load.settled_ms, True),
    ("load event", lambda load: load.loaded_ms, False),
    ("script time", lambda load: load.script_ms, False),
    ("main thread busy", lambda load: load.busy_ms, False),
    ("live stream open", lambda load: load.live_ms, False),
    ("cart event to new banner", lambda load: load.swap_ms, False),
)
"""Name, value, and whether it is compared with the plain page."""


_COUNTS: Final[tuple[tuple[str, Callable[[PageMeasurements, PageKind], float]], ...]] = (
    ("largest sum of layout shifts", lambda measured, page: max(load.shift for load in measured.loads[page])),
    ("banner changed by script", lambda measured, page: sum(load.changed_ms is not None for load in measured.loads[page])),
    ("scripts, bytes as sent", lambda measured, page: max(load.script_bytes for load in measured.loads[page])),
    ("scripts, bytes after gzip -9", lambda measured, page: measured.script_gzip_bytes[page]),
    ("loads", lambda measured, page: len(measured.loads[page])),
    ("gateway too late for the HTML", lambda measured, page: measured.too_late(page)),
)


def durations(loads: Sequence[PageLoad]) -> dict[str, Percentiles | None]:
    """Percentiles of each duration over these loads."""
    by_name = {name: [value(load) for load in loads] for name, value, _ in _DURATIONS}
    return {name: percentiles([value for value in values if value is not None]) for name, values in by_name.items()}


def ratios(measured: PageMeasurements) -> dict[str, dict[PageKind, float]]:
    """The median of each page as a multiple of the plain page's median."""
    plain = durations(measured.loads[PageKind.PLAIN])
    quotients: dict[str, dict[PageKind, float]] = {}
    for name, _, is_compared in _DURATIONS:
        base = plain[name]
        if is_compared and base is not None:
            rows = {page: durations(measured.loads[page])[name] for page in measured.loads}
            quotients[name] = {page: round(row.p50_ms / base.p50_ms, 2) for page, row in rows.items() if row is not None}
    return quotients


def as_json(measured: PageMeasurements, options: Mapping[str, object], browser: str) -> dict[str, Any]:
    """All figures; durations are in milliseconds."""
    query = percentiles(measured.query_ms)
    return {
        "machine": {"cpus": os.cpu_count(), "platform": platform.platform(), "browser": browser},
        "options": dict(options),
        "other_programs_percent": list(measured.others_percent),
        "gateway_query": None if query is None else asdict(query),
        "durations_ms": {page.value: _durations_json(loads) for page, loads in measured.loads.items()},
        "counts": {page.value: {name: count(measured, page) for name, count in _COUNTS} for page in measured.loads},
        "times_plain": {name: {page.value: ratio for page, ratio in row.items()} for name, row in ratios(measured).items()},
        "checks": [{"promise": check.promise, "verdict": check.verdict.name, "detail": check.detail} for check in checks(measured)],
    }


def _durations_json(loads: Sequence[PageLoad]) -> dict[str, Any]:
    return {name: None if row is None else asdict(row) for name, row in durations(loads).items()}


def show(measured: PageMeasurements) -> None:
    """Print the table, the gateway query, the activity of other programs, and the checks."""
    pages = list(measured.loads)
    table = Table(title="milliseconds since the navigation started: median (95th percentile)")
    table.add_column("")
    for page in pages:
        table.add_column(page.value, justify="right")
    by_page = {page: durations(measured.loads[page]) for page in pages}
    times_plain = ratios(measured)
    for name, _, _ in _DURATIONS:
        table.add_row(name, *(_cell(by_page[page][name]) for page in pages))
        if name in times_plain:
            table.add_row("  times plain", *(f"{times_plain[name][page]:.2f}" if page in times_plain[name] else "-" for page in pages))
    table.add_section()
    for name, count in _COUNTS:
        table.add_row(name, *(f"{count(measured, page):,.6g}" for page in pages))
    console = Console(width=140)
    console.print(table)
    console.print(f"one gateway query from the shop's server: {_cell(percentiles(measured.query_ms))} ms")
    busy = " (the machine is busy: measure again)" if max(measured.others_percent, default=0) > BUSY_PERCENT else ""
    shares = ", ".join(f"{share:.0f} %" for share in measured.others_percent)
    console.print(f"other programs used {shares} of the processors, before and after{busy}")
    for check in checks(measured):
        console.print(f"{check.promise}: {check.verdict}\n    {check.detail}", markup=False, highlight=False)


def _cell(durations: Percentiles | None) -> str:
    return "-" if durations is None else f"{durations.p50_ms:.1f} ({durations.p95_ms:.1f})"
