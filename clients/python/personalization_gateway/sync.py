"""The client for synchronous code: Django, Flask, scripts.

Every method runs the asynchronous one on an event loop in its own thread, so that deadlines are kept to the millisecond and
nothing is implemented twice. All threads of a process share one connection pool. After a fork (a preforking server) the child
creates its own loop and pool: a connection shared by two processes could show one visitor's banner to another.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from functools import update_wrapper
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar

from personalization_gateway.client import GatewayClient
from personalization_gateway.errors import NoAnswer

P = ParamSpec("P")
T = TypeVar("T")

_START_S: Final = 5.0


def _waiting(
    method: Callable[Concatenate[GatewayClient, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[SyncGatewayClient, P], T]:
    """A method of the asynchronous client as one that blocks until it has the result."""

    def wait(self: SyncGatewayClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(lambda client: method(client, *args, **kwargs))

    return update_wrapper(wait, method, ("__doc__", "__name__"), ())


class SyncGatewayClient:
    """The same calls with the same arguments as `GatewayClient`, but they block. It can be used from many threads.

    Takes the arguments of `GatewayClient`. The first call raises RuntimeError if the process does not run threads.
    """

    start_visit = _waiting(GatewayClient.start_visit)
    banner = _waiting(GatewayClient.banner)
    banners = _waiting(GatewayClient.banners)
    personalize = _waiting(GatewayClient.personalize)
    track = _waiting(GatewayClient.track)
    identify = _waiting(GatewayClient.identify)
    set_consent = _waiting(GatewayClient.set_consent)
    delete_user = _waiting(GatewayClient.delete_user)
    user_context = _waiting(GatewayClient.user_context)
    explain = _waiting(GatewayClient.explain)

    def __init__(self, endpoint: str, **options: Any) -> None:
        """Arguments of `GatewayClient`."""
        self._make: Callable[[], GatewayClient] = lambda: GatewayClient(endpoint, **options)
        self._make()  # wrong arguments are refused here, not at the first page
        self._lock = threading.Lock()
        self._running: _Running | None = None
        _all.add(self)

    def close(self) -> None:
        """Close all connections and end the thread. A later call starts again."""
        with self._lock:
            running, self._running = self._running, None
        if running is not None:
            running.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, call: Callable[[GatewayClient], Coroutine[Any, Any, T]]) -> T:
        with self._lock:
            if self._running is None:
                self._running = _Running(self._make())
            running = self._running
        return running.run(call)

    def _forget(self) -> None:
        """In a forked child: the thread does not exist, and the connections belong to the parent."""
        self._lock = threading.Lock()
        self._running = None


class _Running:
    """An event loop in its thread, and the client on it."""

    def __init__(self, client: GatewayClient) -> None:
        self._client = client
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gateway-client", daemon=True)
        self._thread.start()
        started = threading.Event()
        self._loop.call_soon_threadsafe(started.set)
        if not started.wait(_START_S):
            raise RuntimeError("this process does not run other threads (uWSGI: set enable-threads); use GatewayClient instead")

    def run(self, call: Callable[[GatewayClient], Coroutine[Any, Any, T]]) -> T:
        future = asyncio.run_coroutine_threadsafe(call(self._client), self._loop)
        try:
            return future.result()
        except CancelledError:
            raise NoAnswer("closed", "the client was closed during the call") from None
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        # Callers in other threads must not wait forever.
        calls = asyncio.all_tasks() - {asyncio.current_task()}
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await self._client.aclose()


_all: weakref.WeakSet[SyncGatewayClient] = weakref.WeakSet()


def _after_fork() -> None:
    for client in list(_all):
        client._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
