"""Spark's temporary files: one folder for a JVM, removed when the JVM has ended."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import Final

from pyspark import SparkContext

PERF_DATA_OFF: Final = "-XX:+PerfDisableSharedMem"
"""The option by which a JVM writes no file of its performance counters into the system's temporary folder."""
_END_WITHIN_S: Final = 5.0
_POLL_S: Final = 0.02


def temporary_folder() -> Path:
    """A new folder for the temporary files of a JVM that this process starts; it lies in TMPDIR, or in the system's temporary folder.

    When this process exits, it ends the JVM, waits for that, and deletes the folder. If this process is killed, the folder stays.
    """
    folder = Path(tempfile.mkdtemp(prefix="processors-"))
    atexit.register(_clean_up, folder, os.getpid())
    return folder


def _clean_up(folder: Path, owner_pid: int) -> None:
    if os.getpid() != owner_pid:  # a fork has no JVM of its own
        return
    gateway = SparkContext._gateway
    jvm: Popen[bytes] | None = getattr(gateway, "proc", None)
    if jvm is not None and jvm.stdin is not None:
        with suppress(OSError):
            jvm.stdin.close()  # the JVM ends at the end of its input
        with suppress(TimeoutExpired):
            jvm.wait(_END_WITHIN_S)
        jvm.kill()
        jvm.wait()
    _await_children()
    shutil.rmtree(folder, ignore_errors=True)


def _await_children() -> None:
    """Wait for a JVM whose start was interrupted: pyspark has let go of it, so that it ends by itself."""
    deadline = time.monotonic() + _END_WITHIN_S
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0] != 0 or time.monotonic() < deadline:
            time.sleep(_POLL_S)
