"""Percentiles of measured durations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Percentiles:
    """A set of durations in short; all in milliseconds."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


def percentiles(durations_ms: Sequence[float]) -> Percentiles | None:
    """Nearest-rank percentiles (each one is a duration that was measured), or None when nothing was."""
    if not durations_ms:
        return None
    ordered = sorted(durations_ms)

    def rank(share: int) -> float:
        return ordered[-(-share * len(ordered) // 100) - 1]

    return Percentiles(len(ordered), rank(50), rank(95), rank(99), ordered[-1])
