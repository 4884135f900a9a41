"""Faults of in-memory parts: away for a number of calls, frozen until released, or failing after the work was done."""

from __future__ import annotations

import asyncio
from collections import deque


class Faults:
    """What the next calls meet. Without any, every call succeeds."""

    def __init__(self) -> None:
        self._before: deque[Exception | None] = deque()
        self._after: deque[Exception | None] = deque()
        self._open = asyncio.Event()
        self._open.set()

    def fail(self, error: Exception, times: int = 1) -> None:
        """The next calls raise `error` and do nothing."""
        self._before.extend([error] * times)

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
        self._open.set()

    def freeze(self) -> None:
        """Calls wait until `recover`."""
        self._open.clear()

    async def enter(self) -> None:
        """At the start of a call."""
        await self._open.wait()
        # Real parts never answer in the same turn of the loop.
        await asyncio.sleep(0)
        if self._before and (error := self._before.popleft()) is not None:
            raise error

    def leave(self) -> None:
        """At the end of a call."""
        if self._after and (error := self._after.popleft()) is not None:
            raise error
