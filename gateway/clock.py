"""The clock, passed in as a value so that tests can move it."""

from __future__ import annotations

import time
from collections.abc import Callable

NowMs = Callable[[], int]
"""Returns the time in milliseconds since the epoch."""


def system_now_ms() -> int:
    """The machine's time."""
    return time.time_ns() // 1_000_000
