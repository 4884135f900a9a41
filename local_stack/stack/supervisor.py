"""Watches a running stack: if a part dies, it is restarted, or the stack ends."""

from __future__ import annotations

import threading
from typing import Final

from local_stack.console import Say
from local_stack.errors import PartFailed, StackError
from local_stack.stack.local_stack import LocalStack

_CHECK_EVERY_S: Final = 0.3
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 30.0


class Supervisor:
    """Watches a stack in its own thread until `ended` is set, and sets `ended` if it gives up.

    With `restart`, a part that dies is restarted after a pause. The pause doubles from 1 s to 30 s while the part keeps dying. Without
    `restart`, the supervisor gives up when the first part dies; `failure` is the reason.
    """

    def __init__(self, stack: LocalStack, restart: bool, report: Say) -> None:
        self.ended = threading.Event()
        self.failure: StackError | None = None
        self._stack = stack
        self._restart = restart
        self._report = report
        self._pause_s: dict[str, float] = {}
        self._thread = threading.Thread(target=self._watch, name="local-stack-supervisor", daemon=True)

    def begin(self) -> None:
        """Start watching."""
        self._thread.start()

    def join(self) -> None:
        """Wait until the thread has ended; set `ended` first."""
        self._thread.join()

    def _watch(self) -> None:
        while not self.ended.wait(_CHECK_EVERY_S):
            for dead in self._stack.dead_parts():
                if not self._restart:
                    self.failure = dead
                    self.ended.set()
                    return
                self._restart_part(dead)

    def _restart_part(self, dead: PartFailed) -> None:
        pause_s = self._pause_s.get(dead.part, _FIRST_PAUSE_S)
        self._pause_s[dead.part] = min(2 * pause_s, _LONGEST_PAUSE_S)
        self._report(f"{dead.part:<15} {dead.cause}; restarting it in {pause_s:.0f} s")
        if self.ended.wait(pause_s):
            return
        try:
            self._stack.start_part(dead.part)
            self._pause_s.pop(dead.part)
        except StackError as error:  # it died again or is not ready: the next check sees it
            self._report(str(error))
