"""Frequency caps: by number, by period, since the last click, after a dismissal; a banner that the page shows is never removed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.decisions.decide import Decision, Inputs, StepOutcome, decide, judge
from gateway.model.rulesets.ruleset import Ruleset
from gateway.model.visitors.context_view import view
from gateway.model.visitors.state import State, absorb
from tests.support.strategies import DAY_MS, HOUR_MS, MINUTE_MS, SETTINGS, START_MS, VISITOR, event_at, logged

Step = tuple[str, float]


def rules(caps: str) -> Ruleset:
    campaign = f"{{id: sale, placement: hero, when: 'true', caps: {caps}, banner: {{headline: Sale}}}}"
    return load_ruleset(f"version: 1\nplacements: {{hero: {{fallback: {{headline: Hello}}}}}}\ncampaigns:\n  - {campaign}\n", 1)


def after(*steps: Step) -> dict[str, Any]:
    """The context after some BANNER_* events, each with its minute."""
    payload = {"decision": {"placement": "hero", "campaign_id": "sale"}}
    events = [event_at(minute, f"BANNER_{what}", payload, message_id=f"m{n}") for n, (what, minute) in enumerate(steps)]
    return view(absorb(State(VISITOR), logged(events))[0])


def decided(ruleset: Ruleset, context: dict[str, Any], minute: float = 100, shown: frozenset[str] = frozenset()) -> Decision:
    return decide(ruleset, "hero", Inputs(context, None, START_MS + int(minute * MINUTE_MS), VISITOR, shown=shown))


def is_shown(*args: Any, **options: Any) -> bool:
    return decided(*args, **options).campaign_id == "sale"


def views(*minutes: float) -> list[Step]:
    return [("VIEWED", minute) for minute in minutes]


def test_a_cap_without_a_period_applies_forever() -> None:
    """Two views, then never again."""
    ruleset = rules("{views: [{max: 2}]}")
    assert is_shown(ruleset, after(*views(1)))
    decision = decided(ruleset, after(*views(1, 2)), minute=10_000_000)
    assert (decision.campaign_id, decision.valid_until_ms) == (None, None)


def test_a_period_slides_and_names_its_end() -> None:
    """Two an hour: the third may come an hour after the first, whatever the clock's hour."""
    ruleset = rules("{views: [{max: 2, per: 1 hour}]}")
    context = after(*views(10, 50))
    decision = decided(ruleset, context, minute=55)
    assert (decision.campaign_id, decision.valid_until_ms) == (None, START_MS + 70 * MINUTE_MS)
    assert not is_shown(ruleset, context, minute=70 - 1 / 60_000)
    assert is_shown(ruleset, context, minute=70)
    assert decided(ruleset, after(*views(10, 50, 70)), minute=75).valid_until_ms == START_MS + 110 * MINUTE_MS


def test_the_last_cap_to_expire_counts() -> None:
    """One an hour and three a day."""
    ruleset = rules("{views: [{max: 1, per: 1 hour}, {max: 3, per: 1 day}]}")
    decision = decided(ruleset, after(*views(0, 61, 122)), minute=130)
    assert decision.valid_until_ms == START_MS + DAY_MS
    decision = decided(ruleset, after(*views(0)), minute=30)
    assert decision.valid_until_ms == START_MS + HOUR_MS


@pytest.mark.parametrize(("text", "length_ms"), [("1 minute", MINUTE_MS), ("12 hours", 12 * HOUR_MS), ("2 weeks", 14 * DAY_MS)])
def test_periods_are_minutes_hours_days_or_weeks(text: str, length_ms: int) -> None:
    """Counted from each view."""
    decision = decided(rules(f"{{views: [{{max: 1, per: {text}}}]}}"), after(*views(99.5)))
    assert decision.valid_until_ms == START_MS + int(99.5 * MINUTE_MS) + length_ms


def test_views_since_the_last_click_start_over_with_each_click() -> None:
    """A visitor who clicks sees it again."""
    ruleset = rules("{views_since_click: 2}")
    assert not is_shown(ruleset, after(*views(1, 2)))
    assert is_shown(ruleset, after(*views(1, 2), ("CLICKED", 3)))
    assert is_shown(ruleset, after(*views(1, 2), ("CLICKED", 3), *views(4)))
    assert not is_shown(ruleset, after(*views(1, 2), ("CLICKED", 3), *views(4, 5)))


def test_a_dismissal_stops_it() -> None:
    """Forever, if the campaign says so; otherwise it has no effect."""
    assert not is_shown(rules("{stop_after_dismiss: true}"), after(*views(1), ("DISMISSED", 2)))
    assert is_shown(rules("{views: [{max: 9}]}"), after(*views(1), ("DISMISSED", 2)))


def test_a_shown_banner_stays_until_the_next_page() -> None:
    """Its own view reaches the cap; the page keeps it, the next page does not get it."""
    ruleset = rules("{views: [{max: 1}], stop_after_dismiss: true}")
    context = after(*views(1), ("DISMISSED", 2))
    assert is_shown(ruleset, context, shown=frozenset({"sale"}))
    assert not is_shown(ruleset, context)
    assert not is_shown(ruleset, context, shown=frozenset({"other"}))


def test_a_cap_is_named_in_words() -> None:
    """For explanations."""
    ruleset = rules("{views: [{max: 1}]}")
    (campaign,) = ruleset.placements["hero"].campaigns
    judgment = judge(ruleset, campaign, Inputs(after(*views(1)), None, START_MS))
    assert (judgment.outcome, judgment.detail) == (StepOutcome.CAPPED, "1 views, at most 1")


@SETTINGS
@given(st.data(), st.integers(1, 3), st.booleans())
def test_a_cap_holds_over_every_interleaving_of_views(data: st.DataObject, limit: int, has_period: bool) -> None:
    """Pages open, views arrive late and in any order: a page exceeds the cap only if it was open before the cap was reached."""
    ruleset = rules(f"{{views: [{{max: {limit}{', per: 1 week' if has_period else ''}}}]}}")
    on_the_way: list[float] = []
    arrived: list[float] = []
    most_on_the_way = 0
    for minute in range(data.draw(st.integers(1, 14))):
        context = after(*views(*arrived))
        one_arrives = data.draw(st.booleans())
        if on_the_way and one_arrives:
            arrived.append(on_the_way.pop(data.draw(st.integers(0, len(on_the_way) - 1))))
            # The page whose view this was keeps what it shows.
            assert is_shown(ruleset, after(*views(*arrived)), shown=frozenset({"sale"}))
        elif is_shown(ruleset, context):
            assert len(arrived) < limit
            on_the_way.append(float(minute))
            most_on_the_way = max(most_on_the_way, len(on_the_way))
        else:
            assert len(arrived) >= limit
    total = len(arrived) + len(on_the_way)
    assert total <= max(limit - 1 + most_on_the_way, 0)
