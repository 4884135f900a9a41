"""Reading the contexts of all visitors, some hundred at a time, beside a store that serves others.

SCAN gives every key that is there from its beginning to its end at least once; while the store makes its table larger or
smaller a key may come twice. In cluster mode a node knows its own keys only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import orjson
from redis.asyncio import Redis

from gateway.store.connection import STORE_ERRORS, StoreUnavailable

BATCH: Final = 500
_PATTERN: Final = "context:*"


class AllContexts:
    """The contexts of a store. Every method raises `StoreUnavailable` when Redis does not answer."""

    def __init__(self, redis: Redis, batch: int = BATCH) -> None:
        self._redis = redis
        self._batch = batch

    async def is_in_cluster(self) -> bool:
        """Whether the store is a node of a cluster: then the contexts of its other nodes are missing."""
        try:
            found: Any = await self._redis.info("cluster")
        except STORE_ERRORS as error:
            raise _away(error) from error
        return bool(found.get("cluster_enabled"))

    async def keys(self) -> int:
        """How many keys there are of any kind: a context and a state for each visitor, and a few others."""
        try:
            return int(await self._redis.dbsize())
        except STORE_ERRORS as error:
            raise _away(error) from error

    async def batches(self) -> AsyncIterator[tuple[int, list[dict[str, Any]]]]:
        """(keys looked at, contexts) of each step; an anonymous visitor who joined a known one is left to that one."""
        cursor: Any = 0
        try:
            while True:
                cursor, keys = await self._redis.scan(cursor, match=_PATTERN, count=self._batch)
                pipeline = self._redis.pipeline(transaction=False)
                # Single reads, not MGET: in cluster mode the keys of a node lie in many slots.
                for key in dict.fromkeys(keys):
                    pipeline.get(key)
                stored = await pipeline.execute() if keys else []
                yield self._batch, [context for one in stored if one is not None and (context := _readable(one)) is not None]
                if not int(cursor):
                    return
        except STORE_ERRORS as error:
            raise _away(error) from error


def _readable(stored: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(stored)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) and "alias_of" not in found and found.get("version") else None


def _away(error: BaseException) -> StoreUnavailable:
    return StoreUnavailable(f"the context store did not answer: {type(error).__name__}")
