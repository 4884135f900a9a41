"""The steps of `scripts/setup`. The system's Python runs it, so it imports only the standard library."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "setup-done"
OWN = (ROOT, ROOT / "clients" / "python")
"""The distributions that are developed here."""

TOOLS = ROOT / "requirements-setup.lock"
TEMPORARY = ROOT / ".local" / "setup"
"""For the temporary files of pip, uv and npm, which they do not always delete."""

ELSEWHERE = ("PIP_TARGET", "PIP_USER", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV")  # would install into another place


class Failed(Exception):
    """A step failed; the text says which one, and what to do."""


def step(name: str, command: list[str], remedy: str) -> None:
    """Run a command and show its output; print its name before and its duration after. Raises Failed."""
    print(f"{name} ...", flush=True)
    since = time.monotonic()
    environment = {name: value for name, value in os.environ.items() if name not in ELSEWHERE} | {"TMPDIR": str(TEMPORARY)}
    if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode != 0:
        raise Failed(f"{name}: failed (see above)\n  What to do: {remedy}")
    print(f"{name}: {time.monotonic() - since:.1f} s", flush=True)


def set_up(stamp: str) -> None:
    """Run all steps; each may be repeated. The stamp is written last, so that the next run continues an interrupted one."""
    network = "check the network (HTTPS_PROXY and SSL_CERT_FILE are honoured), then run it again"
    STAMP.unlink(missing_ok=True)
    venv = [sys.executable, "-m", "venv", str(VENV)]
    if not PYTHON.exists():
        venv.append("--clear")  # its Python was removed, or its creation was interrupted
    step("creating .venv", venv, "install Python's venv module (Debian, Ubuntu: apt install python3-venv)")
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check"]
    step("installing uv", [*pip, "install", "--quiet", "--require-hashes", "-r", str(TOOLS)], network)
    uv = [str(PYTHON), "-m", "uv", "pip"]
    sync = ["sync", "--python", str(PYTHON), "--require-hashes", "--build-constraints", str(TOOLS)]
    step("installing the dependencies", [*uv, *sync, "requirements.lock", str(TOOLS)], network)
    own = ["install", "--python", str(PYTHON), "--quiet", "--no-deps", "--no-build-isolation"]
    editable = [argument for project in OWN for argument in ("--editable", str(project))]
    step("installing the project", [*uv, *own, *editable], "read the message above")
    step("downloading jars", [str(PYTHON), "-m", "local_stack.artifacts.jars"], network)
    step("building the snippet and GraphiQL", [str(PYTHON), "-m", "local_stack.artifacts.builds"], network)
    STAMP.write_text(stamp + "\n")


def main() -> int:
    """Set up while holding a lock, so that two commands do not install at the same time."""
    with (ROOT / "pyproject.toml").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if STAMP.exists() and STAMP.read_text().strip() == sys.argv[1]:
            return 0
        TEMPORARY.mkdir(parents=True, exist_ok=True)
        try:
            set_up(sys.argv[1])
        except Failed as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("interrupted; run it again to continue", file=sys.stderr)
            return 130
        finally:
            shutil.rmtree(TEMPORARY, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
