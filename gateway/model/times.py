"""Times: milliseconds since the epoch and RFC 3339 strings."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
MAX_TIME_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999: a later time cannot be written in RFC 3339."""


class InvalidTime(ValueError):
    """A value that is not a time, or is outside the accepted range. The message names the field and the remedy."""


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# RFC 3339, section 5.6. A time without an offset is ambiguous and therefore refused.
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")


def parse_time_ms(value: object, field: str) -> int:
    """Milliseconds since the epoch of an RFC 3339 string. Raises `InvalidTime`, which names `field`."""
    if isinstance(value, str) and _RFC3339.fullmatch(value):
        try:
            moment = datetime.fromisoformat(value.upper())
            # Rounded down in integers: two strings within the same millisecond must be equal.
            return (moment - _EPOCH) // timedelta(milliseconds=1)
        except (ValueError, OverflowError):
            pass
    raise InvalidTime(f"{field} must be an RFC 3339 time with offset, such as 2026-01-31T12:00:00.000Z")


def earliest_ms(*moments_ms: int | None) -> int | None:
    """The earliest of the known moments; None: none is known."""
    return min((ms for ms in moments_ms if ms is not None), default=None)


def latest_ms(*moments_ms: int | None) -> int | None:
    """The latest of the known moments; None: none is known."""
    return max((ms for ms in moments_ms if ms is not None), default=None)


def format_time_ms(time_ms: int) -> str:
    """An RFC 3339 string in UTC, with milliseconds."""
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"
