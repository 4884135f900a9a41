"""When a campaign runs: from and until, days of the week and hours of the day in a time zone. Only schedules and caps depend on time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from gateway.model.times import InvalidTime, parse_time_ms

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES_A_DAY: Final = 24 * 60
END_MS: Final = 253_370_764_800_000
"""The start of the year 9999. Later moments are not accepted: Python has no dates for the days after them."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Times are ms since the epoch; `until_ms` is exclusive. `days` (0: Monday) and the minutes of the day are in the time zone `zone`.

    `from_minute` to `until_minute` (exclusive) is a span within one day; by default the whole day.
    """

    from_ms: int | None = None
    until_ms: int | None = None
    days: frozenset[int] = frozenset(range(7))
    from_minute: int = 0
    until_minute: int = MINUTES_A_DAY
    zone: str = "UTC"

    def at(self, now_ms: int) -> tuple[bool, int | None]:
        """Whether it runs now, and when (ms) that changes next (None: never)."""
        runs = self._runs(now_ms)
        return runs, next((moment for moment in self._boundaries(now_ms) if moment > now_ms and self._runs(moment) != runs), None)

    @property
    def ever_runs(self) -> bool:
        """Whether there is a moment at which it runs. There is one if it has no start or no end: every day and hour comes again."""
        if self.from_ms is None or self.until_ms is None:
            return True
        runs, next_change_ms = self.at(self.from_ms)
        return runs or next_change_ms is not None

    @property
    def _is_daily(self) -> bool:
        return len(self.days) < 7 or self.from_minute > 0 or self.until_minute < MINUTES_A_DAY

    def _runs(self, now_ms: int) -> bool:
        if self.from_ms is not None and now_ms < self.from_ms:
            return False
        if self.until_ms is not None and now_ms >= self.until_ms:
            return False
        if not self._is_daily:
            return True
        local = datetime.fromtimestamp(now_ms / 1000, ZoneInfo(self.zone))
        minute = local.hour * 60 + local.minute
        return local.weekday() in self.days and self.from_minute <= minute < self.until_minute

    def _boundaries(self, now_ms: int) -> list[int]:
        """The moments of the next days at which something could change, in order."""
        edges = [edge for edge in (self.from_ms, self.until_ms) if edge is not None]
        if self._is_daily:
            start_ms = max(now_ms, self.from_ms or now_ms)
            today = datetime.fromtimestamp(start_ms / 1000, ZoneInfo(self.zone)).toordinal()
            for day in range(today - 1, today + 16):
                edges += _edges_of_day(self.zone, day, self.from_minute, self.until_minute)
        return sorted(edges)


def parse_moment_ms(value: object, field: str) -> int:
    """A time for which decisions can be made, in ms since the epoch: an RFC 3339 string in the years 1970 to 9998.

    Raises `InvalidTime`.
    """
    moment_ms = parse_time_ms(value, field)
    if not 0 <= moment_ms < END_MS:
        raise InvalidTime(f"{field} must lie in the years 1970 to 9998")
    return moment_ms


@lru_cache(maxsize=4096)
def _edges_of_day(zone_name: str, day: int, from_minute: int, until_minute: int) -> tuple[int, ...]:
    """When a span starts and ends on a day by the wall clock (ms), and when the clock is changed on that day."""
    zone = ZoneInfo(zone_name)
    midnight = datetime.fromordinal(day)
    wall_times = [midnight + timedelta(minutes=minute) for minute in (from_minute, until_minute)]
    # When clocks go back, a wall-clock time occurs twice; when they go forward, it is skipped. Each reading of it is an edge.
    edges = {_ms(wall_time.replace(tzinfo=zone, fold=fold)) for wall_time in wall_times for fold in (0, 1)}
    before_ms, after_ms = _ms(midnight.replace(tzinfo=zone)), _ms((midnight + timedelta(days=1)).replace(tzinfo=zone))
    offset = _offset(zone, before_ms)
    if offset != _offset(zone, after_ms):
        while after_ms - before_ms > 1:
            middle_ms = (before_ms + after_ms) // 2
            before_ms, after_ms = (middle_ms, after_ms) if _offset(zone, middle_ms) == offset else (before_ms, middle_ms)
        edges.add(after_ms)
    return tuple(edges)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _offset(zone: ZoneInfo, moment_ms: int) -> timedelta | None:
    return datetime.fromtimestamp(moment_ms / 1000, zone).utcoffset()


ALWAYS: Final = Schedule()
