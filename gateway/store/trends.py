"""Trends in Redis: counts per window, numbered snapshots, and numbered versions of the products bought together.

    {trends}:window:<start ms>       hash: product -> counts; expires past the horizon
    {trends}:snapshot:<number>       a snapshot; expires RETENTION_MS after it was replaced
    {trends}:snapshots               sorted set of the snapshots' numbers, to find the one that was current at an earlier time
    {trends}:current                 the number of the current snapshot; a new one is announced on {trends}:changed
    {trends}:together:<version>      products bought together; the last TOGETHER_KEPT versions are kept
    {trends}:together, …:versions    the current version, and the kept ones

A snapshot's number is the unix second at which its time slot starts. So numbers grow even across a flush or a failover, and if two
streams take the same number, the first wins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from redis.asyncio import Redis

from gateway.model.times import DAY_MS, HOUR_MS
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
from gateway.store.connection import store_errors_as
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
"""A snapshot can be read for this long after it was replaced: `explain` is exact about trends for this long."""
TOGETHER_KEPT: Final = 8
_WINDOW_RETENTION_MS: Final = WINDOW_MS + HORIZON_MS + HOUR_MS
_FIELDS_AT_ONCE: Final = 500
_VERSIONS_IN_MEMORY: Final = 2

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

WindowCounts = Mapping[int, Mapping[str, Counts]]
"""Counts by the start of their window (ms) and product."""


class TrendsStore:
    """Reads and writes trends. Every method raises `StoreUnavailable` when Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._together: dict[int, BoughtTogether] = {}

    async def current(self) -> int:
        """The number of the current snapshot; 0: there is none."""
        return _number_in(await self._command(self._redis.get(TRENDS_CURRENT_KEY)))

    async def number_at(self, at_ms: int) -> int:
        """The number of the snapshot that was current at a moment; 0: none is known for that time."""
        numbers = await self._command(self._redis.zrevrangebyscore(TRENDS_SNAPSHOTS_KEY, at_ms // 1000, "-inf", start=0, num=1))
        return _number_in(numbers[0]) if numbers else 0

    async def snapshot(self, number: int) -> Snapshot | None:
        """A snapshot; None: it is not kept, or cannot be decoded."""
        stored = await self._command(self._redis.get(trends_snapshot_key(number)))
        if stored is None:
            return None
        try:
            return await asyncio.to_thread(decode_snapshot, stored)
        except UnreadableTrends:
            return None

    async def load(self, number: int) -> Trends | None:
        """A snapshot with its version of the products bought together; None: the snapshot is not kept."""
        snapshot = await self.snapshot(number)
        return None if snapshot is None else snapshot.trends(await self._bought_together(snapshot.together_version))

    async def save_snapshot(self, snapshot: Snapshot, replaces: int) -> bool:
        """Make a snapshot the current one and announce it; false when the current one is as new. `replaces`: the number of the one
        before, or 0.
        """
        call: Any = self._redis.eval
        keys = (
            trends_snapshot_key(snapshot.number),
            TRENDS_CURRENT_KEY,
            TRENDS_SNAPSHOTS_KEY,
            TRENDS_CHANNEL,
            trends_snapshot_key(replaces),
        )
        value = await asyncio.to_thread(encode_snapshot, snapshot)
        return bool(await self._command(call(_SAVE, len(keys), *keys, snapshot.number, value, RETENTION_MS, replaces)) == 1)

    async def keep(self, number: int) -> bool:
        """Restart the retention of the current snapshot; false when it is no longer there."""
        return bool(await self._command(self._redis.pexpire(trends_snapshot_key(number), RETENTION_MS)))

    async def windows(self, now_ms: int) -> dict[int, dict[str, Counts]]:
        """The counts of all windows within the horizon, by the window's start (ms) and product."""
        last_start_ms = window_of(now_ms) + WINDOW_MS
        windows: dict[int, dict[str, Counts]] = {}
        for start_ms in range(last_start_ms - HORIZON_MS, last_start_ms + 1, WINDOW_MS):
            stored = await self._command(self._redis.hgetall(trends_window_key(start_ms)))
            counts: dict[str, Counts] = {}
            for product_id, raw in stored.items():
                try:
                    counts[product_id.decode()] = decode_counts(raw)
                except (UnreadableTrends, UnicodeDecodeError):
                    continue
            if counts:
                windows[start_ms] = counts
        return windows

    async def save_counts(self, changed: WindowCounts, dropped: Mapping[int, Sequence[str]]) -> None:
        """Store the current counts of some products, and drop other products, each by the start of the window (ms)."""
        pipe = self._redis.pipeline(transaction=False)
        for start_ms, counts_of in changed.items():
            fields = [(product_id, encode_counts(counts)) for product_id, counts in counts_of.items()]
            for first in range(0, len(fields), _FIELDS_AT_ONCE):
                pipe.hset(trends_window_key(start_ms), mapping=dict(fields[first : first + _FIELDS_AT_ONCE]))
            pipe.pexpireat(trends_window_key(start_ms), start_ms + _WINDOW_RETENTION_MS)
        for start_ms, product_ids in dropped.items():
            for first in range(0, len(product_ids), _FIELDS_AT_ONCE):
                pipe.hdel(trends_window_key(start_ms), *product_ids[first : first + _FIELDS_AT_ONCE])
        if len(pipe):
            await self._command(pipe.execute())

    async def together_version(self) -> int:
        """The current version of the products bought together; 0: there is none."""
        return _number_in(await self._command(self._redis.get(TOGETHER_CURRENT_KEY)))

    async def save_together(self, version: int, together: BoughtTogether) -> bool:
        """Store a version and make it the current one; the next snapshot uses it. False when the current one is as new."""
        if await self.together_version() >= version:
            return False
        value = await asyncio.to_thread(encode_together, together)
        await self._command(self._redis.set(together_key(version), value))
        await self._command(self._redis.zadd(TOGETHER_VERSIONS_KEY, {str(version): version}))
        await self._command(self._redis.set(TOGETHER_CURRENT_KEY, version))
        for old in await self._command(self._redis.zrange(TOGETHER_VERSIONS_KEY, 0, -TOGETHER_KEPT - 1)):
            await self._command(self._redis.delete(together_key(_number_in(old))))
            await self._command(self._redis.zrem(TOGETHER_VERSIONS_KEY, old))
        return True

    async def _bought_together(self, version: int) -> BoughtTogether | None:
        """A version of the products bought together; None: it is not kept, or cannot be decoded."""
        if version == 0:
            return {}
        if version in self._together:
            return self._together[version]
        stored = await self._command(self._redis.get(together_key(version)))
        if stored is None:
            return None
        try:
            together = await asyncio.to_thread(decode_together, stored)
        except UnreadableTrends:
            return None
        self._together[version] = together
        while len(self._together) > _VERSIONS_IN_MEMORY:
            del self._together[min(self._together)]
        return together

    async def _command(self, command: Any) -> Any:
        with store_errors_as("the trends cannot be read or written"):
            return await command


def _number_in(raw: bytes | str | None) -> int:
    try:
        return int(raw or 0)
    except ValueError:
        return 0
