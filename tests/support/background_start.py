"""A stack that starts in a thread of its own, while tests run that do not need it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from local_stack.stack.info import StackInfo
from local_stack.stack.local_stack import LocalStack


class BackgroundStart:
    """Starts a stack at once. `ready` waits for it."""

    def __init__(self, stack: LocalStack, warm_up: Callable[[StackInfo], None]) -> None:
        self._stack = stack
        self._warm_up = warm_up
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._start, name="stack-start", daemon=True)
        self._thread.start()

    def _start(self) -> None:
        try:
            self._stack.start(self._warm_up)
        except BaseException as problem:  # noqa: BLE001 - it is raised where the stack is needed
            self._problem = problem

    def ready(self) -> LocalStack:
        """The stack, once it has started. Raises what its start raised."""
        self._thread.join()
        if self._problem is not None:
            raise self._problem
        return self._stack

    def stop(self) -> None:
        """End the stack, also while it starts."""
        self._stack.interrupt()
        self._thread.join()
        self._stack.stop()
