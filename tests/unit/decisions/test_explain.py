"""Explanations: the details are true, and the steps agree with the decision."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.conditions.analysis import parts_of, paths_of, variables_of
from gateway.model.conditions.condition import PAGE_FIELDS, Condition, activation
from gateway.model.decisions.decide import DecisionReason, Inputs, StepOutcome, decide
from gateway.model.decisions.explain import ExplanationStep, explain_decision
from gateway.model.rulesets.ruleset import Ruleset
from tests.support.strategies import SETTINGS, START_MS

CONDITIONS = (
    "true",
    "interested_category == 'tv'",
    'page.type == "home" && size(cart) >= 2',
    "purchases.count > 0 || (last_search != '' && size(cart) == 0)",
    "(cart.exists(line, line.category == 'tv') && traits.plan == 'a')",
    "!(has(traits.city)) && (page.type == 'a && b' ? true : size(recent_products) > 1)",
)


def ruleset(*campaigns: str) -> Ruleset:
    """A ruleset with campaigns for the placement `top`, strongest first, each as YAML without its id and placement."""
    lines = ["version: 1", "placements: {top: {fallback: {headline: Hello}}}", "campaigns:"]
    for index, fields in enumerate(campaigns):
        lines.append(f"- {{id: c{index}, placement: top, priority: {-index}, {fields}}}")
    return load_ruleset("\n".join(lines), 7)


def when(condition: str) -> str:
    quoted = condition.replace("'", "''")
    return f"when: '{quoted}', banner: {{headline: Shown}}"


def steps(rules: Ruleset, context: dict[str, Any] | None = None, page: dict[str, Any] | None = None) -> tuple[ExplanationStep, ...]:
    return explain_decision(rules, "top", Inputs(context, page, START_MS, "v1")).steps


@pytest.mark.parametrize(
    ("condition", "parts"),
    [
        ("A && B", ["A", "B"]),
        ("A&&B&&C", ["A", "B", "C"]),
        ("A && (B && C)", ["A", "B", "C"]),
        ("((A)) && !(B && C)", ["A", "!(B && C)"]),
        ("(A) && (B)", ["A", "B"]),
        ("( (A) && ((B || C) && (A)) ) && ((B || C) == (A))", ["A", "B || C", "A", "(B || C) == (A)"]),
        ("A && B || C", ["A && B || C"]),
        ("A && (B || C)", ["A", "B || C"]),
        ("A ? B && C : A", ["A ? B && C : A"]),
        ("user_id == 'a && b' && last_search == \"it's && \\\" ||\"", ["user_id == 'a && b'", 'last_search == "it\'s && \\" ||"']),
        ("user_id == ')' && last_search == '('", ["user_id == ')'", "last_search == '('"]),
        ("user_id == r'\\d' && B", ["user_id == r'\\d'", "B"]),
        ("user_id == '''a && ' || b''' && B", ["user_id == '''a && ' || b'''", "B"]),
        ("user_id == 'ü😀' && B", ["user_id == 'ü😀'", "B"]),
        ("A // not && this\n && B", ["A // not && this", "B"]),
        ("[A && B].all(x, x && C) && {'k': A && B}.k", ["[A && B].all(x, x && C)", "{'k': A && B}.k"]),
    ],
)
def test_parts(condition: str, parts: list[str]) -> None:
    """A condition is split only at the top level, whatever is in strings, brackets and comments."""

    def real(text: str) -> str:
        return text.replace("A", "cart == []").replace("B", "trends.products == []").replace("C", "size(page.type) > 1")

    assert [part.text for part in parts_of(Condition(real(condition)))] == [real(part) for part in parts]


def test_paths() -> None:
    """Variables with their fields; fields of the same name, functions and strings do not count."""
    text = "page.type == 'cart' && size(cart) > 1 && cart.exists(line, line.category == 'page') && "
    text += "banners['spring-sale'].views < purchases.count"
    assert paths_of(Condition(text)) == [("page", "type"), ("cart",), ("banners", "spring-sale", "views"), ("purchases", "count")]
    assert variables_of(Condition(text)) == ["page", "cart", "banners", "purchases"]
    assert paths_of(Condition("interest_ranks[0] == 'tv' && traits.plan.startsWith('x')")) == [("interest_ranks",), ("traits", "plan")]
    assert paths_of(Condition("banners[user_id].views > 1 && has(traits.plan)")) == [("banners",), ("user_id",), ("traits", "plan")]
    assert paths_of(Condition("recent_products.exists(cart, cart == 'x')")) == [("recent_products",)]


def test_the_false_part_is_shown_with_its_values() -> None:
    """The first false part, with the values that it used; long values are cut."""
    rules = ruleset(when("page.type == 'home' && size(cart) >= 3"), when("traits.plan == 'gold' || has(traits.city)"))
    line = {"product_id": "p" * 200, "category": "tv", "quantity": 1, "price": None}
    first, second = steps(rules, {"cart": [line], "traits": {"plan": "iron"}}, {"type": "home"})
    assert (first.campaign_id, first.outcome) == ("c0", StepOutcome.CONDITION_FALSE)
    assert first.detail.startswith('`size(cart) >= 3` is false; cart = [{"product_id":"ppp')
    assert first.detail.endswith("… (1 item)")
    assert second.detail == "`traits.plan == 'gold' || has(traits.city)` is false; traits.plan = \"iron\", traits.city = (missing)"
    (elsewhere, _) = steps(rules, {}, {"type": "cart"})
    assert elsewhere.detail == "`page.type == 'home'` is false; page.type = \"cart\""


def test_every_outcome_is_explained() -> None:
    """One campaign of each kind, the last after the one that won."""
    rules = ruleset(
        when("traits.level > 3"),
        "when: 'true', caps: {views: [{max: 2}]}, banner: {headline: Shown}",
        "when: 'true', schedule: {until: '2020-01-01T00:00:00Z'}, banner: {headline: Shown}",
        "when: 'true', banner: {headline: 'For {last_search}', body: '{interested_category}'}",
        when("interested_category == 'tv'"),
        when("true"),
    )
    explained = steps(rules, {"interested_category": "tv", "banners": {"c1": {"views": 2}}})
    assert [step.outcome for step in explained] == [
        StepOutcome.CONDITION_ERROR, StepOutcome.CAPPED, StepOutcome.NOT_SCHEDULED, StepOutcome.CONDITION_FALSE, StepOutcome.MATCHED,
        StepOutcome.LOWER_PRIORITY,
    ]  # fmt: skip
    assert explained[0].detail.startswith("`traits.level > 3` failed at run time")
    assert explained[0].detail.endswith("traits.level = (missing)")
    assert "2 views" in explained[1].detail
    assert explained[3].detail.endswith(": {last_search}")
    assert explained[4].detail == "`interested_category == 'tv'` is true; interested_category = \"tv\""
    assert "c4" in explained[5].detail
    held_out = steps(ruleset("when: 'true', holdout: 1, banner: {headline: Shown}", when("true")))
    assert [step.outcome for step in held_out] == [StepOutcome.HELD_OUT, StepOutcome.LOWER_PRIORITY]


def test_there_are_no_steps_if_no_campaign_is_considered() -> None:
    """Without consent, and for an unknown placement."""
    rules = ruleset(when("true"))
    refused = explain_decision(rules, "top", Inputs({"consent": {"personalization": False}}, None, START_MS))
    assert (refused.decision.reason, refused.steps, refused.fields) == (DecisionReason.NO_CONSENT, (), ("consent",))
    unknown = explain_decision(rules, "bottom", Inputs(None, None, START_MS))
    assert (unknown.decision.reason, unknown.steps) == (DecisionReason.UNKNOWN_PLACEMENT, ())


def test_the_fields_that_were_used() -> None:
    """Those of the conditions, caps, placeholders and product rules of the campaigns that were checked, and no others."""
    rules = ruleset(
        when("interest_ranks.exists(c, c == 'tv') && page.type == 'home'"),
        "when: 'size(cart) == 0', caps: {views: [{max: 9}]}, banner: {headline: 'Hi {last_search|you}', "
        "products: {rule: same_category, count: 2, exclude: [bought]}}",
        when("traits.plan == 'a'"),
    )
    story = explain_decision(rules, "top", Inputs({}, None, START_MS))
    assert story.fields == ("interested_category", "interests", "cart", "last_search", "purchases", "banners", "consent")
    assert story.campaign_ids == ("c0", "c1")


contexts: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "interested_category": st.sampled_from(["tv", "phones", None]),
        "cart": st.lists(st.sampled_from([{"product_id": "p", "quantity": 1, "category": "tv"}, {"product_id": "q", "quantity": 2}])),
        "last_search": st.sampled_from(["", "usb"]),
        "purchases": st.fixed_dictionaries({"count": st.integers(0, 2)}),
        "traits": st.dictionaries(st.sampled_from(["plan", "city"]), st.sampled_from(["a", 3]), max_size=2),
        "recent_products": st.lists(st.sampled_from(["p1", "p2"]), max_size=3),
        "consent": st.fixed_dictionaries({"personalization": st.sampled_from([None, True, False])}),
    },
)
pages: st.SearchStrategy[dict[str, str]] = st.dictionaries(st.sampled_from(PAGE_FIELDS), st.sampled_from(["home", "a && b"]), max_size=3)


@SETTINGS
@given(st.lists(st.sampled_from(CONDITIONS), max_size=6), contexts, pages)
def test_the_steps_agree_with_the_decision(conditions: list[str], context: dict[str, Any], page: dict[str, str]) -> None:
    """The decision is that of `decide`; one step each; the winner is the only match and nothing before it is lower."""
    rules = ruleset(*map(when, conditions)) if conditions else load_ruleset("version: 1\nplacements: {top: {}}\ncampaigns: []", 1)
    inputs = Inputs(context, page, START_MS, "v1")
    story = explain_decision(rules, "top", inputs)
    assert story.decision == decide(rules, "top", inputs)
    if not inputs.has_consent:
        return
    assert [step.campaign_id for step in story.steps] == [f"c{index}" for index in range(len(conditions))]
    won = [index for index, step in enumerate(story.steps) if step.outcome is StepOutcome.MATCHED]
    assert [story.steps[index].campaign_id for index in won] == ([story.decision.campaign_id] if story.decision.campaign_id else [])
    for index, step in enumerate(story.steps):
        assert (step.outcome is StepOutcome.LOWER_PRIORITY) == (bool(won) and index > won[0])


@SETTINGS
@given(st.sampled_from(CONDITIONS), st.sampled_from(CONDITIONS), contexts, pages)
def test_the_part_that_is_shown_is_false(one: str, other: str, context: dict[str, Any], page: dict[str, str]) -> None:
    """The part that the detail calls false is false when evaluated alone."""
    (step,) = steps(ruleset(when(f"({one}) && ({other})")), {**context, "consent": {}}, page)
    if step.outcome is StepOutcome.CONDITION_FALSE:
        named = step.detail.split("`")[1]
        assert Condition(named).evaluate(activation(context, page)) is False
