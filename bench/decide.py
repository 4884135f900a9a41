"""How long a decision takes, and how that grows with the number of campaigns of a placement, compared with parsing the context's JSON.

Every campaign has its own condition. "by category": each condition requires another category of interest, so only those with the
visitor's category are evaluated. "all asked": conditions on numbers only, all of which have to be evaluated. Among these, "last
wins" is the slowest case; "third wins" stops after the group of conditions that contains the first true one.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.decisions.decide import Inputs, decide
from gateway.model.rulesets.ruleset import Ruleset

NOW_MS: Final = 1_790_000_000_000
SIZES: Final = (10, 100, 1000)
CONTEXT: Final[dict[str, Any]] = {
    "user_id": "12345",
    "interested_category": "smartphones",
    "interests": {f"category-{n}": 1.0 / (n + 1) for n in range(20)},
    "cart": [{"product_id": f"p{n}", "category": "smartphones", "quantity": 1, "price": "99.00", "currency": "EUR"} for n in range(5)],
    "recent_products": [f"p{n}" for n in range(50)],
    "last_search": "usb-c",
    "purchases": {"count": 2, "totals": {"EUR": "198.00"}, "last_at": None, "products": []},
    "banners": {},
    "traits": {"tier": "gold"},
    "consent": {"personalization": True, "measurement": None},
    "stable_id": "12345",
    "version": 60,
    "positions": {"user_actions/0": 41},
}


def ruleset(size: int, winner: int, *, by_category: bool) -> Ruleset:
    """A placement with `size` campaigns, of which only the one at index `winner` applies."""
    lines = ["version: 1", "placements: {hero: {}}", "campaigns:"]
    for number in range(size):
        if by_category:
            wanted = "smartphones" if number == winner else f"other-{number}"
            when = f'interested_category == "{wanted}" && size(cart) >= {number % 5} && purchases.count >= 1'
        else:
            when = f'purchases.count >= {1 if number == winner else number + 3} && size(cart) >= {number % 5} && interested_category != ""'
        lines.append(f"  - {{id: c{number}, placement: hero, priority: {size - number}, when: '{when}', banner: {{headline: h}}}}")
    return load_ruleset("\n".join(lines), 1)


def timed_us(work: Callable[[], object], seconds: float) -> list[float]:
    """The CPU time of each call in microseconds, sorted, measured for about `seconds`."""
    for _ in range(20):
        work()
    times_us: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        started = time.process_time_ns()
        work()
        times_us.append((time.process_time_ns() - started) / 1000)
    return sorted(times_us)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/bench decide", description=__doc__, epilog="example: scripts/bench decide --seconds 5")
    parser.add_argument("--seconds", type=float, default=3.0, help="duration of each case (default %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("bench/results/decide.json"), help="file for the JSON (default %(default)s)")
    options = parser.parse_args(arguments)
    stored = orjson.dumps(CONTEXT)
    peer = timed_us(lambda: orjson.loads(stored), options.seconds)
    rows: dict[str, dict[str, float]] = {"read the context's JSON": _row(peer, peer)}
    for size in SIZES:
        for name, winner, by_category in (
            ("by category, last wins", size - 1, True),
            ("all asked, third wins", 2, False),
            ("all asked, last wins", size - 1, False),
        ):
            rules = ruleset(size, winner, by_category=by_category)
            inputs = Inputs(CONTEXT, None, NOW_MS, "12345")
            if decide(rules, "hero", inputs).campaign_id != f"c{winner}":
                raise AssertionError("the wrong campaign was chosen, so nothing was measured")
            rows[f"{size} campaigns, {name}"] = _row(
                timed_us(lambda rules=rules, inputs=inputs: decide(rules, "hero", inputs), options.seconds),  # type: ignore[misc]
                peer,
            )
    print(f"{'CPU microseconds':<40}{'p50':>10}{'p99':>10}{'times the JSON':>16}")
    for name, row in rows.items():
        print(f"{name:<40}{row['p50_us']:>10.1f}{row['p99_us']:>10.1f}{row['ratio']:>16.1f}")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def _row(times_us: list[float], peer_us: list[float]) -> dict[str, float]:
    def rank(ordered: list[float], share: float) -> float:
        return ordered[int(share * (len(ordered) - 1))]

    p50 = rank(times_us, 0.5)
    return {"p50_us": p50, "p99_us": rank(times_us, 0.99), "ratio": p50 / rank(peer_us, 0.5)}
