"""Memory: what must be free before anything is started."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

from local_stack.errors import NotEnoughMemory

_MIB: Final = 1024 * 1024


def check_memory(parts_mib: Mapping[str, int]) -> None:
    """Raise NotEnoughMemory when less is available than all parts need together; sizes in MiB."""
    needed = sum(parts_mib.values())
    available = available_mib()
    if available < needed:
        raise NotEnoughMemory(
            "memory",
            f"{available} MiB are available, {needed} MiB are needed ({', '.join(f'{k} {v}' for k, v in parts_mib.items())})",
            "close other programs, or give the machine (or container) more memory",
        )


def available_mib() -> int:
    """Memory that can still be taken, in MiB, with the limit of the container (cgroup v2) counted in."""
    available = int(psutil.virtual_memory().available)
    folder = Path("/sys/fs/cgroup")
    try:
        limit = int((folder / "memory.max").read_text())
        used = int((folder / "memory.current").read_text())
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no cgroup v2, or "max": no limit
        return available // _MIB
    # Cached files are given back when memory is short.
    return min(available, limit - used + int(statistics.get("inactive_file", 0))) // _MIB
