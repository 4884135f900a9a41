"""What the commands and previews are made of: examples, differences, preview tokens, contexts that are given."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.commands import rules
from gateway.commands.preview import preview_link
from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.decisions.campaign_examples import run_examples
from gateway.model.decisions.decide import DecisionReason, Inputs, decide
from gateway.model.decisions.preview_token import InvalidPreview, Preview, decide_preview, draft_hash, open_preview
from gateway.model.rulesets.diff import ruleset_changes
from gateway.model.rulesets.ruleset import Ruleset
from gateway.model.visitors.context_input import InvalidContext, complete_context
from gateway.model.visitors.context_view import view
from gateway.model.visitors.state import State, absorb
from tests.support.strategies import SETTINGS, START_MS, VISITOR, json_values, logs

KEY = b"k" * 32
HEAD = "version: 1\nplacements: {hero: {fallback: {headline: Hello}}, aside: {}}\ncampaigns:\n"
SALE = "  - {id: sale, placement: hero, when: 'true', banner: {headline: Sale}}\n"


def ruleset(*campaigns: str, head: str = HEAD) -> Ruleset:
    return load_ruleset(head + "".join(campaigns), 3)


def test_an_example_that_does_not_hold_is_named_with_its_line() -> None:
    """What was expected and what was got."""
    text = """\
  - id: tv
    placement: hero
    when: 'interested_category == "tv"'
    schedule: {from: 2026-01-01T00:00:00Z}
    banner: {headline: TV}
    examples:
      - {context: {interested_category: tv}, expect: {campaign: tv, headline: TV}}
      - {context: {interested_category: radio}, expect: {campaign: tv}}
      - {context: {interested_category: tv}, expect: {headline: Radio}}
      - {context: {interested_category: tv}, at: 2025-12-31T00:00:00Z, expect: {campaign: none}}
      - {expect: {campaign: none, headline: Hello}}
"""
    assert [failure.text("f.yaml") for failure in run_examples(ruleset(text), START_MS)] == [
        "f.yaml:11: campaign tv: expected campaign tv, got none (DEFAULT)",
        "f.yaml:12: campaign tv: expected the headline 'Radio', got 'TV' of campaign tv",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (SALE, SALE, []),
        ("", SALE, ["+ campaign sale"]),
        (SALE, "", ["- campaign sale"]),
        (SALE, SALE.replace("Sale", "Great sale"), ["~ campaign sale: banner"]),
        (SALE, SALE.replace("'true'", "'1 == 1'"), ["~ campaign sale: when"]),
        (SALE, SALE.replace("when", "priority: 3, caps: {views: [{max: 1}]}, when"), ["~ campaign sale: caps, priority"]),
        (SALE, SALE.replace("hero", "aside"), ["~ campaign sale: placement"]),
        (SALE, SALE.replace("banner: {headline: Sale}", "split: [{variant: a, banner: none}]"), ["~ campaign sale: banner, split"]),
        (SALE, SALE.replace("banner", "examples: [{expect: {campaign: sale}}], banner"), ["~ campaign sale: examples"]),
        (SALE, "\n  # moved, and said otherwise\n" + SALE.replace("sale, ", "'sale', "), []),
    ],
)
def test_what_changed_is_named(old: str, new: str, expected: list[str]) -> None:
    """Campaign by campaign; where it stands in the file does not matter."""

    def loaded(campaigns: str) -> Ruleset:
        return ruleset(campaigns) if campaigns else ruleset(head=HEAD.replace("campaigns:\n", ""))

    assert [change.text() for change in ruleset_changes(loaded(old), loaded(new))] == expected


def test_changes_beside_campaigns_are_named_too() -> None:
    """Placements, and what holds for the whole ruleset."""
    other = HEAD.replace("Hello", "Welcome").replace(", aside: {}", ", footer: {}").replace("version: 1", "version: 1\nholdout: 0.1")
    assert [change.text() for change in ruleset_changes(ruleset(SALE), ruleset(SALE, head=other))] == [
        "~ ruleset: holdout",
        "- placement aside",
        "+ placement footer",
        "~ placement hero: fallback",
    ]


previews = st.builds(
    Preview,
    st.none() | st.integers(1, 2**31),
    st.none() | st.text(max_size=9),
    st.none() | st.integers(0, 2**45),
    st.integers(1, 2**45),
    st.none() | st.text(max_size=40).map(draft_hash),
)


@SETTINGS
@given(previews, st.data())
def test_a_preview_token_says_what_was_signed_until_it_expires(preview: Preview, data: st.DataObject) -> None:
    """And nothing when a character of it was changed, or with another key."""
    token = preview.sign(KEY)
    assert open_preview(KEY, token, preview.expires_at_ms - 1) == preview
    place = data.draw(st.integers(0, len(token) - 1))
    character = data.draw(st.sampled_from("Aa0_-=é\ud800"))
    changed = token[:place] + character + token[place + 1 :]
    for key, text, now_ms in ((KEY, token, preview.expires_at_ms), (b"x" * 32, token, 0), (KEY, token[:place], 0)):
        with pytest.raises(InvalidPreview):
            open_preview(key, text, now_ms)
    if place < len(token) - 1 and changed != token:
        with pytest.raises(InvalidPreview):
            open_preview(KEY, changed, 0)


@SETTINGS
@given(st.text(st.characters(), max_size=60))
def test_garbage_is_no_preview(text: str) -> None:
    """Nothing else is raised."""
    for one in (text, f"pv_{text}"):
        with pytest.raises(InvalidPreview):
            open_preview(KEY, one, 0)


LATE = "  - {id: late, placement: hero, when: 'false', caps: {views: [{max: 1}]}, holdout: 1, banner: {headline: 'Late {last_search}'}}\n"
CONTEXT = {"last_search": "x", "banners": {"late": {"views": 5}}}


@pytest.mark.parametrize(
    ("preview", "placement", "context", "headline", "reason"),
    [
        (Preview(None, "late", None, 1), "hero", CONTEXT, "Late x", DecisionReason.PREVIEW),
        (Preview(None, "late", None, 1), "hero", {}, "Sale", DecisionReason.PREVIEW),
        (Preview(None, "late", None, 1), "hero", {"consent": {"personalization": False}}, "Hello", DecisionReason.PREVIEW),
        (Preview(None, "late", None, 1), "aside", CONTEXT, None, DecisionReason.PREVIEW),
        (Preview(None, None, None, 1), "hero", CONTEXT, "Sale", DecisionReason.PREVIEW),
        (Preview(None, None, 0, 1), "nowhere", CONTEXT, None, DecisionReason.UNKNOWN_PLACEMENT),
    ],
)
def test_a_preview_forces_a_campaign(preview: Preview, placement: str, context: Any, headline: str | None, reason: DecisionReason) -> None:
    """Whatever its condition, caps and holdout say; where it has no data, what would be shown."""
    found = decide_preview(ruleset(SALE, LATE), preview, placement, Inputs(context, None, START_MS, "v"))
    assert (found.banner.headline if found.banner else None, found.reason) == (headline, reason)


@pytest.mark.parametrize(
    ("page", "link"),
    [
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080/?gw_preview=pv_a-b"),
        ("https://shop.example/de?a=1&b=#top", "https://shop.example/de?a=1&b=&gw_preview=pv_a-b#top"),
        ("https://shop.example/?gw_preview=old&a=1", "https://shop.example/?a=1&gw_preview=pv_a-b"),
    ],
)
def test_a_link_to_a_page_names_the_token_once(page: str, link: str) -> None:
    """And leaves the rest of the address as it is."""
    assert preview_link(page, "pv_a-b") == link


def test_a_preview_of_a_moment_never_changes_by_time() -> None:
    """It looks at that moment for as long as the page is open."""
    scheduled = SALE.replace("when", "schedule: {from: 2026-01-01T00:00:00Z, until: 2027-01-01T00:00:00Z}, when")
    inputs = Inputs(None, None, 1_700_000_000_000)
    assert decide(ruleset(scheduled), "hero", inputs).valid_until_ms is not None
    found = decide_preview(ruleset(scheduled), Preview(None, None, 1_767_225_600_000, 1), "hero", inputs)
    assert (found.campaign_id, found.valid_until_ms) == ("sale", None)


@SETTINGS
@given(logs())
def test_every_context_of_a_visitor_can_be_given(log: Any) -> None:
    """Copied from Redis into a preview or an example, it is taken as it is."""
    context = view(absorb(State(VISITOR), log)[0])
    assert complete_context(context) == context


@SETTINGS
@given(
    st.dictionaries(
        st.sampled_from(["user_id", "interests", "cart", "purchases", "banners", "consent", "traits", "version", "x"]), json_values
    )
)
def test_what_is_given_is_a_context_or_refused(given_context: dict[str, Any]) -> None:
    """And with what is taken, deciding never fails."""
    try:
        context = complete_context(given_context)
    except InvalidContext:
        return
    when = "interest_ranks.size() >= 0 && cart.all(line, line.quantity >= 0) && purchases.count >= 0"
    found = decide(
        ruleset(f"  - {{id: c, placement: hero, when: '{when}', caps: {{views: [{{max: 1}}]}}, banner: none}}\n"),
        "hero",
        Inputs(context, None, 0),
    )
    assert found.reason in DecisionReason


@pytest.mark.parametrize(
    ("command", "text", "code", "said"),
    [
        (rules.check_file, HEAD + SALE, 0, "OK, 2 placements, 1 campaign\n"),
        (rules.check_file, HEAD + SALE.replace("'true'", "'maybe'"), 1, ":4:40: campaign sale: when: undeclared reference to 'maybe'"),
        (
            rules.run_file_examples,
            HEAD + SALE.replace("banner", "examples: [{expect: {campaign: sale}}], banner"),
            0,
            "1 of 1 examples pass",
        ),
        (
            rules.run_file_examples,
            HEAD + SALE.replace("banner", "examples: [{expect: {campaign: none}}], banner"),
            1,
            ":4: campaign sale: expected campaign none",
        ),
    ],
)
def test_a_command_says_what_is_wrong_and_where(
    command: Callable[[argparse.Namespace], int], text: str, code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the exit code for a pipeline."""
    file = tmp_path / "campaigns.yaml"
    file.write_text(text, encoding="utf-8")
    assert command(argparse.Namespace(file=file)) == code
    captured = capsys.readouterr()
    assert said in captured.out + captured.err


def test_two_files_are_compared_without_a_gateway(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first is the new one."""
    new, old, missing = tmp_path / "new.yaml", tmp_path / "old.yaml", tmp_path / "missing.yaml"
    new.write_text(HEAD + SALE, encoding="utf-8")
    old.write_text(HEAD + SALE.replace("id: sale", "id: old"), encoding="utf-8")
    assert rules.print_differences(argparse.Namespace(file=new, other=old)) == 0
    assert capsys.readouterr().out == "- campaign old\n+ campaign sale\n"
    assert rules.print_differences(argparse.Namespace(file=new, other=missing)) == 2
    assert f"cannot read {missing}" in capsys.readouterr().err
