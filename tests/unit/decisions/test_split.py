"""Splits, holdouts and groups: who gets what, by a hash of the stable id, in the configured shares."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.decisions.assignment import SHARE_UNITS, choose, is_within
from gateway.model.decisions.decide import Decision, DecisionReason, Inputs, decide
from gateway.model.rulesets.ruleset import Ruleset
from gateway.model.visitors.context_view import view
from gateway.model.visitors.state import State, absorb, unite
from tests.support.strategies import SETTINGS, START_MS, event_at, logged

VISITORS = [f"visitor-{n}" for n in range(20_000)]


def ruleset(campaigns: str, head: str = "") -> Ruleset:
    return load_ruleset(f"version: 1\n{head}placements: {{hero: {{fallback: {{headline: Hello}}}}}}\ncampaigns:\n{campaigns}", 1)


def campaign(name: str, extra: str = "", priority: int = 0) -> str:
    return f"  - {{id: {name}, placement: hero, priority: {priority}, when: 'true', banner: {{headline: {name}}}{extra}}}\n"


def split(weights: dict[str, int], name: str = "sale", extra: str = "") -> str:
    variants = ", ".join(f"{{variant: {v}, weight: {w}, banner: {{headline: {v}}}}}" for v, w in weights.items())
    return f"  - {{id: {name}, placement: hero, when: 'true', split: [{variants}]{extra}}}\n"


def given_to(rules: Ruleset, visitor_id: str, context: Any = None) -> Decision:
    return decide(rules, "hero", Inputs(context, None, START_MS, visitor_id))


def counts(rules: Ruleset) -> Counter[str | None]:
    return Counter(given_to(rules, visitor_id).variant for visitor_id in VISITORS)


def within_bounds(count: int, share: float, of: int = len(VISITORS)) -> bool:
    """Within five standard deviations of the binomial distribution: a correct share fails this once in two million."""
    return abs(count - of * share) <= 5 * math.sqrt(of * share * (1 - share)) + 1


@pytest.mark.parametrize(
    "weights",
    [
        {"a": 5, "b": 3, "c": 2},
        *(pytest.param(weights, marks=pytest.mark.long) for weights in ({"a": 1, "b": 1}, {"a": 1, "b": 9}, {"a": 1, "b": 99})),
    ],
)
def test_weights_are_respected(weights: dict[str, int]) -> None:
    """Within binomial bounds, over 20,000 visitors."""
    counted = counts(ruleset(split(weights)))
    for variant, weight in weights.items():
        assert within_bounds(counted[variant], weight / sum(weights.values())), counted
    assert given_to(ruleset(split(weights)), "v").reason is DecisionReason.SPLIT


@pytest.mark.long
def test_splits_with_other_salts_are_independent() -> None:
    """Visitors who get a of one get a of the other as often as everyone else; with the same salt, always."""
    one = ruleset(split({"a": 1, "b": 1}))
    other, same = ruleset(split({"a": 1, "b": 1}, "other")), ruleset(split({"a": 1, "b": 1}, "other", ", salt: sale"))
    of_a = [visitor_id for visitor_id in VISITORS if given_to(one, visitor_id).variant == "a"]
    assert within_bounds(sum(given_to(other, visitor_id).variant == "a" for visitor_id in of_a), 0.5, len(of_a))
    assert all(given_to(same, visitor_id).variant == "a" for visitor_id in of_a)


@pytest.mark.parametrize("share", [pytest.param(0.05, marks=pytest.mark.long), 0.5])
def test_a_holdout_takes_its_share(share: float) -> None:
    """They get the fallback as the campaign's holdout; the others are split as before."""
    rules = ruleset(split({"a": 1, "b": 1}, extra=f", holdout: {share}"))
    counted = counts(rules)
    assert within_bounds(counted["holdout"], share)
    assert within_bounds(counted["a"], (1 - share) / 2)
    held_out = next(v for v in VISITORS if given_to(rules, v).variant == "holdout")
    decision = given_to(rules, held_out)
    assert decision.banner is not None
    assert (decision.reason, decision.campaign_id, decision.banner.headline) == (DecisionReason.HOLDOUT, "sale", "Hello")


@pytest.mark.long
def test_the_global_holdout_is_of_all_campaigns() -> None:
    """It contains the same visitors, whichever campaign they would have seen."""
    rules = ruleset(campaign("one", ", schedule: {until: 2000-01-01T00:00:00Z}") + campaign("two"), "holdout: 0.1\n")
    single = ruleset(campaign("one"), "holdout: 0.1\n")
    held_out = {v for v in VISITORS if given_to(rules, v).reason is DecisionReason.HOLDOUT}
    assert within_bounds(len(held_out), 0.1)
    assert held_out == {v for v in VISITORS if given_to(single, v).reason is DecisionReason.HOLDOUT}
    resalted = ruleset(campaign("one"), "holdout: 0.1\nholdout_salt: next-year\n")
    assert held_out != {v for v in VISITORS if given_to(resalted, v).reason is DecisionReason.HOLDOUT}


def test_campaigns_of_a_group_exclude_each_other() -> None:
    """Each visitor is assigned to one of them and never sees another, whatever its priority."""
    names = ("one", "two", "three")
    rules = ruleset("".join(campaign(name, ", group: g", priority) for priority, name in enumerate(names)))
    counted = Counter(given_to(rules, visitor_id).campaign_id for visitor_id in VISITORS)
    assert set(counted) == set(names)
    assert all(within_bounds(count, 1 / 3) for count in counted.values())
    off = ruleset("".join(campaign(n, ", group: g, schedule: {until: 2000-01-01T00:00:00Z}" * (n == "one") or ", group: g") for n in names))
    for visitor_id in VISITORS[:2000]:
        drawn = given_to(rules, visitor_id).campaign_id
        assert given_to(off, visitor_id).campaign_id == (None if drawn == "one" else drawn)


def test_without_a_visitor_the_first_is_chosen() -> None:
    """A page without a visitor may be cached: the first variant, no holdout, the first of a group."""
    rules = ruleset(split({"a": 1, "b": 99}, extra=", holdout: 0.99"), "holdout: 0.99\n")
    decision = decide(rules, "hero", Inputs(None, None, START_MS))
    assert (decision.campaign_id, decision.variant) == ("sale", "a")


@SETTINGS
@given(st.text(max_size=20), st.text(max_size=20), st.lists(st.integers(1, 1000), min_size=1, max_size=8))
def test_an_assignment_is_a_pure_function(salt: str, stable_id: str, weights: list[int]) -> None:
    """Always the same; a share of 1 contains everyone, a share of 0 no one."""
    index = choose(weights, salt, stable_id)
    assert 0 <= index < len(weights)
    assert choose(weights, salt, stable_id) == index
    assert choose([weight * 3 for weight in weights], salt, stable_id) == index
    assert is_within(SHARE_UNITS, salt, stable_id)
    assert not is_within(0, salt, stable_id)


@SETTINGS
@given(st.text("abcdef0123456789", min_size=8, max_size=8), st.booleans(), st.booleans())
def test_an_assignment_survives_identify(name: str, shops_before: bool, shops_after: bool) -> None:
    """From anonymous to known, with any events before and after: variant, holdout and group stay."""
    anonymous_id, known_id = f"anon_{name}", f"user-{name}"
    rules = ruleset(split({"a": 1, "b": 1, "c": 1}, extra=", holdout: 0.2, group: g") + campaign("other", ", group: g"), "holdout: 0.1\n")

    def viewed(minute: float, visitor_id: str) -> Any:
        return event_at(minute, "PRODUCT_VIEWED", {"product": {"product_id": "p"}}, visitor_id=visitor_id)

    identified = event_at(5, "IDENTIFY", {"user_id": known_id}, visitor_id=anonymous_id)
    before = [event_at(0, "PAGE_VIEWED", visitor_id=anonymous_id), *([viewed(1, anonymous_id)] if shops_before else [])]
    anonymous = absorb(State(anonymous_id), logged(before, anonymous_id))[0]
    was = given_to(rules, anonymous_id, view(anonymous))
    joining = absorb(anonymous, logged([identified], anonymous_id, first_offset=10))[0]
    known = unite(State(known_id), joining)
    known = absorb(known, logged([viewed(9, known_id)] if shops_after else [], known_id, first_offset=20))[0]
    context = view(known)
    assert context["stable_id"] == anonymous_id
    now = given_to(rules, known_id, context)
    assert (now.campaign_id, now.variant, now.reason) == (was.campaign_id, was.variant, was.reason)
    assert given_to(rules, anonymous_id).variant == was.variant
