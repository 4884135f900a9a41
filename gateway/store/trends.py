"""Trends in Redis: counts per window, numbered snapshots, and numbered versions of what is bought together.

    {trends}:window:<start ms>       hash: product -> counts; expires past the horizon
    {trends}:snapshot:<number>       a snapshot; expires RETENTION after it was replaced
    {trends}:snapshots               sorted set of the snapshots' numbers, to find the one of a past moment
    {trends}:current                 the number of the current snapshot; a new one is announced on {trends}:changed
    {trends}:together:<version>      what is bought together; the last TOGETHER_KEPT versions are kept
    {trends}:together, …:versions    the current version, and those kept

A snapshot's number is the unix second at which its time slot begins, so numbers grow also over a flush or a failover, and of
two streams that take the same one the first wins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from redis.asyncio import Redis

from gateway.model.times import DAY_MS
from gateway.model.trends.codec import (
    BoughtTogether,
    Snapshot,
    UnreadableTrends,
    decode_counts,
    decode_snapshot,
    decode_together,
    encode_counts,
    encode_snapshot,
    encode_together,
)
from gateway.model.trends.snapshot import Trends
from gateway.model.trends.windows import HORIZON_MS, WINDOW_MS, Counts, window_of
from gateway.store.connection import STORE_ERRORS, StoreUnavailable
from gateway.store.keys import (
    TOGETHER_CURRENT_KEY,
    TOGETHER_VERSIONS_KEY,
    TRENDS_CHANNEL,
    TRENDS_CURRENT_KEY,
    TRENDS_SNAPSHOTS_KEY,
    together_key,
    trends_snapshot_key,
    trends_window_key,
)

RETENTION_MS: Final = DAY_MS
"""So long a snapshot can be read after another took its place: so far back `explain` is exact about trends."""
TOGETHER_KEPT: Final = 8
_WINDOW_KEPT_MS: Final = WINDOW_MS + HORIZON_MS + 3600 * 1000
_FIELDS_AT_ONCE: Final = 500
_COMPANIONS_LOADED: Final = 2

# KEYS: snapshot, current, snapshots, channel, the snapshot it replaces. ARGV: number, value, retention ms, the number it replaces.
_SAVE: Final = """
local current = redis.call('GET', KEYS[2])
if current and tonumber(current) and tonumber(current) >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('SET', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[3], ARGV[1], ARGV[1])
if ARGV[4] ~= '0' then redis.call('PEXPIRE', KEYS[5], ARGV[3]) end
local gone = redis.call('ZREVRANGEBYSCORE', KEYS[3], tonumber(ARGV[1]) - tonumber(ARGV[3]) / 1000, '-inf', 'LIMIT', 1, 1)
if gone[1] then redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', gone[1]) end
redis.call('SPUBLISH', KEYS[4], ARGV[1])
return 1
"""

Changes = Mapping[int, Mapping[str, Counts]]


class TrendsStore:
    """Reads and writes all of it. Every method raises `StoreUnavailable` when Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._together: dict[int, BoughtTogether] = {}

    async def current(self) -> int:
        """The number of the current snapshot; 0: there is none."""
        return _number(await self._ask(self._redis.get(TRENDS_CURRENT_KEY)))

    async def number_at(self, at_ms: int) -> int:
        """The number of the snapshot that was current at a moment; 0: none is known of then."""
        found = await self._ask(self._redis.zrevrangebyscore(TRENDS_SNAPSHOTS_KEY, at_ms // 1000, "-inf", start=0, num=1))
        return _number(found[0]) if found else 0

    async def snapshot(self, number: int) -> Snapshot | None:
        """A snapshot; None: there is none by this number that is kept."""
        stored = await self._ask(self._redis.get(trends_snapshot_key(number)))
        if stored is None:
            return None
        try:
            return await asyncio.to_thread(decode_snapshot, stored)
        except UnreadableTrends:
            return None

    async def load(self, number: int) -> Trends | None:
        """A snapshot together with what was bought together then; None: it is not kept."""
        found = await self.snapshot(number)
        return None if found is None else found.trends(await self._companions(found.together_version))

    async def save_snapshot(self, snapshot: Snapshot, replaces: int) -> bool:
        """Make a snapshot the current one and announce it; false when one as new is there. `replaces`: the one before, or 0."""
        call: Any = self._redis.eval
        keys = (
            trends_snapshot_key(snapshot.number),
            TRENDS_CURRENT_KEY,
            TRENDS_SNAPSHOTS_KEY,
            TRENDS_CHANNEL,
            trends_snapshot_key(replaces),
        )
        value = await asyncio.to_thread(encode_snapshot, snapshot)
        return bool(await self._ask(call(_SAVE, len(keys), *keys, snapshot.number, value, RETENTION_MS, replaces)) == 1)

    async def keep(self, number: int) -> bool:
        """Begin the retention of the current snapshot anew; false when it is no longer there."""
        return bool(await self._ask(self._redis.pexpire(trends_snapshot_key(number), RETENTION_MS)))

    async def windows(self, now_ms: int) -> dict[int, dict[str, Counts]]:
        """The counts of all windows that still count."""
        last = window_of(now_ms) + WINDOW_MS
        starts = range(last - HORIZON_MS, last + 1, WINDOW_MS)
        found: dict[int, dict[str, Counts]] = {}
        for start in starts:
            stored = await self._ask(self._redis.hgetall(trends_window_key(start)))
            counts: dict[str, Counts] = {}
            for product_id, raw in stored.items():
                try:
                    counts[product_id.decode()] = decode_counts(raw)
                except (UnreadableTrends, UnicodeDecodeError):
                    continue
            if counts:
                found[start] = counts
        return found

    async def save_counts(self, changes: Changes, dropped: Mapping[int, Sequence[str]]) -> None:
        """Store the counts of some products as they now are, and drop others."""
        pipe = self._redis.pipeline(transaction=False)
        for start, counts in changes.items():
            fields = [(product_id, encode_counts(one)) for product_id, one in counts.items()]
            for first in range(0, len(fields), _FIELDS_AT_ONCE):
                pipe.hset(trends_window_key(start), mapping=dict(fields[first : first + _FIELDS_AT_ONCE]))
            pipe.pexpireat(trends_window_key(start), start + _WINDOW_KEPT_MS)
        for start, names in dropped.items():
            for first in range(0, len(names), _FIELDS_AT_ONCE):
                pipe.hdel(trends_window_key(start), *names[first : first + _FIELDS_AT_ONCE])
        if len(pipe):
            await self._ask(pipe.execute())

    async def together_version(self) -> int:
        """The current version of what is bought together; 0: there is none."""
        return _number(await self._ask(self._redis.get(TOGETHER_CURRENT_KEY)))

    async def save_together(self, version: int, together: BoughtTogether) -> bool:
        """Store a version and make it the current one; the next snapshot takes it up. False when one as new is there."""
        if await self.together_version() >= version:
            return False
        value = await asyncio.to_thread(encode_together, together)
        await self._ask(self._redis.set(together_key(version), value))
        await self._ask(self._redis.zadd(TOGETHER_VERSIONS_KEY, {str(version): version}))
        await self._ask(self._redis.set(TOGETHER_CURRENT_KEY, version))
        for old in await self._ask(self._redis.zrange(TOGETHER_VERSIONS_KEY, 0, -TOGETHER_KEPT - 1)):
            await self._ask(self._redis.delete(together_key(_number(old))))
            await self._ask(self._redis.zrem(TOGETHER_VERSIONS_KEY, old))
        return True

    async def _companions(self, version: int) -> BoughtTogether | None:
        if version == 0:
            return {}
        if version in self._together:
            return self._together[version]
        stored = await self._ask(self._redis.get(together_key(version)))
        if stored is None:
            return None
        try:
            found = await asyncio.to_thread(decode_together, stored)
        except UnreadableTrends:
            return None
        self._together[version] = found
        while len(self._together) > _COMPANIONS_LOADED:
            del self._together[min(self._together)]
        return found

    async def _ask(self, command: Any) -> Any:
        try:
            return await command
        except STORE_ERRORS as error:
            raise StoreUnavailable(f"the trends cannot be read or written: {type(error).__name__}") from error


def _number(raw: bytes | str | None) -> int:
    try:
        return int(raw or 0)
    except ValueError:
        return 0
