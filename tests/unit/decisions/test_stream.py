"""A subscription's pure step: nothing sent twice, nothing lost, the latest wins, whatever fails in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.decisions.decide import Decision, DecisionReason, Inputs, decide, unavailable_decision
from gateway.model.decisions.preview_token import ActivePreview, Preview
from gateway.model.decisions.stream import STORE_RETRY_MS, Content, Rules, Step, StoreReading, StreamState, Subscription, step
from gateway.model.rulesets.ruleset import Ruleset
from gateway.model.times import format_time_ms
from gateway.model.trends.snapshot import NO_TRENDS
from tests.support.strategies import CATEGORIES, MINUTE_MS, SETTINGS, START_MS

POLL_MS = 15_000
PLACEMENTS = ("hero", "side", "nowhere")


def ruleset(version: int, headline: str = "", until_ms: int | None = None) -> Ruleset:
    """Three campaigns: for an interest (capped at three views), for a search until a time, and a broken condition."""
    until = "" if until_ms is None else f", schedule: {{until: '{stamp(until_ms)}'}}"
    return load_ruleset(
        f"""
version: 1
placements: {{hero: {{fallback: {{headline: Welcome}}}}, side: {{fallback: {{headline: '{headline or "Aside"}'}}}}}}
campaigns:
- {{id: broken, placement: hero, priority: 9, when: 'purchases.count / (purchases.count - 1) == 7', banner: {{headline: Broken}}}}
- {{id: interest, placement: hero, priority: 5, when: 'interested_category != ""', caps: {{views: [{{max: 3}}]}},
   banner: {{headline: 'Deals on {{interested_category}}{headline}'}}}}
- {{id: search, placement: side, priority: 5, when: 'last_search != ""', banner: {{headline: 'Found {{last_search}}{headline}'}}{until}}}
""",
        version,
    )


def stamp(time_ms: int) -> str:
    return format_time_ms(time_ms)


RULESETS = [ruleset(1), ruleset(2, " today"), ruleset(3, until_ms=START_MS + 30 * MINUTE_MS)]
PREVIEWED = ruleset(9, " soon")


def context(category: str | None = None, search: str | None = None, views: int = 0, count: int = 0) -> dict[str, Any]:
    counts = {"views": views, "clicks": 0, "dismissals": 0, "views_since_click": views, "recent_views_ms": [], "last_viewed_at": None}
    return {
        "user_id": "v1", "interested_category": category, "last_search": search, "banners": {"interest": counts},
        "purchases": {"count": count, "totals": {}}, "consent": {"personalization": True},
    }  # fmt: skip


@dataclass(frozen=True)
class Look:
    """One turn of a subscription: when, by which ruleset, and what the store answered (away: nothing)."""

    later_ms: int
    rules: Rules
    reading: StoreReading | None


contexts = st.builds(
    context,
    st.none() | st.sampled_from(CATEGORIES),
    st.none() | st.sampled_from(["usb", "tv"]),
    st.integers(0, 4),
    st.integers(0, 2),
)
looks = st.lists(
    st.builds(
        Look,
        st.integers(0, 20 * MINUTE_MS),
        st.sampled_from(RULESETS).map(lambda rules: Rules(rules, NO_TRENDS)),
        st.none() | st.builds(StoreReading, st.none() | contexts),
    ),
    min_size=1,
    max_size=12,
)
previews = st.none() | st.builds(
    ActivePreview,
    st.builds(
        Preview,
        ruleset_version=st.none(),
        campaign_id=st.none() | st.just("interest"),
        at_ms=st.none() | st.just(START_MS + 60 * MINUTE_MS),
        expires_at_ms=st.integers(1, 60).map(lambda minutes: START_MS + minutes * MINUTE_MS),
    ),
    st.none() | st.just(PREVIEWED),
)
shown_before: st.SearchStrategy[Mapping[str, Content]] = st.just({}) | st.builds(
    lambda known: {p: decide(RULESETS[0], p, inputs(known, START_MS)).content for p in PLACEMENTS}, contexts
)


def inputs(known: Mapping[str, Any] | None, now_ms: int, shown: frozenset[str] = frozenset()) -> Inputs:
    return Inputs(known, None, now_ms, "v1", NO_TRENDS, shown, consent_default=True)


SUBSCRIPTION = Subscription("v1", PLACEMENTS, None, consent_default=True, poll_ms=POLL_MS)


def run(state: StreamState, turns: list[Look]) -> list[tuple[int, Look, StreamState, Step]]:
    """Every step of a subscription, with its time and the state before it."""
    now_ms, taken = START_MS, []
    for look in turns:
        now_ms += look.later_ms
        taken.append((now_ms, look, state, step(SUBSCRIPTION, state, look.reading, look.rules, now_ms)))
        state = taken[-1][-1].state
    return taken


@SETTINGS
@given(looks, shown_before, previews)
def test_nothing_is_sent_that_the_page_shows(turns: list[Look], shown: Mapping[str, Content], preview: ActivePreview | None) -> None:
    """Each decision differs from what was sent or shown before it, until a preview ends and the page starts over."""
    for now_ms, _, before, taken in run(StreamState(shown, preview), turns):
        page = dict(before.shown)
        if before.preview is not None and before.preview.preview.expires_at_ms <= now_ms:
            page = {}
        for decision in taken.decisions:
            assert page.get(decision.placement) != decision.content
            page[decision.placement] = decision.content
        assert taken.state.shown == page


@SETTINGS
@given(looks, shown_before, previews, st.none() | contexts)
def test_the_page_ends_on_the_right_banner(
    turns: list[Look], shown: Mapping[str, Content], preview: ActivePreview | None, known: dict[str, Any] | None
) -> None:
    """Whatever happened before, and whichever reads failed: after one that succeeds each placement shows what is decided now."""
    turns = [*turns, Look(0, turns[-1].rules, StoreReading(known))]
    now_ms, look, before, taken = run(StreamState(shown, preview), turns)[-1]
    held = frozenset(campaign for campaign, _, _ in before.shown.values() if campaign is not None)
    if taken.state.preview is None:
        if before.preview is not None:
            held = frozenset()
        wanted = {p: decide(look.rules.ruleset, p, inputs(known, now_ms, held)).content for p in PLACEMENTS}
        assert {p: taken.state.shown[p] for p in PLACEMENTS} == wanted
    assert taken.fresh


@SETTINGS
@given(looks, shown_before, previews)
def test_the_next_step_comes_in_time(turns: list[Look], shown: Mapping[str, Content], preview: ActivePreview | None) -> None:
    """Never later than the poll, than the moment at which time changes a decision or ends the preview, and soon while the store is away."""
    for now_ms, look, _, taken in run(StreamState(shown, preview), turns):
        assert 0 < taken.wait_ms <= POLL_MS
        if look.reading is None:
            assert taken.wait_ms <= STORE_RETRY_MS
        elif taken.state.preview is not None:
            assert taken.wait_ms <= taken.state.preview.preview.expires_at_ms - now_ms + 1
        for decision in taken.decisions:
            if decision.valid_until_ms is not None:
                assert taken.wait_ms <= max(0, decision.valid_until_ms - now_ms) + 1


@SETTINGS
@given(looks, shown_before)
def test_while_the_store_is_away_a_page_keeps_what_it_has(turns: list[Look], shown: Mapping[str, Content]) -> None:
    """Only a placement that shows nothing yet gets its fallback, and it is not said to be fresh."""
    for _, look, before, taken in run(StreamState(shown), turns):
        if look.reading is None:
            expected = {p: unavailable_decision(look.rules.ruleset, p) for p in PLACEMENTS if p not in before.shown}
            assert {decision.placement: decision for decision in taken.decisions} == expected
            assert not taken.fresh


@SETTINGS
@given(looks, previews.filter(lambda preview: preview is not None))
def test_a_preview_ends_at_its_time(turns: list[Look], preview: ActivePreview) -> None:
    """Until then all that is sent is its own; afterwards nothing is, and it never comes back."""
    for now_ms, look, _, taken in run(StreamState({}, preview), turns):
        is_over = preview.preview.expires_at_ms <= now_ms
        assert taken.state.preview == (None if is_over else preview)
        for decision in taken.decisions:
            if look.reading is None or decision.reason is DecisionReason.UNKNOWN_PLACEMENT:
                continue
            assert (decision.reason is DecisionReason.PREVIEW) == (not is_over)


def shown_by(*decisions: Decision) -> StreamState:
    return StreamState({decision.placement: decision.content for decision in decisions})


def test_a_cap_does_not_take_the_banner_that_is_shown() -> None:
    """The third view counts while the page looks at the banner; the next page gets the fallback."""
    rules = Rules(RULESETS[0], NO_TRENDS)
    known = context("tv", views=3)
    watching = shown_by(decide(RULESETS[0], "hero", inputs(context("tv"), START_MS)))
    hero = replace(SUBSCRIPTION, placements=("hero",))
    assert step(hero, watching, StoreReading(known), rules, START_MS).decisions == ()
    (first,) = step(hero, StreamState({}), StoreReading(known), rules, START_MS).decisions
    assert first.reason is DecisionReason.DEFAULT


def test_a_change_that_is_undone_before_it_is_read_is_not_sent() -> None:
    """The latest wins: there is nothing to send."""
    known = context("tv")
    state = shown_by(*(decide(RULESETS[0], p, inputs(known, START_MS)) for p in PLACEMENTS))
    assert step(SUBSCRIPTION, state, StoreReading(known), Rules(RULESETS[0], NO_TRENDS), START_MS).decisions == ()


@pytest.mark.parametrize(("count", "failed"), [(0, ()), (1, ("broken",))])
def test_failed_conditions_are_named_for_counting(count: int, failed: tuple[str, ...]) -> None:
    """Each time they are evaluated, also where nothing is sent; of a preview nothing is counted."""
    reading = StoreReading(context("tv", count=count))
    rules = Rules(RULESETS[0], NO_TRENDS)
    first = step(SUBSCRIPTION, StreamState({}), reading, rules, START_MS)
    assert first.condition_errors == failed
    assert step(SUBSCRIPTION, first.state, reading, rules, START_MS).condition_errors == failed
    preview = ActivePreview(Preview(None, None, None, START_MS + 1), None)
    assert step(SUBSCRIPTION, StreamState({}, preview), reading, rules, START_MS).condition_errors == ()


def test_a_placement_asked_for_twice_is_sent_once() -> None:
    """Over one subscription."""
    twice = replace(SUBSCRIPTION, placements=("hero", "hero"))
    assert len(step(twice, StreamState({}), StoreReading(None), Rules(RULESETS[0], NO_TRENDS), START_MS).decisions) == 1


@pytest.mark.parametrize(("before_ms", "wait_ms"), [(POLL_MS + 1, POLL_MS), (4_000, 4_001), (1, 2)])
def test_the_step_after_a_schedule_ends_is_not_missed(before_ms: int, wait_ms: int) -> None:
    """A millisecond after the moment at which time alone changes the decision; by the poll where that is sooner."""
    now_ms = START_MS + 30 * MINUTE_MS - before_ms
    reading = StoreReading(context(search="usb"))
    assert step(SUBSCRIPTION, StreamState({}), reading, Rules(RULESETS[2], NO_TRENDS), now_ms).wait_ms == wait_ms


@pytest.mark.parametrize(("left_ms", "is_preview"), [(1, True), (0, False), (-1, False)])
def test_a_preview_is_over_at_its_last_millisecond(left_ms: int, is_preview: bool) -> None:
    """And the next step comes right after it."""
    preview = ActivePreview(Preview(None, None, None, START_MS + left_ms), None)
    taken = step(SUBSCRIPTION, StreamState({}, preview), StoreReading(None), Rules(RULESETS[0], NO_TRENDS), START_MS)
    assert (taken.state.preview is not None) == is_preview
    assert taken.wait_ms == (left_ms + 1 if is_preview else POLL_MS)
