"""How long it takes to refuse a hostile document: before any of it is run, by the limit that it exceeds.

For comparison: parsing and checking an ordinary document.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from graphql import parse

from gateway.transport.documents.limits import DocumentLimits, DocumentTooLarge, check_document, check_text

LIMITS: Final = DocumentLimits()
AIM_MS: Final = 5.0
USUAL: Final = "{ node { " + " ".join(f"a{n}: name" for n in range(20)) + " } }"


def _bomb() -> str:
    spreads = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(30))
    return f"{{ ...F0 }} {spreads} fragment F30 on Query {{ hello }}"


def _deep_by_fragments() -> str:
    first = "fragment A on Query { " + "node { " * 6 + "...B " + "} " * 7
    return "{ ...A } " + first + "fragment B on Node { " + "node { " * 6 + "name " + "} " * 7


def _aliases_by_fragments() -> str:
    own = " ".join(f"a{n}: name" for n in range(20))
    return f"{{ node {{ {own} ...F }} }} fragment F on Node {{ {' '.join(f'b{n}: name' for n in range(11))} }}"


ATTACKS: Final[tuple[tuple[str, str], ...]] = (
    ("document_bytes", "{ hello } #" + "x" * 16384),
    ("document_bytes", "{ hello } #" + "é" * 8192),
    ("tokens", "{ " + "hello " * 999 + "}"),
    ("nesting", "{ a(x: " + "[" * 40 + "]" * 40 + ") }"),
    ("nesting", "{ node" * 40 + "}" * 40),
    ("depth", "{ node" * 12 + "{ name }" + "}" * 12),
    ("depth", _deep_by_fragments()),
    ("aliases", _aliases_by_fragments()),
    ("root_fields", "{ " + "hello " * 21 + "}"),
    ("fields", "{ node { " + "name " * 400 + "} }"),
    ("directives", "{ node { " + "name @skip(if: false) " * 21 + "} }"),
    ("directives", "query " + "@a " * 21 + "{ hello }"),
    ("root_fields", _bomb()),
)
"""The limit that each document exceeds, and the document."""


def check_limits(text: str) -> None:
    """What the gateway does with a document before it validates it. Raises DocumentTooLarge."""
    check_text(text, LIMITS)
    check_document(parse(text), LIMITS)


def check_refused(text: str, limit: str) -> None:
    """Check an attack. Raises AssertionError unless this limit refuses it."""
    try:
        check_limits(text)
    except DocumentTooLarge as problem:
        if problem.limit == limit:
            return
    raise AssertionError(f"the limit {limit} did not refuse its attack, so nothing was measured")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code: 1 if the median of an attack is above `AIM_MS`."""
    parser = argparse.ArgumentParser(prog="scripts/bench limits", description=__doc__, epilog="example: scripts/bench limits --rounds 500")
    parser.add_argument("--rounds", type=int, default=200, help="rounds of each document (default %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("bench/results/limits.json"), help="file for the JSON (default %(default)s)")
    options = parser.parse_args(arguments)
    rows: dict[str, dict[str, float]] = {"an ordinary document": _row(lambda: check_limits(USUAL), options.rounds)}
    for number, (limit, text) in enumerate(ATTACKS, 1):
        rows[f"{number} {limit}"] = _row(lambda text=text, limit=limit: check_refused(text, limit), options.rounds)  # type: ignore[misc]
    print(f"{'CPU milliseconds':<28}{'p50':>8}{'p99':>8}")
    for name, row in rows.items():
        print(f"{name:<28}{row['p50_ms']:>8.2f}{row['p99_ms']:>8.2f}")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(rows, indent=1) + "\n")
    return 0 if all(row["p50_ms"] < AIM_MS for row in rows.values()) else 1


def _row(work: Callable[[], None], rounds: int) -> dict[str, float]:
    times_ms: list[float] = []
    for _ in range(rounds):
        started = time.process_time_ns()
        work()
        times_ms.append((time.process_time_ns() - started) / 1e6)
    times_ms.sort()
    return {"p50_ms": times_ms[len(times_ms) // 2], "p99_ms": times_ms[int(0.99 * (len(times_ms) - 1))]}
