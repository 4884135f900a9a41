"""Running the examples that stand beside the campaigns: given this context and page, at this time, expect this banner."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.model.decisions.decide import Decision, Inputs, decide
from gateway.model.rulesets.ruleset import NO_CAMPAIGN, Campaign, CampaignExample, Ruleset


@dataclass(frozen=True, slots=True)
class ExampleFailure:
    """An example that does not hold. `line` counts from 1."""

    line: int
    campaign_id: str
    message: str

    def text(self, file: str) -> str:
        """`file:line: campaign …: message`."""
        return f"{file}:{self.line}: campaign {self.campaign_id}: {self.message}"


def examples_of(ruleset: Ruleset) -> Iterator[tuple[Campaign, CampaignExample]]:
    """Every example with the campaign that it stands beside."""
    for placement in ruleset.placements.values():
        for campaign in placement.campaigns:
            for example in campaign.examples:
                yield campaign, example


def run_examples(ruleset: Ruleset, now_ms: int) -> list[ExampleFailure]:
    """The examples that do not hold, by line. One that names no time is run as of `now_ms`."""
    failures = []
    for campaign, example in examples_of(ruleset):
        at_ms = now_ms if example.at_ms is None else example.at_ms
        inputs = Inputs(example.context, example.page, at_ms, example.context.get("user_id") or None)
        message = _mismatch(example, decide(ruleset, campaign.placement, inputs))
        if message is not None:
            failures.append(ExampleFailure(example.line, campaign.campaign_id, message))
    return sorted(failures, key=lambda failure: failure.line)


def _mismatch(example: CampaignExample, decision: Decision) -> str | None:
    found = decision.campaign_id or NO_CAMPAIGN
    headline = decision.banner.headline if decision.banner else None
    if example.campaign_id not in (None, found):
        return f"expected campaign {example.campaign_id}, got {found} ({decision.reason.value})"
    if example.headline not in (None, headline):
        return f"expected the headline {example.headline!r}, got {headline!r} of campaign {found}"
    return None
