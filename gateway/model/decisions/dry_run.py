"""A dry run: what a new ruleset would change, collected in one report.

    for each context   ruleset_result(old), ruleset_result(new) ─▶ DecisionComparison ─▶ DryRunReport.add
    for each split     DryRunReport.merge: counts add up, and the same few examples remain

The report is the same for any split and any order of the contexts, so that Spark can reduce it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from gateway.model.conditions.condition import values_of
from gateway.model.decisions.decide import Decision, DecisionReason, Inputs, StepOutcome, decide, judge
from gateway.model.rulesets.ruleset import Ruleset

MAX_EXAMPLES: Final = 5
"""Examples of each change, each of a different visitor."""
FALLBACK: Final = "(fallback)"
NO_CONSENT: Final = "(no consent)"
NO_PLACEMENT: Final = "(no such placement)"
"""Labels of what is shown without a campaign. Campaign ids have no parentheses."""
HELD_OUT: Final = " (held out)"


class RulesetSide(StrEnum):
    """Which of the two rulesets."""

    NOW = "now"
    THEN = "then"


class CampaignOutcome(StrEnum):
    """The outcome for a campaign whose condition is true, or cannot be evaluated."""

    SHOWN = "shown"
    HELD_OUT = "held_out"
    CAPPED = "capped"
    NOT_SCHEDULED = "not_scheduled"
    FAILED = "failed"
    """Its condition failed while it was evaluated, which counts as false."""


_PASSED_OVER: Final = {
    StepOutcome.CAPPED: CampaignOutcome.CAPPED,
    StepOutcome.NOT_SCHEDULED: CampaignOutcome.NOT_SCHEDULED,
    StepOutcome.CONDITION_ERROR: CampaignOutcome.FAILED,
}


@dataclass(frozen=True, slots=True)
class RulesetResult:
    """The decision of one ruleset, and the campaigns that it passed over for a reason other than a false condition."""

    decision: Decision
    passed_over: Mapping[str, CampaignOutcome]

    @property
    def label(self) -> str:
        """The id of the campaign, or the label of what is shown without one."""
        match self.decision.reason:
            case DecisionReason.NO_CONSENT:
                return NO_CONSENT
            case DecisionReason.UNKNOWN_PLACEMENT:
                return NO_PLACEMENT
            case DecisionReason.HOLDOUT:
                return f"{self.decision.campaign_id}{HELD_OUT}"
            case _:
                return self.decision.campaign_id or FALLBACK

    @property
    def headline(self) -> str | None:
        """The headline of the banner; None if the page keeps its own content."""
        return self.decision.banner.headline if self.decision.banner else None


@dataclass(frozen=True, slots=True)
class DecisionComparison:
    """What a visitor sees at a placement with one ruleset and would see with the other. `at_ms`: when, in a history."""

    placement: str
    now: RulesetResult
    then: RulesetResult
    at_ms: int | None = None

    @property
    def has_changed(self) -> bool:
        """Whether campaign, variant or banner differ."""
        return self.now.decision.content != self.then.decision.content


@dataclass(frozen=True, slots=True)
class ChangeExample:
    """A visitor for whom something changes: the headlines with both rulesets, and when, in a history."""

    at_ms: int | None
    now: str | None
    then: str | None


DecisionChange = tuple[str, str, str]
"""Placement, label with the old ruleset, label with the new one."""


@dataclass(slots=True)
class DryRunReport:
    """The counts of a dry run. There is one decision for each visitor and placement or, in a history, for each moment."""

    visitors: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    """By placement."""
    counts: Counter[tuple[str, str, RulesetSide, CampaignOutcome]] = field(default_factory=Counter)
    """By placement, campaign (or label), side and outcome."""
    changes: Counter[DecisionChange] = field(default_factory=Counter)
    examples: dict[DecisionChange, dict[str, ChangeExample]] = field(default_factory=dict)
    """By visitor, as it is printed."""

    def add(self, visitor: str, comparisons: Iterable[DecisionComparison]) -> None:
        """Count a visitor, once, with all their comparisons. `visitor` is printed in the examples."""
        self.visitors += 1
        for comparison in comparisons:
            placement, now, then = comparison.placement, comparison.now, comparison.then
            self.decisions[placement] += 1
            for side, result in ((RulesetSide.NOW, now), (RulesetSide.THEN, then)):
                self._count(placement, side, result)
            if comparison.has_changed:
                change = (placement, now.label, then.label)
                self.changes[change] += 1
                self._keep(change, {visitor: ChangeExample(comparison.at_ms, now.headline, then.headline)})

    def merge(self, other: DryRunReport) -> DryRunReport:
        """Add a report on other visitors; returns itself."""
        self.visitors += other.visitors
        self.decisions.update(other.decisions)
        self.counts.update(other.counts)
        self.changes.update(other.changes)
        for change, examples in other.examples.items():
            self._keep(change, examples)
        return self

    def as_json(self) -> dict[str, Any]:
        """The report as plain JSON."""
        return {
            "visitors": self.visitors,
            "decisions": self.decisions.total(),
            "changed": self.changes.total(),
            "placements": {placement: self._placement(placement) for placement in sorted(self.decisions)},
        }

    def _count(self, placement: str, side: RulesetSide, result: RulesetResult) -> None:
        if result.decision.reason is DecisionReason.HOLDOUT:
            self.counts[placement, result.decision.campaign_id or "", side, CampaignOutcome.HELD_OUT] += 1
        else:
            self.counts[placement, result.label, side, CampaignOutcome.SHOWN] += 1
        for campaign_id, outcome in result.passed_over.items():
            self.counts[placement, campaign_id, side, outcome] += 1

    def _keep(self, change: DecisionChange, examples: Mapping[str, ChangeExample]) -> None:
        """Keep the few visitors with the smallest hashes, each with their earliest example: any split keeps the same ones."""
        kept = dict(self.examples.get(change, {}))
        for visitor, example in examples.items():
            kept[visitor] = min(kept.get(visitor, example), example, key=_example_order)
        self.examples[change] = {visitor: kept[visitor] for visitor in sorted(kept, key=_rank)[:MAX_EXAMPLES]}

    def _placement(self, placement: str) -> dict[str, Any]:
        campaigns: dict[str, dict[str, dict[str, int]]] = {}
        for (counted_placement, name, side, outcome), count in self.counts.items():
            if counted_placement == placement and count:
                no_counts = {side.value: dict.fromkeys(map(str, CampaignOutcome), 0) for side in RulesetSide}
                campaigns.setdefault(name, no_counts)[side.value][outcome.value] = count
        changes = [change for change in self.changes if change[0] == placement]
        return {
            "decisions": self.decisions[placement],
            "changed": sum(self.changes[change] for change in changes),
            "campaigns": dict(sorted(campaigns.items(), key=lambda item: (-item[1]["then"]["shown"], item[0]))),
            "changes": [self._change(change) for change in sorted(changes, key=lambda change: (-self.changes[change], change))],
        }

    def _change(self, change: DecisionChange) -> dict[str, Any]:
        examples = [
            {"visitor": visitor, "at_ms": example.at_ms, "now": example.now, "then": example.then}
            for visitor, example in sorted(self.examples[change].items(), key=lambda item: _rank(item[0]))
        ]
        return {"now": change[1], "then": change[2], "count": self.changes[change], "examples": examples}


def compare_rulesets(old: Ruleset, new: Ruleset, placement: str, inputs: Inputs, at_ms: int | None = None) -> DecisionComparison:
    """The decisions of two rulesets for the same visitor, placement and moment."""
    return DecisionComparison(placement, ruleset_result(old, placement, inputs), ruleset_result(new, placement, inputs), at_ms)


def ruleset_result(ruleset: Ruleset, placement_id: str, inputs: Inputs) -> RulesetResult:
    """The decision of a ruleset, and the campaigns that it passed over."""
    decision = decide(ruleset, placement_id, inputs)
    placement = ruleset.placements.get(placement_id)
    passed_over: dict[str, CampaignOutcome] = {}
    if placement is None or not inputs.has_consent or not placement.campaigns or placement.campaigns[0].campaign_id == decision.campaign_id:
        return RulesetResult(decision, passed_over)
    for number, answer in placement.conditions.evaluate(values_of(inputs.context, inputs.page, inputs.trends)):
        campaign = placement.campaigns[number]
        if campaign.campaign_id == decision.campaign_id:
            break
        outcome = judge(ruleset, campaign, inputs).outcome if answer is True else StepOutcome.CONDITION_ERROR
        if outcome in _PASSED_OVER:
            passed_over[campaign.campaign_id] = _PASSED_OVER[outcome]
    return RulesetResult(decision, passed_over)


def placements_of(old: Ruleset, new: Ruleset) -> list[str]:
    """Every placement of either ruleset."""
    return sorted({*old.placements, *new.placements})


def _rank(visitor: str) -> tuple[bytes, str]:
    return hashlib.sha256(visitor.encode(errors="replace")).digest()[:8], visitor


def _example_order(example: ChangeExample) -> tuple[int, str, str]:
    return example.at_ms or 0, example.now or "", example.then or ""
