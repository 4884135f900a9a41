"""A stack without a terminal: starts a supervisor in the background, and stops a running one."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

import psutil

from local_stack.console import say
from local_stack.data.folder import DataFolder
from local_stack.machine.processes import DATA_MARK, end_marked
from local_stack.project import PROJECT_ROOT
from local_stack.stack.supervisor_lock import holder_of

_STOP_WITHIN_S: Final = 75.0
_LEFTOVERS_S: Final = 10.0
_POLL_S: Final = 0.1


def start_detached(folder: DataFolder, arguments: Sequence[str]) -> int:
    """Start a supervisor in the background and show its output until all parts are ready; returns 0, or its exit code if it fails.

    KeyboardInterrupt ends the supervisor.
    """
    folder.make()
    if holder_of(folder.lock_file) is None:
        folder.stack_file.unlink(missing_ok=True)  # left by a supervisor that was killed
    log = folder.log / "supervisor.log"
    with log.open("w+b") as output:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "local_stack", "--background", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=PROJECT_ROOT,
            start_new_session=True,
        )
        with log.open() as log_reader:
            try:
                while supervisor.poll() is None and not _is_ready(folder, supervisor.pid):
                    print(log_reader.read(), end="", flush=True)
                    time.sleep(_POLL_S)
            except KeyboardInterrupt:
                supervisor.terminate()
                supervisor.wait()
                raise
            time.sleep(_POLL_S)
            text = log_reader.read()
    if supervisor.returncode is None:
        print(text, end="")
        say("running in the background; stop it with scripts/demo --stop")
        return 0
    print(text, end="", file=sys.stderr)
    return supervisor.returncode or 1


def _is_ready(folder: DataFolder, supervisor_pid: int) -> bool:
    """Whether `stack.json` exists and was written by this supervisor, not by one that was already running."""
    holder = holder_of(folder.lock_file)
    return holder is not None and holder.pid == supervisor_pid and folder.stack_file.exists()


def stop_running(folder: DataFolder) -> int:
    """Stop the stack that runs in the folder, and end all processes that an earlier one left behind; returns 0."""
    holder = holder_of(folder.lock_file)
    if holder is not None:
        since = time.monotonic()
        holder.terminate()
        try:
            holder.wait(_STOP_WITHIN_S)
        except psutil.TimeoutExpired:
            holder.kill()
        say(f"stopped in {time.monotonic() - since:.1f} s")
    leftovers = end_marked(DATA_MARK, str(folder.root), _LEFTOVERS_S)
    folder.stack_file.unlink(missing_ok=True)
    folder.delete_temporary()
    if holder is None:
        say(f"no stack runs in {folder.root}" + (f"; ended {len(leftovers)} processes of an earlier one" if leftovers else ""))
    return 0
