"""Ends the processes of a stack, and deletes its temporary files, after its supervisor was killed (kill -9, out of memory).

The supervisor starts the watchdog with a pipe as standard input, and alone holds the other end. Lines name process groups: `+123` is
running, `-123` has ended, `bye` announces an orderly end. If the pipe closes without `bye`, the groups that still run get SIGTERM, then
SIGKILL, and so does every process with the mark of the stack. A parent-death signal would not be enough: it is sent when the thread that
started the child ends, does not reach grandchildren, and exists on Linux only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, TextIO

from local_stack.data.folder import DataFolder
from local_stack.machine.processes import RUN_MARK, Child, end_marked, group_alive, signal_group
from local_stack.project import PROJECT_ROOT

_ORDERLY_S: Final = 5.0
_KILL_S: Final = 5.0


class Watchdog:
    """The supervisor's end of the pipe."""

    def __init__(self, run_id: str, data_dir: Path) -> None:
        self._arguments = [run_id, str(data_dir)]
        self._running: set[int] = set()
        self._process = self._start()

    def add(self, child: Child) -> None:
        """From now on the group of the child is ended if the supervisor dies."""
        self._running.add(child.pid)
        self._send(f"+{child.pid}")

    def remove(self, child: Child) -> None:
        """The group of the child has ended; its number may be reused."""
        self._running.discard(child.pid)
        self._send(f"-{child.pid}")

    def dismiss(self) -> None:
        """Announce an orderly end, and wait for the watchdog to exit."""
        self._send("bye")
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "local_stack.stack.watchdog", *self._arguments],
            stdin=subprocess.PIPE,
            cwd=PROJECT_ROOT,
            start_new_session=True,
        )

    def _send(self, line: str) -> None:
        pipe = self._process.stdin
        if pipe is None:
            return
        try:
            pipe.write(f"{line}\n".encode())
            pipe.flush()
        except BrokenPipeError:  # the watchdog was killed: another one takes over
            with suppress(BrokenPipeError):
                pipe.close()
            self._process.wait()
            self._process = self._start()
            for group in self._running:
                self._send(f"+{group}")


def watch(lines: TextIO, run_id: str, folder: DataFolder, orderly_s: float = _ORDERLY_S) -> None:
    """Read until the pipe closes, then clean up unless an orderly end was announced. SIGKILL follows SIGTERM after `orderly_s` seconds."""
    running: set[int] = set()
    for line in lines:
        text = line.strip()
        if text == "bye":
            return
        if text.startswith("+"):
            running.add(int(text[1:]))
        elif text.startswith("-"):
            running.discard(int(text[1:]))
    folder.stack_file.unlink(missing_ok=True)
    for number, patience_s in ((signal.SIGTERM, orderly_s), (signal.SIGKILL, _KILL_S)):
        for group in running:
            signal_group(group, number)
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline and any(group_alive(group) for group in running):
            time.sleep(0.05)
    end_marked(RUN_MARK, run_id)
    folder.delete_temporary()


def main() -> None:
    """`python -m local_stack.stack.watchdog RUN_ID DATA_DIR`; for the supervisor only."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    watch(sys.stdin, sys.argv[1], DataFolder(Path(sys.argv[2])))


if __name__ == "__main__":
    main()
