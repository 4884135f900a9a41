"""Reading contexts: all reads of one turn of the event loop are sent as one MGET.

A call of redis-py costs more than the command in Redis, so joining the reads is what makes a busy gateway fast. A caller that is
cancelled never cancels the command: otherwise its answer could be taken for another caller's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from redis.asyncio import Redis

from gateway.store.connection import NO_ANSWER, STORE_ERRORS, store_unavailable
from gateway.store.keys import context_key
from gateway.telemetry import Metrics

MAX_KEYS = 500


@dataclass(frozen=True, slots=True)
class ContextReading:
    """A context (None: nothing is known of the visitor) and the visitor ids whose change notices concern it."""

    context: Mapping[str, Any] | None
    watched: tuple[str, ...]
    joined: bool = False
    """Whether the requested id is an anonymous one that joined a known visitor."""


class ContextReader:
    """Reads public contexts, following an anonymous id to the visitor it joined."""

    def __init__(self, redis: Redis, metrics: Metrics, timeout_ms: int) -> None:
        self._redis = redis
        self._metrics = metrics
        self._timeout_seconds = timeout_ms / 1000
        self._waiting: dict[str, list[asyncio.Future[bytes | None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def read(self, visitor_id: str) -> ContextReading:
        """The context, read after this call was made. Raises `StoreUnavailable`."""
        context = await self._get(visitor_id)
        if context is not None and (owner := context.get("alias_of")) is not None:
            owner_context = await self._get(owner)
            # The alias is written before the owner's state: between the two, nothing may be known of the owner.
            return ContextReading(owner_context, (visitor_id, owner), joined=True)
        return ContextReading(context, (visitor_id,))

    async def _get(self, visitor_id: str) -> dict[str, Any] | None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bytes | None] = loop.create_future()
        key = context_key(visitor_id)
        if not self._waiting:
            loop.call_soon(self._flush)
        self._waiting.setdefault(key, []).append(future)
        stored = await future
        return None if stored is None else orjson.loads(stored)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, {}
        keys = list(waiting)
        for start in range(0, len(keys), MAX_KEYS):
            chunk = {key: waiting[key] for key in keys[start : start + MAX_KEYS]}
            task = asyncio.create_task(self._mget(chunk))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _mget(self, waiting: dict[str, list[asyncio.Future[bytes | None]]]) -> None:
        self._metrics.context_reads.observe(len(waiting))
        problem: Exception | None = None
        values: list[Any] = []
        try:
            async with asyncio.timeout(self._timeout_seconds):
                values = await self._redis.mget(list(waiting))
        except STORE_ERRORS as error:
            problem = store_unavailable(NO_ANSWER, error)
        except Exception as error:  # noqa: BLE001  # a defect; those who read must not wait for an answer that cannot come
            problem = error
        for index, futures in enumerate(waiting.values()):
            for future in futures:
                if future.done():
                    continue
                if problem is None:
                    future.set_result(values[index])
                else:
                    future.set_exception(problem)
