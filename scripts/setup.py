"""The work of `scripts/setup`; run by the system's Python, so it imports the standard library only."""

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
"""Temporary files of pip, uv and npm: they leave some behind."""

ELSEWHERE = ("PIP_TARGET", "PIP_USER", "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV")  # would lead an installation astray


class Failed(Exception):
    """A step did not work; the text says which, and what to do."""


def step(what: str, command: list[str], remedy: str) -> None:
    """Run one command, its output shown, with its name before and its time after. Raises Failed."""
    print(f"{what} ...", flush=True)
    since = time.monotonic()
    environment = {name: value for name, value in os.environ.items() if name not in ELSEWHERE} | {"TMPDIR": str(TEMPORARY)}
    if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode != 0:
        raise Failed(f"{what}: failed (see above)\n  What to do: {remedy}")
    print(f"{what}: {time.monotonic() - since:.1f} s", flush=True)


def set_up(stamp: str) -> None:
    """All steps; each may be repeated. The stamp is written last, so a set-up that was broken off is taken up again."""
    network = "check the network (HTTPS_PROXY and SSL_CERT_FILE are honoured) and run it again"
    STAMP.unlink(missing_ok=True)
    venv = [sys.executable, "-m", "venv", str(VENV)]
    if not PYTHON.exists():
        venv.append("--clear")  # a Python that is gone, or half an environment
    step("making .venv", venv, "install Python's venv module (Debian, Ubuntu: apt install python3-venv)")
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check"]
    step("installing uv", [*pip, "install", "--quiet", "--require-hashes", "-r", str(TOOLS)], network)
    uv = [str(PYTHON), "-m", "uv", "pip"]
    sync = ["sync", "--python", str(PYTHON), "--require-hashes", "--build-constraints", str(TOOLS)]
    step("installing the dependencies", [*uv, *sync, "requirements.lock", str(TOOLS)], network)
    own = ["install", "--python", str(PYTHON), "--quiet", "--no-deps", "--no-build-isolation"]
    editable = [argument for project in OWN for argument in ("--editable", str(project))]
    step("installing the project", [*uv, *own, *editable], "read the message above")
    step("fetching jars", [str(PYTHON), "-m", "local_stack.artifacts.jars"], network)
    step("building the snippet and GraphiQL", [str(PYTHON), "-m", "local_stack.artifacts.builds"], network)
    STAMP.write_text(stamp + "\n")


def main() -> int:
    """Set up with the lock held, so that two commands at once do not install over each other."""
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
            print("interrupted; running it again goes on", file=sys.stderr)
            return 130
        finally:
            shutil.rmtree(TEMPORARY, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
