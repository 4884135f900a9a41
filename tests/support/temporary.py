"""One folder below `.local` for all temporary files of a test run, so that nothing stays in the system's temporary folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

import psutil

FOLDERS: Final = Path(__file__).parents[2] / ".local" / "tests"


def use_own_folder() -> Path:
    """Make this process's folder, and use it as TMPDIR from now on, in children too. Folders of runs that have ended are deleted."""
    for folder in FOLDERS.glob("*"):
        if not psutil.pid_exists(int(folder.name)):
            shutil.rmtree(folder, ignore_errors=True)
    own = FOLDERS / str(os.getpid())
    own.mkdir(parents=True, exist_ok=True)
    os.environ["TMPDIR"] = str(own)
    tempfile.tempdir = None  # Python looked it up before, and keeps the answer
    return own
