"""Lines that tell a person what is going on, with times; one rewritten line on a terminal, few lines in a file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

Say = Callable[[str], None]


def say(text: str) -> None:
    """Print one line at once, also into a pipe."""
    print(text, flush=True)


class Counter:
    """Progress of something measured in bytes."""

    def __init__(self, what: str, total_bytes: int) -> None:
        self._what = what
        self._total = max(1, total_bytes)
        self._done = 0
        self._shown_tenth = 0
        self._since = time.monotonic()
        self._on_terminal = sys.stdout.isatty()
        say(f"{what}, {total_bytes / 1e6:.1f} MB")

    def add(self, size_bytes: int, name: str) -> None:
        """Count `size_bytes` more, of the thing called `name`."""
        self._done += size_bytes
        tenth = self._done * 10 // self._total
        line = f"  {self._done * 100 // self._total:3d} %  {self._done / 1e6:6.1f} MB  {name}"
        if self._on_terminal:
            print(f"\r\033[K{line[:100]}", end="", flush=True)
        elif tenth > self._shown_tenth:
            self._shown_tenth = tenth
            say(line)

    def finish(self) -> None:
        """Say that all is there, and how long it took in seconds."""
        start = "\r\033[K" if self._on_terminal else ""
        say(f"{start}  done in {time.monotonic() - self._since:.1f} s")
