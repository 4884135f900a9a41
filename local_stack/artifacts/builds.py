"""What browsers load, as files that a server can send: the snippet and GraphiQL, built by npm anew when their sources have changed."""

from __future__ import annotations

import fcntl
import hashlib
import sys
from pathlib import Path
from typing import Final

from local_stack.artifacts.npm import ensure_packages, npm
from local_stack.errors import PartFailed, StackError
from local_stack.project import PROJECT_ROOT

SNIPPET: Final = PROJECT_ROOT / "frontend_snippet"
GRAPHIQL: Final = PROJECT_ROOT / "graphiql"
BUILD_S: Final = 120


def ensure_build(folder: Path) -> Path:
    """The folder with what SNIPPET or GRAPHIQL was built to. Safe to call from several processes. Raises StackError."""
    sources = sorted(path for path in [*folder.glob("*.json"), *folder.glob("*.mjs"), *folder.glob("src/**/*")] if path.is_file())
    wanted = hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in sources)).hexdigest()
    dist = folder / "dist"
    stamp = dist / ".built"
    with (folder / "build.mjs").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            ensure_packages(folder)
            done = npm(folder, "run", "build", within_s=BUILD_S)
            if done.returncode != 0:
                raise PartFailed(folder.name, f"its build failed: {(done.stdout + done.stderr).strip()[-2000:]}", "correct its sources")
            stamp.write_text(wanted)
    return dist


def main() -> int:
    """Build both; 0 when they are there."""
    try:
        for folder in (SNIPPET, GRAPHIQL):
            ensure_build(folder)
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
