"""`gateway explain`: what it prints, and how it takes a page."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.cli import main
from gateway.reports.explanation import explanation_text

DECISION: dict[str, Any] = {
    "placement": "top", "reason": "SPLIT", "campaignId": "sale", "variant": "b", "rulesetVersion": 3, "contextVersion": 17,
    "decidedAt": "2026-01-31T12:00:00.000Z", "validUntil": None, "banner": {"headline": "Hi"},
}  # fmt: skip


def test_the_story_is_printed_in_columns() -> None:
    """Decision, notes, steps with the winner marked, evidence with its place; sealed totals without one."""
    found = {
        "decision": DECISION,
        "notes": ["not quite exact"],
        "steps": [
            {"campaignId": "first", "outcome": "CONDITION_FALSE", "detail": "`size(cart) > 0` is false; cart = [] (0 items)"},
            {"campaignId": "sale", "outcome": "MATCHED", "detail": "`true` is true"},
        ],
        "evidence": [
            {"field": "cart", "topic": "sealed", "partition": -1, "offset": "-", "messageId": None, "occurredAt": None},
            {"field": "cart", "topic": "user_actions", "partition": 1, "offset": "41", "messageId": "m\x1b1", "occurredAt": "noon"},
        ],
    }
    assert explanation_text(found, "12345").splitlines() == [
        "top for 12345: sale, variant b",
        '  "Hi"',
        "  SPLIT, ruleset 3, context 17, decided at 2026-01-31T12:00:00.000Z",
        "  ! not quite exact",
        "",
        "campaigns, strongest first",
        "  - first  CONDITION_FALSE  `size(cart) > 0` is false; cart = [] (0 items)",
        "  * sale   MATCHED          `true` is true",
        "",
        "evidence",
        "  cart  sealed             -     older events, sealed into totals",
        "  cart  user_actions/1@41  noon  m�1",
    ]


def test_where_nothing_was_considered() -> None:
    """No steps, no evidence, no banner, no visitor."""
    decision = {**DECISION, "campaignId": None, "variant": None, "banner": None, "validUntil": "later"}
    found = explanation_text({"decision": decision, "notes": [], "steps": [], "evidence": []}, None)
    assert "top for no visitor: the placement's fallback\n  no banner" in found
    assert "valid until later" in found
    assert "no campaign was considered" in found
    assert "no evidence" in found


def test_a_page_is_given_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    """What is not NAME=VALUE is refused before anybody is asked."""
    assert main(["explain", "--placement", "top", "--page", "home", "--key", "sk_test"]) == 1
    assert "NAME=VALUE" in capsys.readouterr().err
