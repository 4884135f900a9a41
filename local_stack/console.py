"""What a person reads while the stack starts and stops: plain lines, and the progress of downloads."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

Say = Callable[[str], None]
_LINES: Final = 10


def say(text: str) -> None:
    """Print one line at once, also into a pipe."""
    print(text, flush=True)


class DownloadProgress:
    """Progress of downloads on standard output, as a context manager: a bar on a terminal, ten lines at most in a log.

    `what` says what is downloaded, `total_bytes` how much all of it is. `console` is where to write.
    """

    def __init__(self, what: str, total_bytes: int, console: Console | None = None) -> None:
        self._console = console or Console()
        self._what = what
        self._total_bytes = max(1, total_bytes)
        self._done_bytes = 0
        self._lines = 0
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task = self._bar.add_task(what, total=self._total_bytes)
        self._started = time.monotonic()

    def __enter__(self) -> DownloadProgress:
        if not self._console.is_terminal:
            self._line(f"{self._what}, {self._total_bytes / 1e6:.1f} MB")
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()
        if kind is None:
            self._line(f"  done in {time.monotonic() - self._started:.1f} s")

    def add(self, size_bytes: int, name: str) -> None:
        """Count `size_bytes` more, of the file called `name`."""
        self._done_bytes += size_bytes
        self._bar.update(self._task, advance=size_bytes)
        lines = self._done_bytes * _LINES // self._total_bytes
        if lines > self._lines and not self._console.is_terminal:
            self._lines = lines
            self._line(f"  {self._done_bytes * 100 // self._total_bytes:3d} %  {self._done_bytes / 1e6:6.1f} MB  {name}")

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
