"""Watches a running stack: a part that dies is started again, or ends the stack."""

from __future__ import annotations

import threading
from typing import Final

from local_stack.console import Say
from local_stack.errors import PartFailed, StackError
from local_stack.stack.local_stack import LocalStack

_LOOK_EVERY_S: Final = 0.3
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 30.0


class Supervisor:
    """Looks after a stack in a thread of its own until `ended` is set; sets `ended` itself when it has to give up.

    With `restart`, a part that dies is started again after a pause, which doubles from 1 s to 30 s while the part keeps
    dying; without, the first death ends it. `failure` holds the reason afterwards.
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
        """Wait until the thread has ended; set `ended` before."""
        self._thread.join()

    def _watch(self) -> None:
        while not self.ended.wait(_LOOK_EVERY_S):
            for dead in self._stack.dead_parts():
                if not self._restart:
                    self.failure = dead
                    self.ended.set()
                    return
                self._bring_back(dead)

    def _bring_back(self, dead: PartFailed) -> None:
        pause_s = self._pause_s.get(dead.part, _FIRST_PAUSE_S)
        self._pause_s[dead.part] = min(2 * pause_s, _LONGEST_PAUSE_S)
        self._report(f"{dead.part:<15} {dead.cause}; starting it again in {pause_s:.0f} s")
        if self.ended.wait(pause_s):
            return
        try:
            self._stack.start_part(dead.part)
            self._pause_s.pop(dead.part)
        except StackError as error:  # it is dead again, or not ready: the next look sees it
            self._report(str(error))
