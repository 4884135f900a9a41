"""When a campaign runs: from and until, days of the week and hours of the day in a time zone. Time is nowhere else but in caps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES_A_DAY: Final = 24 * 60


@dataclass(frozen=True, slots=True)
class Schedule:
    """Times in ms since the epoch; `until_ms` is exclusive. `days` (0: Monday) and minutes of the day hold in `zone`.

    `from_minute` to `until_minute` (exclusive) is a span within one day; without it the whole day.
    """

    from_ms: int | None = None
    until_ms: int | None = None
    days: frozenset[int] = frozenset(range(7))
    from_minute: int = 0
    until_minute: int = MINUTES_A_DAY
    zone: str = "UTC"

    def at(self, now_ms: int) -> tuple[bool, int | None]:
        """Whether it runs now, and when that changes next (None: never again)."""
        runs = self._runs(now_ms)
        return runs, next((moment for moment in self._boundaries(now_ms) if moment > now_ms and self._runs(moment) != runs), None)

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
        """Every moment within the next days at which something could change, in order."""
        edges = [edge for edge in (self.from_ms, self.until_ms) if edge is not None]
        if self._is_daily:
            zone = ZoneInfo(self.zone)
            start_ms = max(now_ms, self.from_ms or now_ms)
            today = datetime.fromtimestamp(start_ms / 1000, zone).replace(hour=0, minute=0, second=0, microsecond=0)
            for day in range(-1, 9):
                for minute in (self.from_minute, self.until_minute):
                    # Wall-clock time: a day with a clock change has its edges where its clocks show them.
                    wall = (today.replace(tzinfo=None) + timedelta(days=day, minutes=minute)).replace(tzinfo=zone)
                    edges.append(int(wall.timestamp() * 1000))
        return sorted(edges)


ALWAYS: Final = Schedule()
