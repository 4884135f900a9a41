"""The decision: pure, by priority, and never an error, whatever is known about a visitor."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.conditions.condition import Condition, InvalidCondition, activation, values_of
from gateway.model.conditions.condition_set import ConditionSet
from gateway.model.decisions.decide import Decision, DecisionReason, Inputs, decide, unavailable_decision
from gateway.model.events.event import check_record
from gateway.model.events.fields import InvalidEvent
from gateway.model.rulesets.ruleset import Ruleset
from gateway.model.visitors.context_view import view
from gateway.model.visitors.state import State, Update, absorb
from tests.support.strategies import SETTINGS, START_MS, VISITOR, event_at, json_values, logged, logs

KNOWN = {"interested_category": "smartphones", "version": 4, "consent": {"personalization": True}}


def campaign(name: str, when: str = "true", priority: int = 0, headline: str = "", extra: str = "") -> str:
    return f"  - {{id: {name}, placement: hero, priority: {priority}, when: '{when}', banner: {{headline: '{headline or name}'}}{extra}}}\n"


def ruleset(*campaigns: str, fallback: str = "{headline: Welcome}") -> Ruleset:
    body = f"version: 1\nplacements: {{hero: {{fallback: {fallback}}}, quiet: {{}}}}\n"
    return load_ruleset(body + ("campaigns:\n" + "".join(campaigns) if campaigns else ""), 9)


def decided(rules: Ruleset, context: Any = KNOWN, now_ms: int = START_MS, page: Any = None, **options: Any) -> Decision:
    return decide(rules, "hero", Inputs(context, page, now_ms, **options))


def headline(decision: Decision) -> str | None:
    return decision.banner.headline if decision.banner else None


INTEREST = campaign("interest", 'interested_category != ""', headline="Exclusive deals on {interested_category} and accessories!")


def test_a_matching_campaign_fills_in_its_banner() -> None:
    """With its reason and the versions it was made from."""
    decision = decided(ruleset(INTEREST))
    assert headline(decision) == "Exclusive deals on smartphones and accessories!"
    assert (decision.reason, decision.campaign_id, decision.ruleset_version, decision.context_version) == (
        DecisionReason.TARGETING_MATCH,
        "interest",
        9,
        4,
    )


@pytest.mark.parametrize("context", [None, {}, {"interested_category": None}])
def test_without_a_match_the_fallback_is_shown(context: Any) -> None:
    """To a visitor about whom nothing is known too."""
    decision = decided(ruleset(INTEREST), context)
    assert (headline(decision), decision.reason, decision.campaign_id) == ("Welcome", DecisionReason.DEFAULT, None)


def test_a_placement_without_fallback_leaves_the_page_alone() -> None:
    """No banner, and no error."""
    decision = decide(ruleset(), "quiet", Inputs(None, None, START_MS))
    assert (decision.banner, decision.reason, decision.content) == (None, DecisionReason.DEFAULT, (None, None, ""))


def test_an_unknown_placement_is_reported() -> None:
    """Whatever is known about the visitor."""
    assert decide(ruleset(), "nowhere", Inputs(KNOWN, None, START_MS)).reason is DecisionReason.UNKNOWN_PLACEMENT
    assert unavailable_decision(ruleset(), "nowhere").reason is DecisionReason.UNKNOWN_PLACEMENT


def test_without_the_context_store_the_fallback_is_shown() -> None:
    """With the reason UNAVAILABLE."""
    decision = unavailable_decision(ruleset(INTEREST), "hero")
    assert (headline(decision), decision.reason) == ("Welcome", DecisionReason.UNAVAILABLE)


@pytest.mark.parametrize(
    ("consent", "default", "reason"),
    [
        ({"personalization": False}, True, DecisionReason.NO_CONSENT),
        ({"personalization": None}, False, DecisionReason.NO_CONSENT),
        ({}, False, DecisionReason.NO_CONSENT),
        ({"personalization": None}, True, DecisionReason.TARGETING_MATCH),
        ({"personalization": True}, False, DecisionReason.TARGETING_MATCH),
    ],
)
def test_without_consent_nothing_is_personalized(consent: Any, default: bool, reason: DecisionReason) -> None:
    """The default applies only if the visitor was never asked."""
    decision = decided(ruleset(campaign("all")), {**KNOWN, "consent": consent}, consent_default=default)
    assert decision.reason is reason
    assert (decision.campaign_id is None) == (reason is DecisionReason.NO_CONSENT)


def test_a_condition_that_fails_counts_as_false() -> None:
    """A missing key, a division by zero, a wrong type at run time: the next campaign is considered."""
    wrong = ['traits.plan == "gold"', "1 / purchases.count == 1", "cart[0].quantity > 1", 'user_id.matches("(")']
    failing = [campaign(f"f{n}", when, 9) for n, when in enumerate(wrong)]
    decision = decided(ruleset(*failing, campaign("good", priority=1)))
    assert decision.campaign_id == "good"
    assert decision.condition_errors == ("f0", "f1", "f2", "f3")


def test_a_banner_without_its_data_falls_through() -> None:
    """A placeholder has neither data nor a default: the next campaign is considered."""
    rules = ruleset(
        campaign("search", priority=5, headline="More {last_search}"), campaign("plan", priority=4, headline="{traits.plan}"), INTEREST
    )
    assert decided(rules).campaign_id == "interest"
    assert headline(decided(rules, {**KNOWN, "last_search": "usb-c"})) == "More usb-c"


@SETTINGS
@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), max_size=8))
def test_a_lower_priority_never_wins_over_a_matching_higher_one(campaigns: list[tuple[int, bool]]) -> None:
    """If priorities are equal, the first in the file wins."""
    rules = ruleset(*(campaign(f"c{n}", "true" if match else "false", priority) for n, (priority, match) in enumerate(campaigns)))
    matching = [(-priority, n) for n, (priority, match) in enumerate(campaigns) if match]
    assert decided(rules).campaign_id == (f"c{min(matching)[1]}" if matching else None)


SCHEDULE = ", schedule: {from: 2026-01-01T00:00:00Z, until: 2026-02-01T00:00:00Z}"
FROM_MS, UNTIL_MS = 1_767_225_600_000, 1_769_904_000_000


@pytest.mark.parametrize(
    ("now_ms", "runs", "valid_until_ms"),
    [(FROM_MS - 1, False, FROM_MS), (FROM_MS, True, UNTIL_MS), (UNTIL_MS - 1, True, UNTIL_MS), (UNTIL_MS, False, None)],
)
def test_a_schedule_includes_its_start_and_excludes_its_end(now_ms: int, runs: bool, valid_until_ms: int | None) -> None:
    """And the decision is valid until its next change."""
    decision = decided(ruleset(campaign("sale", extra=SCHEDULE)), now_ms=now_ms)
    assert (decision.campaign_id == "sale", decision.valid_until_ms) == (runs, valid_until_ms)


@SETTINGS
@given(st.data())
def test_until_valid_until_nothing_changes_by_time_alone(data: st.DataObject) -> None:
    """Between now and the moment that the decision names, the decision is the same; none is older than it may be."""
    hours = st.integers(0, 20)
    lines = []
    for n in range(data.draw(st.integers(1, 4))):
        begin, length = data.draw(hours), data.draw(st.integers(1, 8))
        window = f", schedule: {{from: 2026-01-01T{begin:02d}:00:00Z, until: 2026-01-02T{min(begin + length, 23):02d}:00:00Z}}"
        extra = data.draw(st.sampled_from(["", window]))
        lines.append(campaign(f"c{n}", data.draw(st.sampled_from(["true", "false"])), data.draw(st.integers(0, 2)), extra=extra))
    rules = ruleset(*lines)
    now_ms = FROM_MS + data.draw(st.integers(0, 48)) * 3_600_000
    decision = decided(rules, now_ms=now_ms)
    end_ms = decision.valid_until_ms if decision.valid_until_ms is not None else now_ms + 10**10
    assert end_ms > now_ms
    for later_ms in (now_ms + 1, (now_ms + end_ms) // 2, end_ms - 1):
        assert decided(rules, now_ms=later_ms).content == decision.content


def test_equal_banners_have_equal_ids() -> None:
    """The id is a hash of the content, so a page need not be sent what it already shows."""
    one, other = decided(ruleset(INTEREST)), decided(ruleset(campaign("all"), INTEREST.replace("priority: 0", "priority: 1")))
    assert one.banner == other.banner
    assert one.banner is not None
    changed = decided(ruleset(INTEREST), {**KNOWN, "interested_category": "tv"})
    assert changed.banner is not None
    assert changed.banner.banner_id != one.banner.banner_id


CONDITIONS = [
    'interested_category in ["tv", "smartphones"]',
    'interest_ranks.size() > 0 && interest_ranks[0] == "tv"',
    'interest_shares["tv"] > 0.5',
    'cart.exists(line, line.category == "tv" && line.quantity > 1)',
    "cart.map(line, line.price).filter(p, p != null).size() > 0",
    '"p1" in recent_products',
    'last_search.contains("usb")',
    'purchases.count > 0 && purchases.totals["EUR"] > 10.0',
    "banners.sale.views < 3",
    'has(traits.plan) && traits.plan == "a"',
    "traits.city == 3",
    "consent.personalization == true",
    'page.category == "tv"',
    'page.url.startsWith("/")',
    'user_id == "visitor-1"',
    "traits.tags.size() > 0",
    'banners["sale"].last_viewed_at == null',
    'user_id.matches("(")',
]
COMPILED = [Condition(when) for when in CONDITIONS]
TOGETHER = ConditionSet(COMPILED)
EVERYTHING = ruleset(
    *(campaign(f"c{n}", when, n, "{interested_category|x} {last_search|y} {traits.plan|z}") for n, when in enumerate(CONDITIONS)), INTEREST
)
pages = st.none() | st.dictionaries(
    st.sampled_from(["url", "title", "referrer", "locale", "type", "product_id", "category", "currency", "other"]),
    st.none() | st.text(max_size=5),
)


def context_of(log: list[Update]) -> Any:
    return view(absorb(State(VISITOR), log)[0])


@SETTINGS
@given(logs(), pages, st.integers(0, 2**45))
def test_deciding_never_fails_and_is_pure(log: list[Update], page: Any, now_ms: int) -> None:
    """Whatever a visitor did and wherever they are: the same decision each time, and each condition as if it were alone."""
    context = context_of(log)
    decision = decided(EVERYTHING, context, now_ms, page)
    assert decided(EVERYTHING, context, now_ms, page) == decision
    if decision.reason is DecisionReason.TARGETING_MATCH:
        alone = [condition.evaluate(activation(context, page)) for condition in COMPILED]
        together = TOGETHER.evaluate(values_of(context, page))
        assert list(together) == [(number, answer) for number, answer in enumerate(alone) if answer is not False]
        true = [n for n, answer in enumerate(alone) if answer is True]
        assert decision.campaign_id == (f"c{true[-1]}" if true else "interest")


@SETTINGS
@given(st.dictionaries(st.text(max_size=4), json_values.filter(lambda value: len(str(value)) < 200), max_size=3))
def test_no_trait_makes_a_decision_fail(traits: Any) -> None:
    """Traits are any JSON that the gateway accepts."""
    record = event_at(0, "IDENTIFY", {"user_id": VISITOR}).record()
    try:
        event = check_record({**record, "payload": {"user_id": VISITOR, "traits": {**traits, "plan": traits, "tags": [traits, None]}}})
    except InvalidEvent:
        return
    assert decided(EVERYTHING, context_of(logged([event]))).reason in DecisionReason


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("intrested_category", 1, 1, "undeclared reference to 'intrested_category'"),
        ("true &&\n  intrested", 2, 3, "undeclared reference to 'intrested'"),
        ("interested_category > 1", 1, 21, "no matching overload"),
        ('cart == "x"', 1, 6, "no matching overload"),
        ("1 + 1", 1, 1, "must return a boolean, this one returns int"),
        ("user_id", 1, 1, "this one returns string"),
        ("true &&", 1, 8, "Syntax error"),
        ("true, false", 1, 5, "Syntax error"),
        ("true) || (true", 1, 5, "Syntax error"),
        ("", 1, 1, "Syntax error"),
        ("// nothing", 1, 11, "Syntax error"),
        ("now() > 1", 1, 4, "undeclared reference to 'now'"),
        ("\ud800", 1, 1, "lone surrogates"),
        ("(" * 500 + "true" + ")" * 500, 1, 1, "recursion limit"),
        ("true || " * 20_000 + "true", 1, 1, "codepoint limit"),
    ],
)
def test_a_wrong_condition_is_reported_with_line_and_column(text: str, line: int, column: int, message: str) -> None:
    """Types are checked when it is loaded; it has no access to the time."""
    with pytest.raises(InvalidCondition, match=message) as raised:
        Condition(text)
    assert (raised.value.line, raised.value.column) == (line, column)


@SETTINGS
@given(st.text(st.characters() | st.sampled_from("()[]{}.&|!=\"'?:, user_idtrue"), max_size=25))
def test_any_text_is_a_condition_or_an_invalid_one(text: str) -> None:
    """A condition returns true, false or its failure."""
    try:
        condition = Condition(text)
    except InvalidCondition as problem:
        assert problem.line >= 1  # noqa: PT017 - either outcome is right
        assert problem.column >= 1  # noqa: PT017 - either outcome is right
        return
    assert isinstance(condition.evaluate(activation(None, None)), bool | str)
