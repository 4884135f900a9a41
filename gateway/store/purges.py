"""The queue of purges: visitors who withdrew consent, each with the time of the next purge.

A sorted set. An entry is written before the state that it concerns, so a crash loses none; an entry with nothing to purge does no
harm. A worker leases entries, which moves them to the end of the lease: if it dies, another worker leases them then. An entry is
removed only if it was not written again in the meantime.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from redis.asyncio import Redis

from gateway.model.times import MINUTE_MS
from gateway.store.connection import store_errors_as
from gateway.store.keys import PURGES_KEY

LEASE_MS: Final = MINUTE_MS

# KEYS: queue. ARGV: now, the end of the lease, how many.
_LEASE: Final = """
local due = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[3])
for _, visitor in ipairs(due) do redis.call('ZADD', KEYS[1], ARGV[2], visitor) end
return due
"""
# KEYS: queue. ARGV: the end of the lease, then the visitors.
_FINISH: Final = """
for i = 2, #ARGV do
  if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i]) or 0) == tonumber(ARGV[1]) then redis.call('ZREM', KEYS[1], ARGV[i]) end
end
return 1
"""


class PurgeQueue:
    """Adds, leases and finishes purges. `lease` and `finish` raise `StoreUnavailable` when Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def add(self, due_ms: Mapping[str, int]) -> None:
        """Set the time (ms) of the next purge of each of these visitors. Raises what redis-py raises."""
        if due_ms:
            await self._redis.zadd(PURGES_KEY, dict(due_ms))

    async def lease(self, now_ms: int, limit: int) -> list[str]:
        """At most `limit` visitors whose purge is due. No other worker gets them until the lease ends."""
        visitor_ids: Any = await self._eval(_LEASE, now_ms, now_ms + LEASE_MS, limit)
        return [visitor_id.decode() for visitor_id in visitor_ids]

    async def finish(self, visitor_ids: list[str], leased_at_ms: int) -> None:
        """Remove the entries that were leased at `leased_at_ms`, except those that were added again since."""
        await self._eval(_FINISH, leased_at_ms + LEASE_MS, *visitor_ids)

    async def _eval(self, script: str, *arguments: str | int) -> Any:
        call: Any = self._redis.eval
        with store_errors_as("the queue of purges did not answer"):
            return await call(script, 1, PURGES_KEY, *arguments)
