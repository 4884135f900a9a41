"""The figures of `bench/page`, what they say of the hybrid page, and the report: a table for people, the same as JSON for machines."""

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
"""When other programs took more of the processors, the figures say more about them."""
CONFIDENCE: Final = 0.95
FRAME_MS: Final = 1000 / 120
"""Of a fast display; most take twice as long."""
SWAP_S: Final = 15
"""How long a page is given to answer a cart event."""


class Page(StrEnum):
    """The pages that are compared: one home page, by who puts the banner into it."""

    PLAIN = "plain"
    """The shop's own content; no gateway is asked and no script is loaded."""
    QUERIED = "queried"
    """The plain page, sent after one gateway query whose answer is thrown away: what personalization must cost at least."""
    SERVER = "server"
    """The server, into the HTML; no script."""
    HYBRID = "hybrid"
    """The server, then the snippet changes it while the page is open."""
    NEWCOMER = "newcomer"
    """`hybrid` for a visitor without a token: the server asks the gateway twice, one after the other."""
    CLIENT = "client"
    """The snippet, in place of the shop's own content."""
    PEER = "growthbook"
    """GrowthBook's script, in place of the shop's own content."""


LIVE: Final = frozenset({Page.HYBRID, Page.NEWCOMER, Page.CLIENT})
"""Pages that listen, and follow the cart."""
NEEDED: Final = frozenset({Page.PLAIN, Page.QUERIED, Page.HYBRID})
"""Pages without which nothing can be said."""
DECIDED_BY_SERVER: Final = frozenset({Page.SERVER, Page.HYBRID, Page.NEWCOMER})


@dataclass(frozen=True, slots=True)
class Load:
    """One load of a page; milliseconds since the navigation began, None for what the page does not do."""

    ttfb_ms: float
    loaded_ms: float
    fcp_ms: float
    """First paint with content."""
    lcp_ms: float
    """Largest paint, which browsers tell in steps of 4 ms."""
    changed_ms: float | None
    """When a script put another banner in the place of the one that the page came with."""
    script_ms: float
    """Of the main thread, until the page had been looked at for long enough; so is `busy_ms`, which is all its tasks."""
    busy_ms: float
    live_ms: float | None
    """When the head of the event stream had come."""
    swap_ms: float | None
    """From putting something into the cart to the banner that answers it, both in the page; None also when it never came."""
    shift: float
    """All layout shifts, also those of the swap: never less than CLS."""
    has_decision: bool
    """Whether the HTML came with the gateway's decision."""
    script_bytes: int
    """As they went over the wire, with the heads of the answers; also of what the swap fetched."""
    scripts: tuple[str, ...]
    """Addresses."""

    @property
    def settled_ms(self) -> float:
        """When the banner that the page shows was there."""
        return max(self.fcp_ms, self.changed_ms or 0.0)


class Verdict(StrEnum):
    """What a run says of a promise."""

    HOLDS = "holds"
    OPEN = "open: too few loads, or too much else going on, to tell"
    BROKEN = "does not hold"


@dataclass(frozen=True, slots=True)
class Check:
    """A promise and what became of it."""

    promise: str
    verdict: Verdict
    detail: str


@dataclass(frozen=True, slots=True)
class Measured:
    """All loads of all pages, a list for each, one entry a round."""

    loads: Mapping[Page, Sequence[Load]]
    query_ms: Sequence[float]
    """Durations of the gateway client's `banners`, asked between the loads."""
    script_gzip_bytes: Mapping[Page, int]
    others_percent: Sequence[float]
    """What other programs took of the processors, before and after."""

    def too_late(self, page: Page) -> int:
        """Loads for which the gateway answered after the shop's deadline: sent with the shop's own content, and measured so."""
        return sum(not load.has_decision for load in self.loads[page]) if page in DECIDED_BY_SERVER else 0


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Where the true median lies with 95 % confidence, whatever the distribution (order statistics); no bounds for fewer than six."""
    ordered = sorted(values)
    count = len(ordered)
    tail = (1 - CONFIDENCE) / 2
    below, rank = 0.0, 0
    while (below := below + math.comb(count, rank) / 2**count) <= tail:
        rank += 1
    return (-math.inf, math.inf) if rank == 0 else (ordered[rank - 1], ordered[count - rank])


def checks(measured: Measured) -> list[Check]:
    """What is promised of the hybrid page."""
    return [_first_paint(measured), _nothing_moves(measured), _nothing_flickers(measured), _all_answered(measured)]


def _first_paint(measured: Measured) -> Check:
    """Not later by as much as a frame, with 95 % confidence: what comes within a frame is painted with it."""
    pairs = zip(measured.loads[Page.HYBRID], measured.loads[Page.QUERIED], strict=True)
    later = [hybrid.fcp_ms - queried.fcp_ms for hybrid, queried in pairs]
    low, high = median_interval(later)
    verdict = Verdict.HOLDS if high < FRAME_MS else Verdict.BROKEN if low > 0 else Verdict.OPEN
    promise = "first paint: hybrid no later than the plain page after one gateway query"
    return Check(
        promise, verdict, f"{median(later):+.1f} ms (95 %: {low:+.1f} to {high:+.1f}, {len(later)} pairs); a frame takes {FRAME_MS:.1f} ms"
    )


def _nothing_moves(measured: Measured) -> Check:
    worst = max(load.shift for load in measured.loads[Page.HYBRID])
    promise = "layout: nothing moves in the hybrid page, also when the banner is swapped"
    return Check(promise, Verdict.BROKEN if worst else Verdict.HOLDS, f"largest sum of shifts {worst:g}")


def _nothing_flickers(measured: Measured) -> Check:
    loads = [load for load in measured.loads[Page.HYBRID] if load.has_decision]
    changed = sum(load.changed_ms is not None for load in loads)
    verdict = Verdict.BROKEN if changed else Verdict.HOLDS if loads else Verdict.OPEN
    return Check("flicker: the hybrid page keeps the banner of its HTML", verdict, f"{changed} of {len(loads)} loads changed it")


def _all_answered(measured: Measured) -> Check:
    loads = [load for page in LIVE & measured.loads.keys() for load in measured.loads[page]]
    lost = sum(load.swap_ms is None for load in loads)
    promise = "swap: whatever goes into the cart, the open page answers it"
    return Check(promise, Verdict.BROKEN if lost else Verdict.HOLDS, f"{lost} of {len(loads)} were not answered within {SWAP_S} s")


_DURATIONS: Final[tuple[tuple[str, Callable[[Load], float | None], bool], ...]] = (
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
"""Name, value, and whether it is compared with the plain page's."""


_COUNTS: Final[tuple[tuple[str, Callable[[Measured, Page], float]], ...]] = (
    ("largest sum of layout shifts", lambda measured, page: max(load.shift for load in measured.loads[page])),
    ("banner changed by script", lambda measured, page: sum(load.changed_ms is not None for load in measured.loads[page])),
    ("scripts, bytes as sent", lambda measured, page: max(load.script_bytes for load in measured.loads[page])),
    ("scripts, bytes after gzip -9", lambda measured, page: measured.script_gzip_bytes[page]),
    ("loads", lambda measured, page: len(measured.loads[page])),
    ("gateway too late for the HTML", lambda measured, page: measured.too_late(page)),
)


def durations(loads: Sequence[Load]) -> dict[str, Percentiles | None]:
    """Percentiles of each duration over these loads."""
    found = {name: [value(load) for load in loads] for name, value, _ in _DURATIONS}
    return {name: percentiles([one for one in values if one is not None]) for name, values in found.items()}


def ratios(measured: Measured) -> dict[str, dict[Page, float]]:
    """How many times the plain page's median each page takes."""
    plain = durations(measured.loads[Page.PLAIN])
    found: dict[str, dict[Page, float]] = {}
    for name, _, is_compared in _DURATIONS:
        base = plain[name]
        if is_compared and base is not None:
            rows = {page: durations(measured.loads[page])[name] for page in measured.loads}
            found[name] = {page: round(row.p50_ms / base.p50_ms, 2) for page, row in rows.items() if row is not None}
    return found


def as_json(measured: Measured, options: Mapping[str, object], browser: str) -> dict[str, Any]:
    """Everything; durations in milliseconds."""
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


def _durations_json(loads: Sequence[Load]) -> dict[str, Any]:
    return {name: None if row is None else asdict(row) for name, row in durations(loads).items()}


def show(measured: Measured) -> None:
    """Print the table, the gateway query, what else went on, and the checks."""
    pages = list(measured.loads)
    table = Table(title="milliseconds since the navigation began: median (95th percentile)")
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
    busy = " (not a quiet machine: measure again)" if max(measured.others_percent, default=0) > BUSY_PERCENT else ""
    shares = ", ".join(f"{share:.0f} %" for share in measured.others_percent)
    console.print(f"other programs took {shares} of the processors, before and after{busy}")
    for check in checks(measured):
        console.print(f"{check.promise}: {check.verdict}\n    {check.detail}", markup=False, highlight=False)


def _cell(found: Percentiles | None) -> str:
    return "-" if found is None else f"{found.p50_ms:.1f} ({found.p95_ms:.1f})"
