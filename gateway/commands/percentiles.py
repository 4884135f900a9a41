"""Percentiles of measured durations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Percentiles:
    """A summary of durations, all in milliseconds."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


def percentiles(durations_ms: Sequence[float]) -> Percentiles | None:
    """Nearest-rank percentiles, each of them a measured duration; None if there are no durations."""
    if not durations_ms:
        return None
    ordered = sorted(durations_ms)

    def nearest_rank(percent: int) -> float:
        return ordered[-(-percent * len(ordered) // 100) - 1]

    return Percentiles(len(ordered), nearest_rank(50), nearest_rank(95), nearest_rank(99), ordered[-1])
