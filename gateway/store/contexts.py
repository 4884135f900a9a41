"""Reading the contexts of all visitors in batches, while the store serves others.

SCAN returns every key that exists during the whole scan at least once; while the store resizes its table a key may be returned
twice. In cluster mode a node knows only its own keys.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import orjson
from redis.asyncio import Redis

from gateway.store.connection import NO_ANSWER, store_errors_as

BATCH_KEYS: Final = 500
_PATTERN: Final = "context:*"


class AllContexts:
    """The contexts of a store. Every method raises `StoreUnavailable` when Redis does not answer."""

    def __init__(self, redis: Redis, batch_keys: int = BATCH_KEYS) -> None:
        self._redis = redis
        self._batch_keys = batch_keys

    async def is_in_cluster(self) -> bool:
        """Whether the store is a node of a cluster: then the contexts on its other nodes are missing."""
        with store_errors_as(NO_ANSWER):
            info: Any = await self._redis.info("cluster")
        return bool(info.get("cluster_enabled"))

    async def keys(self) -> int:
        """The number of keys of any kind: a context and a state for each visitor, and a few others."""
        with store_errors_as(NO_ANSWER):
            return int(await self._redis.dbsize())

    async def batches(self) -> AsyncIterator[tuple[int, list[dict[str, Any]]]]:
        """(keys looked at, contexts) of each step. An anonymous visitor who joined a known one is left out: the known one has it all."""
        cursor: Any = 0
        with store_errors_as(NO_ANSWER):
            while True:
                cursor, keys = await self._redis.scan(cursor, match=_PATTERN, count=self._batch_keys)
                pipeline = self._redis.pipeline(transaction=False)
                # Single reads, not MGET: in cluster mode the keys of a node are in many slots.
                for key in dict.fromkeys(keys):
                    pipeline.get(key)
                values = await pipeline.execute() if keys else []
                yield self._batch_keys, [context for value in values if value is not None and (context := _context_in(value)) is not None]
                if not int(cursor):
                    return


def _context_in(stored: bytes) -> dict[str, Any] | None:
    """The context that is stored; None for an alias, for a visitor without events and for what cannot be read."""
    try:
        context = orjson.loads(stored)
    except orjson.JSONDecodeError:
        return None
    return context if isinstance(context, dict) and "alias_of" not in context and context.get("version") else None
