"""Which programs used the processors during a measurement: figures from a busy machine are not worth much."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class CpuShare:
    """Shares in percent of the time of all processors together."""

    load_generator: float
    parts: dict[str, float]
    """By name of the stack's part."""
    others: float


class CpuMeter:
    """Measures from its creation until `read`. `parts`: process ids of the stack by name; their child processes are included."""

    def __init__(self, parts: Mapping[str, int]) -> None:
        self._pids = {"": os.getpid(), **parts}
        self._start = self._used()

    def read(self) -> CpuShare:
        """The shares since the meter was created."""
        (all_before, used_before), (all_now, used_now) = self._start, self._used()
        total, busy = (now - before for now, before in zip(all_now, all_before, strict=True))
        shares = {name: round(100 * (used_now[name] - used_before[name]) / max(total, 0.01), 1) for name in self._pids}
        busy_share = 100 * busy / max(total, 0.01)
        others = max(0.0, round(busy_share - sum(shares.values()), 1))
        return CpuShare(shares.pop(""), shares, others)

    def _used(self) -> tuple[tuple[float, float], dict[str, float]]:
        """Seconds so far: total and busy time of all processors, and the time of each part."""
        times = psutil.cpu_times()
        total = sum(times[:8])
        busy = total - times.idle - getattr(times, "iowait", 0.0)
        return (total, busy), {name: sum(map(_seconds_of, _family(name, pid))) for name, pid in self._pids.items()}


def _family(name: str, root: int) -> list[psutil.Process]:
    with suppress(psutil.Error):
        process = psutil.Process(root)
        # This process may be the parent of the whole stack: its children do not count as part of it.
        return [process, *process.children(recursive=True)] if name else [process]
    return []


def _seconds_of(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0
