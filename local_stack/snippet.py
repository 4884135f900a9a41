"""The browser snippet as files that a server can send: built from frontend_snippet, anew when its sources have changed."""

from __future__ import annotations

import fcntl
import hashlib
import sys
from pathlib import Path
from typing import Final

from local_stack.errors import PartFailed, StackError
from local_stack.npm import ensure_packages, npm
from local_stack.processes import PROJECT_ROOT

SNIPPET: Final = PROJECT_ROOT / "frontend_snippet"
DIST: Final = SNIPPET / "dist"
BUILD_S: Final = 120


def built_snippet() -> Path:
    """The folder with the built files. Safe to call from several processes. Raises StackError."""
    sources = sorted(path for path in [*SNIPPET.glob("*.json"), *SNIPPET.glob("*.mjs"), *SNIPPET.glob("src/**/*")] if path.is_file())
    wanted = hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in sources)).hexdigest()
    stamp = DIST / ".built"
    with (SNIPPET / "build.mjs").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            ensure_packages(SNIPPET)
            done = npm(SNIPPET, "run", "build", within_s=BUILD_S)
            if done.returncode != 0:
                raise PartFailed("snippet", f"its build failed: {(done.stdout + done.stderr).strip()[-2000:]}", "correct its sources")
            stamp.write_text(wanted)
    return DIST


def main() -> int:
    """Build it; 0 when it is there."""
    try:
        built_snippet()
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
