"""A real Chromium that runs scenarios on a small shop in front of the stack's gateway."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from typing import Any, Final

from local_stack.artifacts.builds import SNIPPET, ensure_build
from local_stack.artifacts.npm import NODE, ensure_packages, environment
from local_stack.project import PROJECT_ROOT
from local_stack.stack.local_stack import LocalStack

HERE: Final = Path(__file__).parent
DEADLINE_S: Final = 120.0


class ScenarioFailed(AssertionError):
    """A scenario failed; the message has its JavaScript stack, and the requests and messages of the page."""


def ensure_browser() -> None:
    """The browser's packages and the built snippet."""
    ensure_packages(HERE)
    ensure_build(SNIPPET)


class Chromium:
    """A Node process with one browser. Each scenario has a context and a shop of its own."""

    def __init__(self, stack: LocalStack) -> None:
        self._stack = stack
        settings = {
            "gateway": stack.wiring.gateway_url,
            "publishable": stack.wiring.keys.publishable,
            "tokenSecret": stack.wiring.keys.token_secret,
        }
        self._process = subprocess.Popen(
            [str(NODE), str(HERE / "host.mjs"), json.dumps(settings)],
            cwd=PROJECT_ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.version = str(self._read()["done"])

    def run(self, scenario: str, **parameters: Any) -> Any:
        """Run one scenario of tests/browser/scenarios. Returns its result; raises ScenarioFailed."""
        self._write({"run": scenario, **parameters})
        while True:
            message = self._read()
            if "ask" in message:
                self._answer(message["ask"])
            elif "failed" in message:
                raise ScenarioFailed(message["failed"])
            else:
                return message["done"]

    def close(self) -> None:
        """End the browser."""
        with self._process as process:
            if process.stdin:
                process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()

    def _answer(self, asked: str) -> None:
        verb, part = asked.split()
        if verb == "stop":
            self._stack.kill(part)
        else:
            self._stack.start_part(part)
        self._write({})

    def _write(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        # A browser that hangs must not hang the tests.
        watchdog = threading.Timer(DEADLINE_S, self._process.kill)
        watchdog.start()
        try:
            line = self._process.stdout.readline()
        finally:
            watchdog.cancel()
        assert line, "the browser's process has ended"
        message: dict[str, Any] = json.loads(line)
        return message
