"""Conditions: the types of variables, the limit of evaluation steps, and evaluating only conditions that can be true."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.conditions.condition import VARIABLE_TYPES, VARIABLES, Condition, InvalidCondition, activation, values_of
from gateway.model.conditions.condition_set import ConditionSet
from gateway.model.conditions.types import ListOf, MapOf, ObjectOf, Scalar, ValueType
from gateway.model.decisions.decide import Inputs, StepOutcome, decide
from gateway.model.decisions.explain import explain_decision
from gateway.model.rulesets.ruleset import Ruleset
from gateway.model.trends.snapshot import TrendingProduct, Trends
from gateway.model.visitors.context_input import complete_context
from tests.support.strategies import SETTINGS

FULL_CART = {"cart": [{"product_id": f"p{n}", "category": "tv", "quantity": 1} for n in range(100)]}
MONSTROUS = "cart.exists(a, cart.exists(b, cart.exists(c, a.product_id + b.product_id == c.product_id)))"


def ruleset(*conditions: str) -> Ruleset:
    lines = "".join(f"  - {{id: c{n}, placement: hero, when: '{when}', banner: {{headline: h}}}}\n" for n, when in enumerate(conditions))
    return load_ruleset(f"version: 1\nplacements: {{hero: {{}}}}\ncampaigns:\n{lines}", 1)


def test_conditions_do_not_share_the_steps_of_one_evaluation() -> None:
    """CEL stops an evaluation after a few thousand steps of loops: 64 conditions with two loops each over a full cart need more."""
    conditions = [f'cart.exists(l, l.category == "a{n}") || cart.exists(l, l.product_id == "p{n}x")' for n in range(63)]
    rules = ruleset(*conditions, 'cart.exists(l, l.category == "a") || cart.exists(l, l.product_id == "p99")')
    decision = decide(rules, "hero", Inputs(FULL_CART, None, 0))
    assert (decision.campaign_id, decision.condition_errors) == ("c63", ())


def test_a_condition_with_too_many_steps_counts_as_false() -> None:
    """It is reported as failed; the other conditions are evaluated."""
    rules = ruleset('last_search == "x"', MONSTROUS, 'cart.exists(l, l.product_id == "p99")')
    decision = decide(rules, "hero", Inputs(FULL_CART, None, 0))
    assert (decision.campaign_id, decision.condition_errors) == ("c2", ("c1",))
    steps = explain_decision(rules, "hero", Inputs(FULL_CART, None, 0)).steps
    assert [step.outcome for step in steps] == [StepOutcome.CONDITION_FALSE, StepOutcome.CONDITION_ERROR, StepOutcome.MATCHED]
    assert "Iteration budget exceeded" in steps[1].detail


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ('page.typ == "home"', 6, "page has no field 'typ'; known fields: url, title, referrer, locale, type,"),
        ('page["typ"] == "home"', 7, "page has no field 'typ'"),
        ("has(purchases.cnt)", 15, "purchases has no field 'cnt'; known fields: count, totals"),
        ("consent.personalisation == true", 9, "consent has no field 'personalisation'; known fields: personalization, measurement"),
        ('"personalisation" in consent', 19, "consent has no field 'personalisation'"),
        ('"p1" in trends.product', 16, "trends has no field 'product'; known fields: products, categories"),
        ("banners.sale.vews > 3", 14, "an entry of banners has no field 'vews'; known fields: views, clicks,"),
        ("banners.exists(name, banners[name].vews > 3)", 36, "no field 'vews'"),
        ('cart.exists(l, l.categori == "tv")', 18, "a line of the cart has no field 'categori'; known fields: product_id,"),
        ('cart[0].categori == "tv"', 9, "no field 'categori'"),
        ('cart.filter(l, l.quantity > 1)[0].categori == "tv"', 35, "no field 'categori'"),
        ('cart.filter(l, l.quantity > 1).exists(m, m.categori == "tv")', 44, "no field 'categori'"),
        ('(size(cart) > 1 ? cart[1] : cart[0]).categori == "tv"', 38, "no field 'categori'"),
        ("last_search.length > 3", 12, "type 'string' cannot be the operand of a select"),
        ("cart[0].category.length > 3", 18, "a string has no field 'length'"),
        ('purchases.count == "3"', 17, "a number and a string cannot be compared"),
        ('purchases.count > "3"', 17, "a number and a string cannot be compared"),
        ("purchases == 3", 11, "found no matching overload"),
        ('cart.exists(l, l.quantity == "2")', 27, "a number and a string cannot be compared"),
        ("cart.map(l, l.quantity)[0] != true", 28, "a number and a boolean cannot be compared"),
        ("cart.exists(l, l.price == false)", 24, "null or a number and a boolean cannot be compared"),
        ("cart.exists(l, l.category in [1, 2])", 27, "a string and a number cannot be compared"),
        ("cart.exists(l, l.category == null)", 27, "a string and null cannot be compared"),
        ('consent.measurement == "yes"', 21, "a boolean or null and a string cannot be compared"),
        ("cart.exists(l, l.quantity.startsWith('1'))", 37, "expected a string, got a number"),
        ("cart.all(l, l.category && true)", 24, "expected a boolean, got a string"),
        ("cart.exists(l, l.category + 1 == l.category)", 27, "a string and a number cannot be combined"),
        ("cart.exists(l, l.category * 2 > 1)", 27, "expected a number, got a string"),
        ("purchases.count", 10, "a condition must return a boolean, this one returns a number"),
    ],
)
def test_a_mismatched_type_is_refused(text: str, column: int, message: str) -> None:
    """It would be false, or fail, for every visitor; line and column show where."""
    with pytest.raises(InvalidCondition, match=message) as raised:
        Condition(text)
    assert (raised.value.line, raised.value.column) == (1, column)


def test_lines_are_counted() -> None:
    """In a condition with several lines."""
    with pytest.raises(InvalidCondition, match="no field 'typ'") as raised:
        Condition('last_search == "é😀"\n  && page.typ == "home"')
    assert (raised.value.line, raised.value.column) == (2, 11)


@pytest.mark.parametrize(
    "text",
    [
        "traits.a.b.c == 1 || traits.a == 'x' || traits == {}",
        "dyn(purchases.count) == '3' || dyn(page).whatever == 1",
        "purchases.count >= 2.0 && purchases.totals.EUR > 5 && purchases.totals['US'] < 1.5",
        "cart.exists(l, l.price != null && l.price > 500) && cart[0].price * 2.0 + 1.0 > 3.0",
        "cart.map(l, l.quantity * 2).exists(n, n > 3) || cart.all(l, l.category == page.category)",
        "cart.exists_one(l, l.category in ['tv', page.category]) && size(cart.filter(l, has(l.price))) > 0",
        "banners.all(name, banners[name].views < 3) && banners.sale.last_viewed_at == null",
        "consent.personalization == null || consent.measurement != false || 'measurement' in consent",
        "trends.products.exists(p, p in recent_products) && interest_ranks[0] == trends.categories[0]",
        "page['type'].startsWith('ho') && page.url.matches('^/') && size(page.title) < 30 && string(purchases.count) == '1'",
        "[1, 'a', null].exists(x, x == 'a') && {'a': 1}.a == 1 && timestamp('2026-01-01T00:00:00Z') - duration('1s') != null",
        "(size(cart) > 0 ? cart[0].category : null) == null",
    ],
)
def test_a_matching_type_is_accepted(text: str) -> None:
    """Traits have any type, numbers of any kind can be compared, and `dyn` is not checked."""
    assert isinstance(Condition(text).evaluate(activation(None, None)), bool | str)


def is_of(value: Any, shape: ValueType | None) -> bool:
    match shape:
        case None:
            return True
        case Scalar():
            kinds = {str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}
            return kinds[type(value)] in shape.kinds
        case ListOf():
            return all(is_of(item, shape.item) for item in value)
        case MapOf():
            return all(isinstance(key, str) and is_of(item, shape.value) for key, item in value.items())
        case ObjectOf():
            return value.keys() == shape.fields.keys() and all(is_of(item, shape.fields[name]) for name, item in value.items())


@pytest.mark.parametrize(
    "context",
    [
        None,
        complete_context({}),
        complete_context(
            {
                "interests": {"tv": 1},
                "cart": [{"product_id": "a"}, {"product_id": "b", "price": "1.50", "category": "tv"}],
                "purchases": {"count": 2, "totals": {"EUR": "3"}},
                "banners": {"sale": {"views": 3}, "spring": {"last_viewed_at": "2026-01-01T00:00:00Z", "recent_views_ms": [5]}},
                "consent": {"personalization": True},
                "traits": {"a": [1, None]},
            }
        ),
    ],
)
def test_the_types_are_those_of_the_values(context: Any) -> None:
    """Every variable, every field, whatever is known of a visitor."""
    assert VARIABLE_TYPES.keys() == VARIABLES.keys()
    values = values_of(context, {"type": "home"}, Trends(products=(TrendingProduct("p", "tv", 1.0),)))
    for name, value in values.items():
        assert is_of(value, VARIABLE_TYPES[name]), name


PARTS = [
    'interested_category == "tv"', '"radio" == interested_category', 'page.type == "home"', 'page.type == "home" || page.type == "cart"',
    'interested_category == "tv" ? true : false', '!(last_search == "usb")', 'last_search == "usb"', "size(cart) > 0",
    'traits.plan == "gold"', "1 / purchases.count == 1", 'user_id.matches("(")', MONSTROUS, 'cart.exists(l, l.category == "tv")', "true",
    'traits.name == "tv"', 'page.type == page.category', 'has(traits.plan) && page.type == "home"',
]  # fmt: skip
wishes = st.lists(st.sampled_from(PARTS), min_size=1, max_size=4).map(lambda parts: " && ".join(f"({part})" for part in parts))
contexts = st.none() | st.fixed_dictionaries(
    {
        "interested_category": st.sampled_from([None, "tv", "radio", "x"]),
        "last_search": st.sampled_from([None, "usb"]),
        "cart": st.sampled_from([[], FULL_CART["cart"], FULL_CART["cart"][:3]]),
        "traits": st.sampled_from([{}, {"plan": "gold"}, {"plan": 1, "name": "tv"}]),
        "purchases": st.sampled_from([{}, {"count": 1}]),
    }
)


@SETTINGS
@given(st.lists(wishes, max_size=8), contexts, st.none() | st.fixed_dictionaries({"type": st.sampled_from(["home", "cart", ""])}))
def test_a_condition_that_is_not_evaluated_would_have_been_false(texts: list[str], context: Any, page: Any) -> None:
    """Conditions evaluated together have the same results as alone: true, or the failure, in their order."""
    conditions = [Condition(text) for text in texts]
    alone = [condition.evaluate(activation(context, page)) for condition in conditions]
    together = list(ConditionSet(conditions).evaluate(values_of(context, page)))
    assert together == [(number, answer) for number, answer in enumerate(alone) if answer is not False]


@pytest.mark.parametrize(
    ("text", "requires"),
    [
        ('interested_category == "tv" && size(cart) > 0', {(("interested_category",), "tv")}),
        ('traits.plan == "gold" && ("home" == page.type && true)', {(("page", "type"), "home")}),
        ('page.type == "home" && last_search == "x"', {(("page", "type"), "home"), (("last_search",), "x")}),
        ('page.type == "home" || last_search == "x"', set()),
        ('!(page.type == "home")', set()),
        ('cart.exists(l, l.category == "tv") && page.type == "home"', set()),
        ('page.type == "home" && cart.exists(l, l.category == "tv")', {(("page", "type"), "home")}),
        ("purchases.count == 1", set()),
        ("page.type == page.category", set()),
        ("cart[0].category == 'tv'", set()),
    ],
)
def test_what_a_condition_requires(text: str, requires: set[Any]) -> None:
    """Strings that a field must be equal to, among the parts joined by `&&`; none after a loop, which may exceed the steps."""
    assert set(Condition(text).requires) == requires


def test_conditions_are_evaluated_only_for_visitors_who_can_meet_them() -> None:
    """Nothing is evaluated for a visitor of another category: a condition that always fails shows it."""
    conditions = [Condition(f'interested_category == "c{n}" && 1 / purchases.count == 1') for n in range(100)]
    answers = list(ConditionSet(conditions).evaluate(values_of({"interested_category": "c7"}, None)))
    assert [number for number, _ in answers] == [7]
