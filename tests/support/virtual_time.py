"""Time that passes only while nothing can run: a wait of an hour takes no time, and its end comes to the millisecond.

A test of waiting code sets its clock to the loop's time and sleeps: `await asyncio.sleep(3600)` lets one hour pass, in which everything
that was due happens in its order. What would wait forever fails at once.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

T = TypeVar("T")

START_MS: Final = 1_790_000_000_000
"""What `now_ms` returns when a loop starts: 2026-09-21T14:13:20Z."""


class Stuck(Exception):
    """Everything waits for something that nothing in the test will do."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop for tests without a network. Work for a thread is done at once, in the loop."""

    def __init__(self) -> None:
        self._seconds = 0.0
        super().__init__(_JumpingSelector(self._jump))

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._seconds

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """Call `func` in a later turn of the loop, so that no time passes that depends on the machine."""
        future: asyncio.Future[T] = self.create_future()

        def call() -> None:
            if not future.done():
                try:
                    future.set_result(func(*args))
                except Exception as error:  # noqa: BLE001  # whoever waits for the thread gets it
                    future.set_exception(error)

        self.call_soon(call)
        return future

    def _jump(self, seconds: float | None) -> None:
        if seconds is None:
            raise Stuck("every task waits for something that will not happen")
        self._seconds += seconds


class _JumpingSelector(selectors.DefaultSelector):
    """Where nothing is ready and the loop would wait, lets it jump to the end of the wait."""

    def __init__(self, jump: Callable[[float | None], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready now."""
        ready = super().select(0)
        if not ready and (timeout is None or timeout > 0):
            self._jump(timeout)
        return ready


def now_ms() -> int:
    """The time of day by the running loop, in ms since the epoch."""
    return START_MS + round(asyncio.get_running_loop().time() * 1000)


LOOPS: Final[Mapping[str, Callable[[], asyncio.AbstractEventLoop]]] = {"virtual": VirtualTimeLoop}
"""For the hook `pytest_asyncio_loop_factories` of a folder whose tests run in virtual time."""
