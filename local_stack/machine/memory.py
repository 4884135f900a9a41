"""Memory: how much is available, and whether that is enough for the parts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

from local_stack.errors import NotEnoughMemory

_MIB: Final = 1024 * 1024


def check_memory(parts_mib: Mapping[str, int]) -> None:
    """Raise NotEnoughMemory if all parts together need more than is available; sizes in MiB."""
    needed = sum(parts_mib.values())
    available = available_mib()
    if available < needed:
        raise NotEnoughMemory(
            "memory",
            f"{available} MiB are available, {needed} MiB are needed ({', '.join(f'{k} {v}' for k, v in parts_mib.items())})",
            "close other programs, or give the machine or container more memory",
        )


def available_mib() -> int:
    """Available memory in MiB, within the limit of the container (cgroup v2)."""
    available = int(psutil.virtual_memory().available)
    folder = Path("/sys/fs/cgroup")
    try:
        limit = int((folder / "memory.max").read_text())
        used = int((folder / "memory.current").read_text())
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no cgroup v2, or "max": no limit
        return available // _MIB
    # The system drops cached files when memory is short.
    return min(available, limit - used + int(statistics.get("inactive_file", 0))) // _MIB
