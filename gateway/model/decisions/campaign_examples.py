"""Checking the examples of campaigns: with this context and page, at this time, expect this campaign and headline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.model.decisions.decide import Decision, Inputs, decide
from gateway.model.rulesets.ruleset import NO_CAMPAIGN, Campaign, CampaignExample, Ruleset


@dataclass(frozen=True, slots=True)
class ExampleFailure:
    """An example with another result than expected. `line` counts from 1."""

    line: int
    campaign_id: str
    message: str

    def text(self, file: str) -> str:
        """`file:line: campaign …: message`."""
        return f"{file}:{self.line}: campaign {self.campaign_id}: {self.message}"


def examples_of(ruleset: Ruleset) -> Iterator[tuple[Campaign, CampaignExample]]:
    """Every example with its campaign."""
    for placement in ruleset.placements.values():
        for campaign in placement.campaigns:
            for example in campaign.examples:
                yield campaign, example


def run_examples(ruleset: Ruleset, now_ms: int) -> list[ExampleFailure]:
    """The examples that fail, by line. An example without a time is checked as of `now_ms`."""
    failures = []
    for campaign, example in examples_of(ruleset):
        at_ms = now_ms if example.at_ms is None else example.at_ms
        inputs = Inputs(example.context, example.page, at_ms, example.context.get("user_id") or None)
        message = _mismatch(example, decide(ruleset, campaign.placement, inputs))
        if message is not None:
            failures.append(ExampleFailure(example.line, campaign.campaign_id, message))
    return sorted(failures, key=lambda failure: failure.line)


def _mismatch(example: CampaignExample, decision: Decision) -> str | None:
    campaign_id = decision.campaign_id or NO_CAMPAIGN
    headline = decision.banner.headline if decision.banner else None
    if example.campaign_id not in (None, campaign_id):
        return f"expected campaign {example.campaign_id}, got {campaign_id} ({decision.reason.value})"
    if example.headline not in (None, headline):
        return f"expected the headline {example.headline!r}, got {headline!r} of campaign {campaign_id}"
    return None
