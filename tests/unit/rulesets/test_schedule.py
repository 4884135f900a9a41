"""Schedules: days and hours in a time zone, including clock changes, and the moment at which time alone changes a decision."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.inputs import decision_time_input
from gateway.errors import BadUserInput
from gateway.model.rulesets.schedule import DAYS, END_MS, Schedule, parse_moment_ms
from gateway.model.times import InvalidTime, format_time_ms
from tests.support.strategies import SETTINGS

BERLIN = "Europe/Berlin"
HOUR_MS = 3_600_000


def at(text: str, zone: str = BERLIN) -> int:
    """A wall-clock time as milliseconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def days(*names: str) -> frozenset[int]:
    return frozenset(DAYS.index(name) for name in names)


OFFICE = Schedule(days=days("mon", "tue", "wed", "thu", "fri"), from_minute=9 * 60, until_minute=18 * 60, zone=BERLIN)


@pytest.mark.parametrize(
    ("now", "runs", "changes"),
    [
        ("2026-07-06T08:59", False, "2026-07-06T09:00"),  # a Monday
        ("2026-07-06T09:00", True, "2026-07-06T18:00"),
        ("2026-07-06T17:59", True, "2026-07-06T18:00"),
        ("2026-07-06T18:00", False, "2026-07-07T09:00"),
        ("2026-07-10T18:00", False, "2026-07-13T09:00"),  # Friday to Monday
        ("2026-07-11T12:00", False, "2026-07-13T09:00"),
    ],
)
def test_days_and_hours_apply_in_their_zone(now: str, runs: bool, changes: str) -> None:
    """And the next change is returned, even across a weekend."""
    assert OFFICE.at(at(now)) == (runs, at(changes))


def test_the_zone_is_not_the_machines() -> None:
    """Nine in Berlin is three in New York."""
    assert OFFICE.at(at("2026-07-06T03:00", "America/New_York"))[0]
    assert not OFFICE.at(at("2026-07-06T09:00", "Asia/Tokyo"))[0]


def test_clocks_that_go_forward_leave_a_night_short() -> None:
    """On 29 March 2026 it is 02:00, then 03:00, in Berlin: a span within the gap has no moment; one around it is an hour shorter."""
    night = Schedule(from_minute=60, until_minute=240, zone=BERLIN)
    start, end = at("2026-03-29T01:00"), at("2026-03-29T04:00")
    assert end - start == 2 * HOUR_MS
    assert night.at(start) == (True, end)
    assert night.at(start - 1) == (False, start)
    assert not any(Schedule(from_minute=120, until_minute=180, zone=BERLIN).at(start + n * 60_000)[0] for n in range(180))


def test_clocks_that_go_back_make_a_night_long() -> None:
    """On 25 October 2026 the hour from 02:00 occurs two times: both are within the span."""
    night = Schedule(from_minute=60, until_minute=240, zone=BERLIN)
    start, end = at("2026-10-25T01:00"), at("2026-10-25T04:00")
    assert end - start == 4 * HOUR_MS
    assert night.at(start) == (True, end)


def test_a_span_within_the_repeated_hour_runs_twice() -> None:
    """02:15 to 02:45 occurs two times that night; each start and each end is returned."""
    span = Schedule(from_minute=135, until_minute=165, zone=BERLIN)
    start = at("2026-10-25T02:15")
    edges = [start, start + HOUR_MS // 2, start + HOUR_MS, start + 3 * HOUR_MS // 2]
    assert [span.at(edge)[0] for edge in edges] == [True, False, True, False]
    assert span.at(start - 1) == (False, edges[0])
    assert [span.at(edge)[1] for edge in edges[:3]] == edges[1:]


schedules = st.builds(
    Schedule,
    st.none() | st.integers(1_770_000_000_000, 1_780_000_000_000),
    st.none() | st.integers(1_780_000_000_001, 1_795_000_000_000),
    st.frozensets(st.integers(0, 6), min_size=1),
    st.integers(0, 22).map(lambda half: half * 30),
    st.integers(24, 48).map(lambda half: half * 30) | st.integers(1, 60).map(lambda more: 690 + more),
    st.sampled_from([BERLIN, "America/New_York", "Asia/Tokyo", "Australia/Lord_Howe", "UTC"]),
)


# Clocks change on these days: Berlin, New York, and Lord Howe, which moves its clocks by half an hour.
changes = st.sampled_from(["2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2026-04-05", "2026-10-04"]).map(
    lambda day: at(day, "UTC")
)
moments = st.integers(1_765_000_000_000, 1_800_000_000_000) | st.builds(int.__add__, changes, st.integers(-24 * HOUR_MS, 30 * HOUR_MS))


@SETTINGS
@given(schedules, moments, st.lists(st.floats(0, 1), max_size=12))
def test_nothing_changes_before_the_moment_that_is_returned(schedule: Schedule, now_ms: int, within: list[float]) -> None:
    """At that moment it does change; if there is none, never within a month."""
    runs, next_change_ms = schedule.at(now_ms)
    end_ms = next_change_ms if next_change_ms is not None else now_ms + 30 * 24 * HOUR_MS
    assert end_ms > now_ms
    for share in (*within, 1.0):
        moment = now_ms + int((end_ms - now_ms - 1) * share)
        assert schedule.at(moment)[0] == runs
    if next_change_ms is not None:
        assert schedule.at(next_change_ms)[0] != runs


@pytest.mark.parametrize("zone", [BERLIN, "America/New_York", "Pacific/Kiritimati", "Pacific/Niue"])
@pytest.mark.parametrize("now_ms", [0, END_MS - 1])
def test_a_decision_can_be_made_for_every_accepted_time(zone: str, now_ms: int) -> None:
    """From the first to the last accepted year, in every zone."""
    assert parse_moment_ms(format_time_ms(now_ms), "at") == now_ms
    runs, next_change_ms = Schedule(from_minute=540, until_minute=1080, zone=zone).at(now_ms)
    assert runs in (True, False)
    assert next_change_ms is not None


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999Z", "9999-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_times_beyond_are_refused(text: str) -> None:
    """With the range of years, wherever such a time is sent."""
    with pytest.raises(InvalidTime, match="at must lie in the years 1970 to 9998"):
        parse_moment_ms(text, "at")
    with pytest.raises(BadUserInput, match="at must lie in the years 1970 to 9998"):
        decision_time_input(text, "at")


def named(from_text: str, until_text: str, **options: Any) -> Schedule:
    return Schedule(at(from_text), at(until_text), zone=BERLIN, **options)


@pytest.mark.parametrize(
    ("schedule", "runs"),
    [
        (Schedule(days=days("mon")), True),
        (Schedule(until_ms=0, days=days("mon")), True),
        (named("2026-07-06T00:00", "2026-07-07T00:00", days=days("mon")), True),
        (named("2026-07-06T00:00", "2026-07-07T00:00", days=days("tue")), False),
        (named("2026-07-06T00:00", "2026-07-07T00:01", days=days("tue")), True),
        (named("2026-07-06T10:00", "2026-07-06T11:00", from_minute=720, until_minute=780), False),
        (named("2026-07-06T10:00", "2026-07-06T12:01", from_minute=720, until_minute=780), True),
        (named("2026-03-29T00:00", "2026-03-29T12:00", from_minute=120, until_minute=180), False),  # 02:00 is followed by 03:00
        (named("2026-03-29T00:00", "2026-03-30T12:00", from_minute=120, until_minute=180), True),
    ],
)
def test_a_schedule_that_never_runs_is_detected(schedule: Schedule, runs: bool) -> None:
    """Its days and hours have to be between from and until."""
    assert schedule.ever_runs is runs
