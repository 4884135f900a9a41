"""Faults of in-memory parts: away for a number of calls, frozen until released, or failing after the work was done."""

from __future__ import annotations

import asyncio
from collections import deque


class Faults:
    """What the next calls meet. Without any, every call succeeds. `calls` is how many there were."""

    def __init__(self) -> None:
        self.calls = 0
        self._before: deque[Exception | None] = deque()
        self._after: deque[Exception | None] = deque()
        self._away: Exception | None = None
        self._open = asyncio.Event()
        self._open.set()

    def fail(self, error: Exception, times: int = 1) -> None:
        """The next calls raise `error` and do nothing."""
        self._before.extend([error] * times)

    def stay_away(self, error: Exception) -> None:
        """Every call raises `error` and does nothing, until `recover`."""
        self._away = error

    def fail_afterwards(self, error: Exception, times: int = 1) -> None:
        """The next calls do their work, and then raise `error`: the answer got lost."""
        self._after.extend([error] * times)

    def let_pass(self, times: int) -> None:
        """Let calls succeed before the faults that are added next."""
        self._before.extend([None] * times)

    def recover(self) -> None:
        """No more faults; whoever waits at a frozen part goes on."""
        self._before.clear()
        self._after.clear()
        self._away = None
        self._open.set()

    def freeze(self) -> None:
        """Calls wait until `recover`."""
        self._open.clear()

    async def enter(self) -> None:
        """At the start of a call."""
        self.calls += 1
        await self._open.wait()
        # Real parts never answer in the same turn of the loop.
        await asyncio.sleep(0)
        error = self._before.popleft() if self._before else self._away
        if error is not None:
            raise error

    def leave(self) -> None:
        """At the end of a call."""
        if self._after and (error := self._after.popleft()) is not None:
            raise error
