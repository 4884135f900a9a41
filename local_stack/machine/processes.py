"""Child processes: each the leader of its own session and group, its output in a log file, ended without a rest.

Children carry two marks in their environment (the data folder, and the run that started them), by which whatever is left of
a stack is found again, even when nobody remembers its process ids.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from local_stack.project import PROJECT_ROOT

DATA_MARK: Final = "LOCAL_STACK_DATA_DIR"
RUN_MARK: Final = "LOCAL_STACK_RUN"
_KEEP_LOG_BYTES: Final = 20 * 1024 * 1024
_POLL_S: Final = 0.05


@dataclass
class Child:
    """A part's process. `log_start` is the size of its log, in bytes, when it was started."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    log_start: int

    @property
    def pid(self) -> int:
        """Process id, which is the id of its group and session too."""
        return self.process.pid

    @property
    def dead(self) -> bool:
        """Whether the part's own process has ended; others of its group may still run."""
        return self.process.poll() is not None

    def how_it_ended(self) -> str:
        """In words how it ended."""
        code = self.process.poll()
        if code is None:
            return "still runs"
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def tail(self, lines: int = 15) -> str:
        """The last lines it wrote since it was started."""
        return "\n".join(self.output()[-64 * 1024 :].splitlines()[-lines:])

    def output(self) -> str:
        """All it wrote since it was started."""
        with self.log.open("rb") as file:
            file.seek(self.log_start)
            return file.read().decode(errors="replace")


def spawn(name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> Child:
    """Start a process in a session of its own, both outputs appended to `log`. Raises OSError when it cannot be run."""
    if log.exists() and log.stat().st_size > _KEEP_LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    with log.open("ab") as output:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=PROJECT_ROOT,
            start_new_session=True,
        )
        return Child(name, process, log, output.tell())


def stop_child(child: Child, deadline_s: float, hurry: Callable[[], bool]) -> bool:
    """SIGTERM to the process, then SIGKILL to its whole group; returns whether it ended by itself within `deadline_s` seconds.

    Only the leader is asked: it ends its own children in its own order. `hurry` returning True ends the waiting.
    """
    until = time.monotonic() + deadline_s
    if not child.dead:
        child.process.terminate()
    while not child.dead and time.monotonic() < until and not hurry():
        time.sleep(_POLL_S)
    orderly = child.dead
    kill_child(child)
    return orderly


def kill_child(child: Child) -> None:
    """SIGKILL to the whole group; returns when the process is gone."""
    signal_group(child.pid, signal.SIGKILL)
    child.process.wait()
    until = time.monotonic() + 5
    while group_alive(child.pid) and time.monotonic() < until:
        signal_group(child.pid, signal.SIGKILL)
        time.sleep(_POLL_S)


def signal_group(group: int, number: signal.Signals) -> None:
    """Send a signal to a process group; one that is gone is no error."""
    with suppress(ProcessLookupError, PermissionError):  # macOS answers EPERM when only zombies are left
        os.killpg(group, number)


def group_alive(group: int) -> bool:
    """Whether a process of the group runs; one that ended and waits for its parent does not count."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                return True
        except (psutil.Error, ProcessLookupError):
            continue
    return False


def end_marked(mark: str, value: str, orderly_s: float = 0.0) -> list[int]:
    """End every process whose environment bears the mark; returns the ids of those found.

    First SIGTERM and up to `orderly_s` seconds to obey it, then SIGKILL. Looks again until a look finds none, since a
    process may be starting another one meanwhile; gives up on what SIGKILL does not end within 10 seconds.
    """
    found: set[int] = set()
    asked_until = time.monotonic() + orderly_s
    give_up_at = asked_until + 10
    while (marked := _marked(mark, value)) and time.monotonic() < give_up_at:
        for process in marked:
            if time.monotonic() >= asked_until:
                _send(process, signal.SIGKILL)
            elif process.pid not in found:
                _send(process, signal.SIGTERM)
            found.add(process.pid)
        time.sleep(_POLL_S)
    return sorted(found)


def _marked(mark: str, value: str) -> list[psutil.Process]:
    marked = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(mark) == value and process.status() != psutil.STATUS_ZOMBIE:
                marked.append(process)
        except (psutil.Error, OSError):  # another user's process, or one that ended just now
            continue
    return marked


def _send(process: psutil.Process, kind: signal.Signals) -> None:
    with suppress(psutil.Error):
        process.send_signal(kind)
