"""Marks in YAML: the same with and without libyaml, and correct within scalars of every style."""

from __future__ import annotations

import random

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.campaign_files.marks import mark_in
from gateway.model.campaign_files.nodes import compose
from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.rulesets.ruleset import InvalidRuleset, RulesetProblem
from gateway.model.rulesets.versions import CURRENT_FORMAT
from tests.support.strategies import SETTINGS

HEAD = "version: 1\nplacements: {hero: {fallback: {headline: Hello}}}\ncampaigns:\n"
CAMPAIGN = """\
  - id: campaign-{n}
    placement: hero
    priority: {n}
    when: 'interested_category == "c{n}" && size(cart) >= 2'
    caps: {{views: [{{max: 3, per: 1 day}}]}}
    schedule: {{from: 2026-01-01T00:00:00Z, days: [mon, "tue"], hours: "09:00-18:00", zone: Europe/Berlin}}
    banner:
      headline: "Deals on {{interested_category}}, \\"number\\" {n}"
      body: >
        Some text that is a little longer
        than the headline, for {{last_search|you}} é😀
      link_url: /deals/{n}
      data: {{a: [1, x, null], b: !!str 5}}   # for the page
"""
MISTAKES = [
    ("priority:", "prio:"), ("size(cart)", "sizes(cart)"), ("size(cart) >= 2", "page.typ == user_id"), ("per: 1 day", "per: 1 month"),
    ("2026-01-01T00", "2026-13-01T00"), ("[mon,", "[monday,"), ("{interested_category}", "{category}"), ("than the", "{x} the"),
    ("link_url: /", "link_url: //"), ("[1, x", "[.nan, x"), ("zone: E", "zone: X"), ("placement: hero", "placement: aside"),
]  # fmt: skip


def problems(text: str) -> list[RulesetProblem]:
    with pytest.raises(InvalidRuleset) as raised:
        load_ruleset(text, 1)
    return raised.value.problems


@pytest.mark.parametrize("campaigns", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_mistakes_have_the_same_marks_with_and_without_libyaml(campaigns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two dozen of them in a file of many campaigns, each reported once, at its mark."""
    assert yaml.__with_libyaml__, "PyYAML's wheels come with it"
    blocks = (HEAD + "".join(CAMPAIGN.format(n=n) for n in range(campaigns))).split("  - id: ")
    drawn = random.Random(5).sample(range(1, campaigns + 1), len(MISTAKES))
    for number, (good, wrong) in zip(drawn, MISTAKES, strict=True):
        assert good in blocks[number]
        blocks[number] = blocks[number].replace(good, wrong, 1)
    text = "  - id: ".join(blocks)
    fast = problems(text)
    assert sorted(str(problem.campaign_id) for problem in fast) == sorted(f"campaign-{number - 1}" for number in drawn)
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    assert problems(text) == fast


@pytest.mark.parametrize("damage", ["a: b: c", "{", "[", '"', "*x", "&a", "%", "!!", "\x00", "\ud800", "é: |", "- x", "? ", "@", "`"])
def test_invalid_yaml_has_the_same_mark_with_and_without_libyaml(damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the same message."""
    text = (HEAD + CAMPAIGN.format(n=1)).replace("priority: 1", f"priority: {damage}")
    fast = problems(text)
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    assert problems(text) == fast


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_deeply_nested_yaml_is_refused(opening: str) -> None:
    """With an error: C code that recursed this deeply would end the process."""
    (problem,) = problems(opening * 100_000)
    assert "nested too deeply" in problem.message


SOURCES = [
    "when: {}",
    "when:   {}   # a comment",
    "when: '{}'",
    "when: 'it''s {} ''so'''",
    'when: "{}"',
    'when: "\\"\\u00e9\\" \\t{} \\x41\\n"',
    'when: "a \\\n    b\\\n   {} c"',
    "when: one\n  two\n\n    three {} four",
    "when: 'one\n\n    two   {} three'",
    'when: "one\n\n    two\\\\ {}\n  three"',
    "when: |\n  {} x",
    "when: |2-\n    one\n\n   two {}",
    "when: | # a comment\n\n    one\n      two {}\n",
    "when: >\n  one\n  two {}\n\n\n  three",
    "when: >+\n    one\n      two\n    three {}\n\n",
    "é😀: {{a: &anchor !!str '{}'}}",
    "when: !!str\n  &x {} y",
    "\r\nwhen: >\r\n  one\r\n  two {}\r\n",
    "a: 1\nb: [x, 'é😀 {}']",
]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("fast", [True, False])
def test_a_character_is_found_in_scalars_of_every_style(source: str, fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """After quotes, escapes, folds and indentation."""
    monkeypatch.setattr(yaml, "__with_libyaml__", fast)
    text = source.format("@WANTED").replace("@WANTED", "WANTED")
    node = _holding(compose(text, CURRENT_FORMAT))
    before = text[: text.index("WANTED")]
    assert mark_in(text, node, node.value.index("WANTED")) == (before.count("\n") + 1, len(before) - before.rfind("\n"))
    end = mark_in(text, node, node.value.index("WANTED") + len("WANTED") - 1)
    assert end == (before.count("\n") + 1, len(before) - before.rfind("\n") + len("WANTED") - 1)


def _holding(root: yaml.Node | None) -> yaml.ScalarNode:
    """The scalar with the wanted character."""
    left = [root]
    while True:
        node = left.pop()
        if isinstance(node, yaml.ScalarNode) and "WANTED" in node.value:
            return node
        if isinstance(node, yaml.MappingNode):
            left.extend(value for _, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            left.extend(node.value)


@SETTINGS
@given(
    st.text(st.sampled_from("ab'\"\\ \t\né😀:#-"), min_size=1, max_size=30),
    st.sampled_from(["'", '"', "|", ">", None]),
    st.integers(8, 30),
    st.data(),
)
def test_every_visible_character_is_found(value: str, style: str | None, width: int, data: st.DataObject) -> None:
    """However a string is written: at the mark is the character itself, or its escape."""
    text: str = yaml.dump(
        {"key": {"text": value}}, default_style=style, width=width, allow_unicode=data.draw(st.booleans()), line_break="\n"
    )
    root = compose(text, CURRENT_FORMAT)
    assert isinstance(root, yaml.MappingNode)
    node = root.value[0][1].value[0][1]
    assert node.value == value
    offset = data.draw(st.integers(0, len(value) - 1))
    line, column = mark_in(text, node, offset)
    if not value[offset].isspace():
        assert text.split("\n")[line - 1][column - 1] in (value[offset], "\\")
