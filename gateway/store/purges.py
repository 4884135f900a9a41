"""The queue of purges: visitors who withdrew consent, each with the moment at which something of them is to be dropped.

A sorted set. An entry is written before the state that it concerns, so a crash loses none; one that finds nothing to purge
does no harm. Whoever takes entries puts them off by a lease: should it die, another takes them then. An entry is removed
only if nobody wrote it anew meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from redis.asyncio import Redis

from gateway.store.connection import STORE_ERRORS, StoreUnavailable
from gateway.store.keys import PURGES_KEY

LEASE_MS: Final = 60_000

# KEYS: queue. ARGV: now, until when they are leased, how many.
_TAKE: Final = """
local due = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[3])
for _, visitor in ipairs(due) do redis.call('ZADD', KEYS[1], ARGV[2], visitor) end
return due
"""
# KEYS: queue. ARGV: the lease's end, then the visitors.
_FINISH: Final = """
for i = 2, #ARGV do
  if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i]) or 0) == tonumber(ARGV[1]) then redis.call('ZREM', KEYS[1], ARGV[i]) end
end
return 1
"""


class PurgeQueue:
    """Notes, takes and finishes purges. `take` and `finish` raise `StoreUnavailable` when Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def add(self, due: Mapping[str, int]) -> None:
        """Note when (ms) something of these visitors is to be purged. Raises what redis-py raises."""
        if due:
            await self._redis.zadd(PURGES_KEY, dict(due))

    async def take(self, now_ms: int, limit: int) -> list[str]:
        """Visitors of whom something is due, put off until their lease ends."""
        found: Any = await self._run(_TAKE, now_ms, now_ms + LEASE_MS, limit)
        return [visitor_id.decode() for visitor_id in found]

    async def finish(self, visitor_ids: list[str], taken_ms: int) -> None:
        """Remove what was taken at `taken_ms`, unless it was noted anew since."""
        await self._run(_FINISH, taken_ms + LEASE_MS, *visitor_ids)

    async def _run(self, script: str, *arguments: str | int) -> Any:
        call: Any = self._redis.eval
        try:
            return await call(script, 1, PURGES_KEY, *arguments)
        except STORE_ERRORS as error:
            raise StoreUnavailable(f"the queue of purges did not answer: {type(error).__name__}") from error
