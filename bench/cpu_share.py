"""Who used the processors while something was measured: a figure taken beside a busy neighbour is not worth much."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class CpuShare:
    """Shares of all processors, in percent."""

    load_generator: float
    stack: float
    others: float


class CpuMeter:
    """Measures from its making until `read`. `roots`: process ids of the stack; their children count with them."""

    def __init__(self, roots: Sequence[int]) -> None:
        self._roots = roots
        self._start = self._used()

    def read(self) -> CpuShare:
        """The shares since the meter was made."""
        everything, idle, own, stack = (now - then for now, then in zip(self._used(), self._start, strict=True))
        others = max(0.0, everything - idle - own - stack)
        return CpuShare(*(round(100 * used / max(everything, 0.01), 1) for used in (own, stack, others)))

    def _used(self) -> tuple[float, float, float, float]:
        """Seconds so far: of all processors, of which idle, used by this process, used by the stack."""
        times = psutil.cpu_times()
        stack = sum(_seconds_of(process) for root in self._roots for process in _family(root))
        return sum(times[:8]), times.idle + getattr(times, "iowait", 0.0), _seconds_of(psutil.Process(os.getpid())), stack


def _family(root: int) -> list[psutil.Process]:
    with suppress(psutil.Error):
        process = psutil.Process(root)
        return [process, *process.children(recursive=True)]
    return []


def _seconds_of(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0
