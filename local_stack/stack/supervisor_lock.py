"""One stack per data folder: a lock that is released when its process ends, and that names this process."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import IO, Final

import psutil

from local_stack.errors import AlreadyRunning

_PATIENCE_S: Final = 0.5  # `holder_of` holds it for a moment, too


class SupervisorLock:
    """Held from the first step of a start to the last step of the stop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Acquire the lock. Raises AlreadyRunning, which names the process that holds it."""
        file = self._path.open("a+")
        if not _lock_within(file, _PATIENCE_S):
            file.close()
            holder = holder_of(self._path)
            who = f"process {holder.pid}" if holder else "another process"
            raise AlreadyRunning(
                "stack", f"{who} already runs one in {self._path.parent}", "stop it with scripts/demo --stop, or use another --data-dir"
            )
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "create_time": psutil.Process().create_time()}))
        file.flush()
        self._file = file

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._file is not None

    def release(self) -> None:
        """Release the lock. The file stays, empty, so that two processes never lock two files of the same name."""
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()
            self._file = None


def _lock_within(file: IO[str], patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)


def holder_of(path: Path) -> psutil.Process | None:
    """The process that holds the lock; None if there is none, or if its id now belongs to another process."""
    try:
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None
            except BlockingIOError:
                value = json.loads(file.read())
        process = psutil.Process(value["pid"])
        # The system counts this time from its own start, which it may correct slightly.
        return process if abs(process.create_time() - value["create_time"]) < 3 else None
    except (OSError, ValueError, KeyError, psutil.Error):
        return None
