"""Dry runs: what is compared and counted, and that any split of the visitors leads to the same report."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli import main
from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.conditions.page_input import InvalidPage, page_of
from gateway.model.decisions.decide import Inputs
from gateway.model.decisions.dry_run import MAX_EXAMPLES, DecisionComparison, DryRunReport, compare_rulesets, placements_of
from gateway.model.rulesets.ruleset import Ruleset
from gateway.reports.dry_run import dry_run_text
from tests.support.strategies import SETTINGS, START_MS

HEAD = "version: 1\nplacements: {hero: {fallback: {headline: Hello}}, aside: {}}\ncampaigns:\n"
OLD = """\
  - {id: tv, placement: hero, priority: 1, when: 'interested_category == "tv"', banner: {headline: TV}}
  - {id: any, placement: hero, when: 'interested_category != ""', banner: {headline: "More {interested_category}"}}
"""
NEW = """\
  - {id: later, placement: hero, priority: 9, when: 'true', schedule: {from: 2099-01-01T00:00:00Z}, banner: {headline: Later}}
  - {id: broken, placement: hero, priority: 8, when: 'traits.plan == "x"', banner: {headline: Broken}}
  - {id: seen, placement: hero, priority: 7, when: 'true', caps: {views: [{max: 1}]}, banner: {headline: Seen}}
  - {id: out, placement: hero, priority: 6, when: 'interested_category == "tv"', holdout: 1, banner: {headline: Out}}
  - {id: any, placement: hero, when: 'interested_category != ""', banner: {headline: "Most {interested_category}"}}
"""


@cache
def ruleset(campaigns: str) -> Ruleset:
    return load_ruleset(HEAD + campaigns, 1)


def compared(context: dict[str, Any], placement: str = "hero") -> DecisionComparison:
    inputs = Inputs({"user_id": "v", **context}, {}, START_MS, "v")
    return compare_rulesets(ruleset(OLD), ruleset(NEW), placement, inputs)


SEEN_ONCE = {"banners": {"seen": {"views": 1, "views_since_click": 1, "recent_views_ms": [START_MS]}}}


def test_a_report_shows_who_would_see_what() -> None:
    """Campaigns before and after, and why others were passed over; a visitor without consent sees no campaign."""
    report = DryRunReport()
    report.add("a", [compared({"interested_category": "tv"})])
    report.add("b", [compared({"interested_category": "tv", **SEEN_ONCE})])
    report.add("c", [compared({"interested_category": "radio", **SEEN_ONCE})])
    report.add("d", [compared({"consent": {"personalization": False}}), compared({}, "aside")])
    as_json = report.as_json()
    hero = as_json["placements"]["hero"]
    assert (as_json["visitors"], as_json["decisions"], as_json["changed"]) == (4, 5, 3)
    then = {name: {what: count for what, count in sides["then"].items() if count} for name, sides in hero["campaigns"].items()}
    assert then == {
        "later": {"not_scheduled": 3}, "broken": {"failed": 3}, "seen": {"shown": 1, "capped": 2}, "out": {"held_out": 1},
        "any": {"shown": 1}, "(no consent)": {"shown": 1}, "tv": {},
    }  # fmt: skip
    assert {name: sides["now"]["shown"] for name, sides in hero["campaigns"].items()} == {
        "later": 0, "broken": 0, "seen": 0, "out": 0, "any": 1, "(no consent)": 1, "tv": 2,
    }  # fmt: skip
    changes = {(change["now"], change["then"]): change["examples"][0] for change in hero["changes"]}
    assert changes == {
        ("tv", "seen"): {"visitor": "a", "at_ms": None, "now": "TV", "then": "Seen"},
        ("tv", "out (held out)"): {"visitor": "b", "at_ms": None, "now": "TV", "then": "Hello"},
        ("any", "any"): {"visitor": "c", "at_ms": None, "now": "More radio", "then": "Most radio"},
    }
    assert as_json["placements"]["aside"]["campaigns"]["(fallback)"]["then"]["shown"] == 1
    text = dry_run_text(as_json, ["a note"])
    for line in (
        "4 visitors: 3 of 5 decisions change (60.0 %)",
        "! a note",
        "  1  any -> any (another variant or banner)",
        '    b  "TV" -> "Hello"',
    ):
        assert line in text.splitlines()


def test_an_unknown_placement_and_an_empty_report() -> None:
    """A placement that only one of the two rulesets has is compared too."""
    new = load_ruleset("version: 1\nplacements: {hero: {}, extra: {fallback: {headline: Extra}}}\n", 2)
    assert placements_of(ruleset(OLD), new) == ["aside", "extra", "hero"]
    comparison = compare_rulesets(ruleset(OLD), new, "extra", Inputs(None, {}, START_MS))
    assert (comparison.now.label, comparison.then.label, comparison.has_changed) == ("(no such placement)", "(fallback)", True)
    assert dry_run_text(DryRunReport().as_json()) == "0 visitors: 0 of 0 decisions change"


RULESETS = ruleset(OLD), ruleset(NEW)
visits = st.lists(
    st.tuples(
        st.sampled_from([f"v{n}" for n in range(40)]),
        st.integers(0, 5),
        st.sampled_from(["tv", "tv", None]),
        st.booleans(),
    ),
    min_size=12,
    max_size=40,
)


@SETTINGS
@given(visits, st.lists(st.integers(0, 40), max_size=4), st.randoms(use_true_random=False))
def test_any_split_in_any_order_gives_the_same_report(
    counted: list[tuple[str, int, str | None, bool]], cuts: list[int], chance: Any
) -> None:
    """Counts are added, and the same few examples stay."""

    def report_of(some: list[tuple[str, int, str | None, bool]]) -> DryRunReport:
        report = DryRunReport()
        for visitor, minute, category, is_seen in some:
            inputs = Inputs({"interested_category": category, **(SEEN_ONCE if is_seen else {})}, {}, START_MS, visitor)
            report.add(visitor, [compare_rulesets(*RULESETS, "hero", inputs, START_MS + minute)])
        return report

    whole = report_of(counted).as_json()
    shuffled = list(counted)
    chance.shuffle(shuffled)
    edges = [0, *sorted(cuts), len(shuffled)]
    parts = [report_of(shuffled[low:high]) for low, high in pairwise(edges)]
    chance.shuffle(parts)
    merged = DryRunReport()
    for part in parts:
        merged.merge(part)
    assert merged.as_json() == whole
    assert all(len(change["examples"]) <= MAX_EXAMPLES for change in whole["placements"].get("hero", {"changes": []})["changes"])


def test_a_page_is_json_or_names_with_values() -> None:
    """In the names of the API or of conditions; anything else is refused."""
    assert page_of(['{"type": "home", "productId": "p"}', "locale=de", "url=https://a/?b=c"]) == {
        "type": "home", "product_id": "p", "locale": "de", "url": "https://a/?b=c",
    }  # fmt: skip
    assert page_of(['{"url": "https://a/?b=c"}']) == {"url": "https://a/?b=c"}
    for wrong in ("home", "[1]", '{"type": 1}', "kind=home", "{"):
        with pytest.raises(InvalidPage):
            page_of([wrong])


def test_the_command_reports_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A bad file exits with 1; an unreachable store, an invalid page and an invalid time with 2; no secret is needed or shown."""
    monkeypatch.delenv("GATEWAY_TOKEN_SECRET", raising=False)
    monkeypatch.setenv("GATEWAY_REDIS_URL", "redis://:hidden@127.0.0.1:1/0")
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(HEAD + OLD)
    bad.write_text(HEAD + OLD.replace("banner", "baner"))

    def told(*arguments: str) -> tuple[int, str]:
        code = main(["rules", "dry-run", *arguments])
        return code, capsys.readouterr().err

    cases: list[tuple[list[str], int, Callable[[str], bool]]] = [
        ([str(bad), "--against", str(good)], 1, lambda text: "baner" in text),
        ([str(good), "--against", str(good)], 2, lambda text: "the context store did not answer" in text),
        ([str(good), "--against", str(good), "--page", "home"], 2, lambda text: "a page is a JSON object" in text),
        ([str(good), "--against", str(good), "--at", "noon"], 2, lambda text: "--at must be an RFC 3339 time" in text),
    ]
    for arguments, code, is_told in cases:
        exit_code, text = told(*arguments)
        assert (exit_code, is_told(text)) == (code, True), text
        assert "hidden" not in text
