"""Reading rulesets: all mistakes together, each with its line, its column and its campaign."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.decisions.decide import Inputs, decide
from gateway.model.rulesets.ruleset import InvalidRuleset, RulesetProblem
from tests.support.strategies import SETTINGS

GOOD = """\
version: 1
placements:
  hero:
    description: on top
    fallback: {headline: Welcome, link_url: /}
  aside: {}
campaigns:
  - id: deals
    placement: hero
    priority: 5
    when: 'interested_category != ""'
    schedule: {from: 2026-01-01T00:00:00Z, until: 2026-02-01T00:00:00Z}
    banner:
      headline: "Deals on {interested_category}"
      link_url: /deals?c={interested_category}
      image: {url: /a.png, alt: A, width: 10, height: 20}
      data: {tags: [1, x, null], 5: true}
"""


def problems(text: str) -> list[RulesetProblem]:
    with pytest.raises(InvalidRuleset) as raised:
        load_ruleset(text, 1)
    assert raised.value.problems
    return raised.value.problems


def test_a_valid_ruleset_is_read_completely() -> None:
    """With its version, its YAML, its placements and its campaigns."""
    ruleset = load_ruleset(GOOD, 7)
    assert (ruleset.version, ruleset.yaml, list(ruleset.placements)) == (7, GOOD, ["hero", "aside"])
    (campaign,) = ruleset.placements["hero"].campaigns
    assert (campaign.campaign_id, campaign.priority) == ("deals", 5)
    assert (campaign.schedule.from_ms, campaign.schedule.until_ms) == (1_767_225_600_000, 1_769_904_000_000)
    (variant,) = campaign.variants
    assert variant.banner is not None
    assert variant.banner.data == {"tags": [1, "x", None], "5": True}
    assert ruleset.placements["aside"].fallback is None


def test_campaigns_are_ordered_strongest_first_then_as_in_the_file() -> None:
    """By priority; campaigns of the same priority in their order."""
    lines = "".join(
        f'  - {{id: c{n}, placement: p, priority: {priority}, when: "true", banner: {{headline: h}}}}\n'
        for n, priority in enumerate([1, 3, 1, 2, 3])
    )
    ruleset = load_ruleset(f"version: 1\nplacements: {{p: {{}}}}\ncampaigns:\n{lines}", 1)
    assert [campaign.campaign_id for campaign in ruleset.placements["p"].campaigns] == ["c1", "c4", "c3", "c0", "c2"]


CASES: list[tuple[str, str, tuple[int, int], str | None, str]] = [
    ("version: 1", "version: 2", (1, 10), None, "must be 1"),
    ("version: 1", "version: one", (1, 10), None, "version must be an integer"),
    ("version: 1", "version: !!int one", (1, 10), None, "version must be an integer"),
    ("version: 1\n", "", (1, 1), None, "needs the field 'version'"),
    ("version: 1", "colour: red\nversion: 1", (1, 1), None, "has no field 'colour'"),
    ("version: 1", "version: 1\nversion: 1", (2, 1), None, "has a duplicate field 'version'"),
    ("  aside: {}", "  hero: {}", (6, 3), None, "duplicate placement hero"),
    ("  aside: {}", "  a b: {}", (6, 3), None, "'a b' is not a valid id"),
    ("  aside: {}", "  aside: {colour: red}", (6, 11), None, "placement aside has no field 'colour'"),
    ("  aside: {}", "  aside: text", (6, 10), None, "placement aside must be a mapping"),
    ("  aside: {}", "  [a]: x", (6, 3), None, "a key must be a string"),
    ("{headline: Welcome, link_url: /}", "{body: x}", (5, 15), None, "a banner needs the field 'headline'"),
    ("headline: Welcome", 'headline: "{last_search}"', (5, 15), None, "give its placeholders a default"),
    ("link_url: /}", 'link_url: "javascript:x"}', (5, 46), None, "a link must start with"),
    ("campaigns:\n", "campaigns:\n  - 5\n", (8, 5), None, "a campaign must be a mapping"),
    ("  - id: deals\n    placement", "  - placement", (8, 5), None, "needs the field 'id'"),
    ("id: deals", "id: ''", (8, 9), None, "id must be a string"),
    ("id: deals", "id: '{x}'", (8, 9), "{x}", "is not a valid id"),
    ("placement: hero", "placement: top", (9, 16), "deals", "placement top is not defined; known placements: hero, aside"),
    ("priority: 5", "priority: high", (10, 15), "deals", "priority must be an integer"),
    ("priority: 5", "priority: 0x_", (10, 15), "deals", "priority must be an integer"),
    ("priority: 5", "weight: 5", (10, 5), "deals", "a campaign has no field 'weight'"),
    ("""'interested_category != ""'""", """'interested != ""'""", (11, 12), "deals", "undeclared reference to 'interested'"),
    ("""'interested_category != ""'""", """'true && cart.size() + 1'""", (11, 17), "deals", "found no matching overload for '_&&_'"),
    ("""'interested_category != ""'""", "interested_category", (11, 11), "deals", "must return a boolean, this one returns string"),
    ("""'interested_category != ""'""", "interested_category > 5", (11, 31), "deals", "found no matching overload"),
    ("""'interested_category != ""'""", "[1, 2", (12, 13), None, "not YAML"),
    ("""'interested_category != ""'""", "|\n      true &&\n        nonsense", (13, 9), "deals", "undeclared reference to 'nonsense'"),
    ("""'interested_category != ""'""", '"\\uD800"', (11, 11), "deals", "when must not contain lone surrogates"),
    ("""'interested_category != ""'""", "true\n    when: 'true'", (11, 11), "deals", "when must be a string"),
    ("from: 2026-01-01T00:00:00Z", "from: 2026-01-01", (12, 22), "deals", "from must be an RFC 3339 time"),
    ("until: 2026-02-01T00:00:00Z", "until: 2025-02-01T00:00:00Z", (12, 15), "deals", "from must be before until"),
    ("until: 2026-02-01T00:00:00Z", "to: 2026-02-01T00:00:00Z", (12, 44), "deals", "schedule has no field 'to'"),
    ("Deals on {interested_category}", "Deals on {category}", (14, 27), "deals", "unknown placeholder {category}"),
    ("Deals on {interested_category}", "\\uD800", (14, 17), "deals", "headline must not contain lone surrogates"),
    ("/deals?c={interested_category}", "javascript:x", (15, 17), "deals", "a link must start with"),
    ("url: /a.png, ", "", (16, 14), "deals", "image needs the field 'url'"),
    ("url: /a.png", "url: //evil.example", (16, 20), "deals", "a link must start with"),
    ("width: 10", "width: wide", (16, 43), "deals", "width must be an integer"),
    ("{tags: [1, x, null], 5: true}", ".nan", (17, 13), "deals", "data must be JSON"),
    ("{tags: [1, x, null], 5: true}", "!python/name:os.system x", (17, 13), "deals", "data must be JSON"),
    ("{tags: [1, x, null], 5: true}", "{[1]: 2}", (17, 13), "deals", "data must be JSON"),
    ("{tags: [1, x, null], 5: true}", "!!int abc", (17, 13), "deals", "data must be JSON"),
    ("{tags: [1, x, null], 5: true}", "&a [*a]", (17, 13), None, "this holds more than 100000 values"),
    ("{tags: [1, x, null], 5: true}", f"[{'1, ' * 10_000}]", (17, 13), "deals", "data must hold at most 10000 values"),
    ("{tags: [1, x, null], 5: true}", '"\\uD800"', (17, 13), "deals", "data must be JSON"),
    ("description: on top", "description: [on top]", (4, 18), None, "description must be a string"),
    ("description: on top", "description: \ton: top", (4, 18), None, "not YAML"),
    ("description: on top", "description: a\x00b", (4, 19), None, "not YAML"),
]


@pytest.mark.parametrize(
    ("good", "wrong", "place", "campaign", "message"), CASES, ids=[f"{n}-{case[4][:30]}" for n, case in enumerate(CASES)]
)
def test_a_mistake_is_reported_with_its_mark(good: str, wrong: str, place: tuple[int, int], campaign: str | None, message: str) -> None:
    """Line and column count from 1; a campaign's mistake names the campaign."""
    assert GOOD.count(good) == 1
    reported = problems(GOOD.replace(good, wrong))
    match = [p for p in reported if message in p.message]
    assert match, [p.text("f") for p in reported]
    assert ((match[0].line, match[0].column), match[0].campaign_id) == (place, campaign)
    assert match[0].text("campaigns.yaml").startswith(f"campaigns.yaml:{place[0]}:{place[1]}: ")


def test_all_mistakes_are_reported_together_in_order_of_lines() -> None:
    """Not one per attempt."""
    wrong = GOOD.replace("placement: hero", "placement: top").replace("priority: 5", "priority: high").replace("version: 1", "version: 9")
    wrong = wrong.replace("interested_category != ", "nothing != ").replace("on {interested_category}", "on {nobody}")
    assert [problem.line for problem in problems(wrong)] == [1, 9, 10, 11, 14]


def test_a_duplicate_campaign_id_is_a_mistake() -> None:
    """The second one is the mistake."""
    again = '  - {id: deals, placement: hero, when: "true", banner: {headline: h}}\n'
    (problem,) = problems(GOOD + again)
    assert (problem.line, problem.column, problem.campaign_id) == (18, 10, "deals")
    assert "duplicate campaign deals" in problem.message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "5",
        "- a",
        "a: b: c",
        "{",
        "\x00",
        "version: 1\n---\nversion: 1",
        "\t",
        "*x",
        "&a {version: *a}",
        "[" * 5000,
        "{a: " * 5000,
        "\ud800",
        "%YAML 9",
        "!!python/object:os.system {}",
        "? {a: b}\n: c",
    ],
)
def test_a_file_that_is_not_a_ruleset_is_refused_with_a_mark(text: str) -> None:
    """Whatever the file is, its reader gets line and column, never a traceback."""
    for problem in problems(text):
        assert problem.line is not None
        assert problem.column is not None


def test_a_file_that_is_too_large_is_refused() -> None:
    """Before anything else."""
    assert "at most 1000000 bytes" in problems("# " + "é" * 500_000)[0].message


def test_anchors_do_not_multiply() -> None:
    """Nine levels of nine anchors would be a billion values; an example that is used 10,000 times is too large as well."""
    bomb = "[x, &a0 [lol]" + "".join(f", &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]" for n in range(9)) + "]"
    (problem,) = problems(GOOD.replace("{tags: [1, x, null], 5: true}", bomb))
    assert ("more than 100000 values" in problem.message, problem.line) == (True, 17)
    example = f"&e {{context: {{traits: {{a: [{'1, ' * 500}]}}}}, expect: {{campaign: deals}}}}"
    (problem,) = problems(f"{GOOD}    examples: [{example}{', *e' * 10_000}]\n")
    assert ("more than 100000 values" in problem.message, problem.line, problem.column) == (True, 18, 15)


def test_a_thousand_long_conditions_are_one_ruleset() -> None:
    """Together they are longer than one CEL expression may be."""
    when = f'interested_category == \\"{"x" * 150}\\"'
    lines = "".join(f'  - {{id: c{n}, placement: p, when: "{when}", banner: {{headline: h}}}}\n' for n in range(800))
    last = '  - {id: last, placement: p, when: "true", banner: {headline: found}}\n'
    ruleset = load_ruleset(f"version: 1\nplacements: {{p: {{}}}}\ncampaigns:\n{lines}{last}", 1)
    assert decide(ruleset, "p", Inputs(None, None, 0)).campaign_id == "last"


def test_a_condition_at_the_limit_of_depth_is_evaluated() -> None:
    """Together with others it would be too deep; alone it is not."""
    deepest = 0
    for depth in range(1, 60):
        when = "(" * depth + "true" + ")" * depth
        line = f'  - {{id: c, placement: p, when: "{when}", banner: {{headline: h}}}}\n'
        try:
            ruleset = load_ruleset(f"version: 1\nplacements: {{p: {{}}}}\ncampaigns:\n{line}", 1)
        except InvalidRuleset as problem:
            assert "recursion limit" in str(problem)  # noqa: PT017 - either outcome is right
            break
        assert decide(ruleset, "p", Inputs(None, None, 0)).campaign_id == "c"
        deepest = depth
    assert deepest > 5


@SETTINGS
@given(st.data())
def test_a_damaged_ruleset_is_a_ruleset_or_an_invalid_one(data: st.DataObject) -> None:
    """Any characters anywhere in a valid file: no other error is raised, and decisions can be made with the result."""
    place = data.draw(st.integers(0, len(GOOD)))
    length = data.draw(st.integers(0, 12))
    text = GOOD[:place] + data.draw(st.text(st.characters() | st.sampled_from("{}[]&*!|>'\":-\n #"), max_size=6)) + GOOD[place + length :]
    try:
        ruleset = load_ruleset(text, 1)
    except InvalidRuleset as problem:
        assert problem.problems  # noqa: PT017 - either outcome is right
        assert str(problem).encode(errors="replace")  # noqa: PT017 - either outcome is right
        return
    for placement in ruleset.placements:
        decide(ruleset, placement, Inputs({"interested_category": "tv"}, None, 1_768_000_000_000))
