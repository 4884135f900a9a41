"""What browsers load: the snippet and GraphiQL, built by npm into files that a server can send, and rebuilt when their sources change."""

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
    """Build SNIPPET or GRAPHIQL if its sources have changed since the last build; returns the folder of the output.

    Several processes may call it at the same time. Raises StackError.
    """
    sources = sorted(path for path in [*folder.glob("*.json"), *folder.glob("*.mjs"), *folder.glob("src/**/*")] if path.is_file())
    source_hash = hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in sources)).hexdigest()
    dist = folder / "dist"
    stamp = dist / ".built"
    with (folder / "build.mjs").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != source_hash:
            ensure_packages(folder)
            build = npm(folder, "run", "build", within_s=BUILD_S)
            if build.returncode != 0:
                raise PartFailed(folder.name, f"its build failed: {(build.stdout + build.stderr).strip()[-2000:]}", "fix its sources")
            stamp.write_text(source_hash)
    return dist


def main() -> int:
    """Build both; returns 0, or 1 if a build failed."""
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
