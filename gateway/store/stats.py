"""Campaign statistics in Redis: one hash per campaign, a field per hour.

    {campaign_stats:<campaign>}:hours   hash: hour since the epoch -> its rows; and how they were computed
    {campaign_stats}:campaigns          set of the campaigns that have rows
    {campaign_stats}:as_of              the time as of which the statistics were last computed

The hours of a campaign are replaced in one step, from the first hour that the log still covers in full; earlier hours stay as they
are. If two runs overlap, the one that read the log later wins. When the topics were re-created (a later log epoch), the rows that
were counted from the old topics stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis

from gateway.model.statistics.results import Coverage, StatsRow, decode_rows, encode_rows
from gateway.model.times import DAY_MS, HOUR_MS
from gateway.store.connection import StoreUnavailable, store_errors_as
from gateway.store.keys import STATS_AS_OF_KEY, STATS_CAMPAIGNS_KEY, campaign_stats_key

RETENTION_DAYS: Final = 400
"""A row is kept for this long; all rows of a campaign too, when statistics are no longer computed."""
_RETENTION_MS: Final = RETENTION_DAYS * DAY_MS
_NOT_READ: Final = "campaign statistics cannot be read"

# KEYS: the campaign's hash. ARGV: as of, log epoch, first hour to replace, hour at which the log starts, oldest hour to keep,
# expiry in ms, attribution days, return days; then hours and their rows.
_SAVE: Final = """
local as_of, epoch, kept = unpack(redis.call('HMGET', KEYS[1], 'as_of_ms', 'log_epoch', 'kept_before'))
local first, oldest = tonumber(ARGV[3]), tonumber(ARGV[5])
kept = tonumber(kept or 0)
if epoch and tonumber(epoch) ~= tonumber(ARGV[2]) then
  if tonumber(epoch) > tonumber(ARGV[2]) then return 0 end
  kept = math.max(kept, tonumber(ARGV[4]))
elseif as_of and tonumber(as_of) > tonumber(ARGV[1]) then return 0 end
first = math.max(first, kept)
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  local hour = tonumber(field)
  if hour and (hour >= first or hour < oldest) then redis.call('HDEL', KEYS[1], field) end
end
for i = 9, #ARGV, 2 do
  local hour = tonumber(ARGV[i])
  if hour >= first and hour >= oldest then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
redis.call('HSET', KEYS[1], 'as_of_ms', ARGV[1], 'log_epoch', ARGV[2], 'first_hour', string.format('%d', first),
  'kept_before', string.format('%d', kept), 'attribution_days', ARGV[7], 'return_days', ARGV[8])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
return 1
"""
_COVERAGE_FIELDS: Final = ("as_of_ms", "attribution_days", "return_days", "log_epoch", "first_hour")


@dataclass(frozen=True, slots=True)
class StoredStats:
    """The rows of a campaign by hour, and how the latest of them were computed."""

    coverage: Coverage
    hours: Mapping[int, Sequence[StatsRow]]


class CampaignStatsStore:
    """Reads and writes campaign statistics. Every method raises `StoreUnavailable` when Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def save(self, campaigns: Mapping[str, Mapping[int, Sequence[StatsRow]]], coverage: Coverage, log_start_hour: int) -> int:
        """Replace the hours from `coverage.first_hour` on: by the rows of these campaigns, and by no rows for all other campaigns.

        `log_start_hour`: the hour of the first record of the log. Returns how many campaigns were written; one that a later run has
        written in the meantime is left alone.
        """
        call: Any = self._redis
        written = 0
        with store_errors_as("campaign statistics cannot be written"):
            known = {member.decode() if isinstance(member, bytes) else member for member in await call.smembers(STATS_CAMPAIGNS_KEY)}
            for campaign_id in sorted(known | set(campaigns)):
                # Listed first: rows of a campaign that is not listed would never be replaced.
                await call.sadd(STATS_CAMPAIGNS_KEY, campaign_id)
                arguments = _save_arguments(campaigns.get(campaign_id, {}), coverage, log_start_hour)
                written += await call.eval(_SAVE, 1, campaign_stats_key(campaign_id), *arguments)
            await call.set(STATS_AS_OF_KEY, coverage.as_of_ms, px=_RETENTION_MS)
        return written

    async def load(self, campaign_id: str) -> StoredStats | None:
        """All rows of a campaign; None: there are none."""
        call: Any = self._redis
        with store_errors_as(_NOT_READ):
            stored = await call.hgetall(campaign_stats_key(campaign_id))
        if not stored:
            return None
        try:
            fields = {name.decode() if isinstance(name, bytes) else name: value for name, value in stored.items()}
            hours = {int(name): decode_rows(value) for name, value in fields.items() if name.isdecimal()}
            return StoredStats(Coverage(*(int(fields[name]) for name in _COVERAGE_FIELDS)), hours)
        except (ValueError, KeyError) as problem:
            raise StoreUnavailable("campaign statistics in Redis cannot be read; compute them again") from problem

    async def as_of_ms(self) -> int | None:
        """When the log was read for the latest statistics; None: statistics were never computed."""
        with store_errors_as(_NOT_READ):
            stored = await self._redis.get(STATS_AS_OF_KEY)
        return None if stored is None else int(stored)


def _save_arguments(hours: Mapping[int, Sequence[StatsRow]], coverage: Coverage, log_start_hour: int) -> list[bytes | int]:
    oldest_hour = coverage.as_of_ms // HOUR_MS - RETENTION_DAYS * 24
    arguments: list[bytes | int] = [coverage.as_of_ms, coverage.log_epoch, coverage.first_hour, log_start_hour, oldest_hour]
    arguments += [_RETENTION_MS, coverage.attribution_days, coverage.return_days]
    for hour, rows in sorted(hours.items()):
        arguments += [hour, encode_rows(rows)]
    return arguments
