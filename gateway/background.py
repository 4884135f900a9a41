"""Background tasks: started together, referenced while they run, and cancelled together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any, Final, TypeVar

CANCEL_AGAIN_SECONDS: Final = 0.5

log = logging.getLogger(__name__)
T = TypeVar("T")


class BackgroundTasks:
    """The background tasks of one owner.

    asyncio keeps only a weak reference to a task, so a running task must be held somewhere: here. A task that fails is
    logged at once; nothing else waits for it.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `work` until it ends, or until `stop` cancels it."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def stop(self) -> None:
        """Cancel every running task and wait until all have ended."""
        await cancel_and_wait(self._running)

    async def finish(self, timeout_seconds: float) -> None:
        """Wait until every running task has ended. Those still running after `timeout_seconds` are cancelled, not awaited."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=timeout_seconds)
            for task in late:
                task.cancel()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("A background task failed", exc_info=error)


async def cancel_and_wait(tasks: Iterable[asyncio.Future[Any]]) -> list[Any]:
    """Cancel the tasks and wait until all have ended. Returns the result or the exception of each, in order.

    A library may swallow a cancellation (redis-py does, while it sends a subscription), so it is repeated.
    """
    tasks = list(tasks)
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=CANCEL_AGAIN_SECONDS)
    return await asyncio.gather(*tasks, return_exceptions=True)
