"""`validUntil` with everything that time can change: schedules, caps, groups and holdouts of competing campaigns."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.decisions.decide import Decision, Inputs, decide
from gateway.model.rulesets.ruleset import InvalidRuleset, Ruleset
from tests.support.strategies import SETTINGS

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
CAMPAIGNS = range(4)
# Clocks change within the days after these: in Berlin, in Berlin and New York, nowhere.
BASES = (1_774_500_000_000, 1_792_800_000_000, 1_777_000_000_000)
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def time_text(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat()


@st.composite
def schedules(draw: st.DrawFn, base_ms: int) -> str:
    """With any of the fields, or none."""
    start, end = base_ms + draw(st.integers(-3 * 1440, 3 * 1440)) * MINUTE_MS, base_ms + draw(st.integers(4 * 1440, 8 * 1440)) * MINUTE_MS
    first, length = draw(st.integers(0, 46)), draw(st.integers(1, 20))
    last = min(first + length, 48)
    fields = {
        "from": f"'{time_text(start)}'",
        "until": f"'{time_text(end)}'",
        "days": f"[{', '.join(draw(st.lists(st.sampled_from(DAYS), min_size=1, max_size=6, unique=True)))}]",
        "hours": f"'{first // 2:02}:{first % 2 * 30:02}-{last // 2:02}:{last % 2 * 30:02}'",
    }
    chosen = [f"{name}: {fields[name]}" for name in draw(st.sets(st.sampled_from(sorted(fields))))]
    zone = draw(st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Tokyo"]))
    return f"schedule: {{{', '.join([*chosen, f'zone: {zone}'])}}}"


@st.composite
def caps(draw: st.DrawFn) -> str:
    """Views in several periods, and views since the last click."""
    periods = st.sampled_from(["", ", per: 30 minutes", ", per: 2 hours", ", per: 1 day", ", per: 3 days"])
    views = [f"{{max: {draw(st.integers(1, 4))}{draw(periods)}}}" for _ in range(draw(st.integers(0, 3)))]
    since = draw(st.sampled_from(["", ", views_since_click: 3"]))
    return f"caps: {{views: [{', '.join(views)}]{since}}}"


@st.composite
def rulesets(draw: st.DrawFn, base_ms: int) -> Ruleset:
    """Up to four campaigns of equal or different priority."""
    lines = []
    for number in range(draw(st.integers(1, len(CAMPAIGNS)))):
        parts = [draw(schedules(base_ms)) if draw(st.booleans()) else "salt: s", draw(caps())]
        parts.append(f"group: {draw(st.sampled_from('gh'))}" if draw(st.booleans()) else "description: d")
        parts.append(f"holdout: {draw(st.sampled_from(['0', '0.3']))}")
        headline = draw(st.sampled_from(["{last_search}", "h"]))
        head = f"id: c{number}, placement: hero, priority: {draw(st.integers(0, 2))}, when: 'true'"
        lines.append(f"  - {{{head}, banner: {{headline: '{headline} {number}'}}, {', '.join(parts)}}}\n")
    try:
        return load_ruleset("version: 1\nplacements: {hero: {fallback: {headline: F}}}\ncampaigns:\n" + "".join(lines), 1)
    except InvalidRuleset as problem:
        assume("it never runs" not in str(problem))
        raise


def seen(draw: st.DrawFn, base_ms: int) -> dict[str, Any]:
    """The views of a visitor in the four days before."""
    views = sorted(base_ms + minute * MINUTE_MS for minute in draw(st.lists(st.integers(-4 * 1440, 0), max_size=6)))
    return {"views": len(views), "clicks": 0, "dismissals": 0, "views_since_click": len(views), "recent_views_ms": views}


@settings(SETTINGS, max_examples=40)
@given(st.data())
def test_until_valid_until_time_alone_changes_nothing(data: st.DataObject) -> None:
    """Decided every half hour for nine days, as long as the shortest window is: the same campaign, variant and banner."""
    base_ms = data.draw(st.sampled_from(BASES))
    rules = data.draw(rulesets(base_ms))
    context = {
        "last_search": data.draw(st.sampled_from([None, "usb"])),
        "banners": {f"c{number}": data.draw(st.composite(seen)(base_ms)) for number in CAMPAIGNS},
    }
    shown = frozenset(data.draw(st.sets(st.sampled_from([f"c{number}" for number in CAMPAIGNS]), max_size=1)))
    now_ms = base_ms + data.draw(st.integers(0, 59_999))

    def at(time_ms: int) -> Decision:
        return decide(rules, "hero", Inputs(context, None, time_ms, "visitor-7", shown=shown))

    decision = at(now_ms)
    end_ms = min(decision.valid_until_ms or now_ms + 9 * DAY_MS, now_ms + 9 * DAY_MS)
    assert end_ms > now_ms
    for time_ms in (*range(now_ms, end_ms, 30 * MINUTE_MS), end_ms - 1):
        assert at(time_ms).content == decision.content, time_text(time_ms)
