"""Child processes: each leads its own session and group, writes to a log file, and is ended together with all its descendants.

Children have two marks in their environment: the data folder, and the run that started them. By these the processes of a stack are found
even if nobody knows their ids any more.
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
    """The process of a part. `log_start` is the size of its log in bytes at its start."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    log_start: int

    @property
    def pid(self) -> int:
        """Process id; also the id of its group and session."""
        return self.process.pid

    @property
    def dead(self) -> bool:
        """Whether the process of the part has ended; others of its group may still run."""
        return self.process.poll() is not None

    def how_it_ended(self) -> str:
        """In words, how the process ended."""
        code = self.process.poll()
        if code is None:
            return "is still running"
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def tail(self, lines: int = 15) -> str:
        """The last lines that it wrote since its start."""
        return "\n".join(self.output()[-64 * 1024 :].splitlines()[-lines:])

    def output(self) -> str:
        """Everything that it wrote since its start."""
        with self.log.open("rb") as file:
            file.seek(self.log_start)
            return file.read().decode(errors="replace")


def spawn(name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> Child:
    """Start a process in a session of its own; its output and errors are appended to `log`. Raises OSError if it cannot be run."""
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
    """Send SIGTERM to the process, then SIGKILL to its group; returns whether the process ended within `deadline_s` seconds.

    SIGTERM goes to the leader only: it ends its own children in its own order. The wait is over when `hurry` returns True.
    """
    deadline = time.monotonic() + deadline_s
    if not child.dead:
        child.process.terminate()
    while not child.dead and time.monotonic() < deadline and not hurry():
        time.sleep(_POLL_S)
    orderly = child.dead
    kill_child(child)
    return orderly


def kill_child(child: Child) -> None:
    """Send SIGKILL to the whole group; returns when the process has ended."""
    signal_group(child.pid, signal.SIGKILL)
    child.process.wait()
    deadline = time.monotonic() + 5
    while group_alive(child.pid) and time.monotonic() < deadline:
        signal_group(child.pid, signal.SIGKILL)
        time.sleep(_POLL_S)


def signal_group(group: int, number: signal.Signals) -> None:
    """Send a signal to a process group. It is not an error if the group has ended."""
    with suppress(ProcessLookupError, PermissionError):  # macOS reports EPERM if only zombies are left
        os.killpg(group, number)


def group_alive(group: int) -> bool:
    """Whether a process of the group runs; a zombie does not count."""
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
    """End every process with this mark in its environment; returns their ids.

    Sends SIGTERM, and SIGKILL after `orderly_s` seconds. Searches again until there is none, because a process may be starting another
    one. Gives up if SIGKILL does not end a process within 10 seconds.
    """
    ended: set[int] = set()
    asked_until = time.monotonic() + orderly_s
    give_up_at = asked_until + 10
    while (marked := _marked(mark, value)) and time.monotonic() < give_up_at:
        for process in marked:
            if time.monotonic() >= asked_until:
                _send(process, signal.SIGKILL)
            elif process.pid not in ended:
                _send(process, signal.SIGTERM)
            ended.add(process.pid)
        time.sleep(_POLL_S)
    return sorted(ended)


def _marked(mark: str, value: str) -> list[psutil.Process]:
    marked = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(mark) == value and process.status() != psutil.STATUS_ZOMBIE:
                marked.append(process)
        except (psutil.Error, OSError):  # the process of another user, or one that has just ended
            continue
    return marked


def _send(process: psutil.Process, kind: signal.Signals) -> None:
    with suppress(psutil.Error):
        process.send_signal(kind)
