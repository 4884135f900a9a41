"""A dry run: what a new ruleset would change, folded into one report.

    for each context   look(old), look(new) ─▶ Comparison ─▶ Report.add
    for each split     Report.merge: counts add up, of the examples the same few stay

The report is the same for any split and any order of what it is made of, so that Spark may reduce it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from gateway.model.conditions.condition import values_of
from gateway.model.decisions.decide import Decision, DecisionReason, Inputs, Outcome, decide, judge
from gateway.model.rulesets.ruleset import Ruleset

MAX_EXAMPLES: Final = 5
"""Examples of each change, each of another visitor."""
FALLBACK: Final = "(fallback)"
NO_CONSENT: Final = "(no consent)"
NO_PLACEMENT: Final = "(no such placement)"
"""What is shown where no campaign is. Ids of campaigns have no parentheses."""
HELD_OUT: Final = " (held out)"


class Side(StrEnum):
    """Which of the two rulesets."""

    NOW = "now"
    THEN = "then"


class What(StrEnum):
    """What became of a campaign whose condition holds."""

    SHOWN = "shown"
    HELD_OUT = "held_out"
    CAPPED = "capped"
    NOT_SCHEDULED = "not_scheduled"
    FAILED = "failed"
    """Its condition failed while running, which counts as false."""


_PASSED_OVER: Final = {
    Outcome.CAPPED: What.CAPPED,
    Outcome.NOT_SCHEDULED: What.NOT_SCHEDULED,
    Outcome.CONDITION_ERROR: What.FAILED,
}


@dataclass(frozen=True, slots=True)
class Look:
    """What one ruleset gives: its decision, and the campaigns that were passed over for another reason than their condition."""

    decision: Decision
    passed_over: Mapping[str, What]

    @property
    def label(self) -> str:
        """The campaign, or what is shown without one."""
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
        """The headline of the banner; None where the page keeps its own content."""
        return self.decision.banner.headline if self.decision.banner else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a visitor sees at a placement by the one ruleset and would see by the other. `at_ms`: when, in history."""

    placement: str
    now: Look
    then: Look
    at_ms: int | None = None

    @property
    def has_changed(self) -> bool:
        """Whether campaign, variant or banner differ."""
        return self.now.decision.content != self.then.decision.content


@dataclass(frozen=True, slots=True)
class Example:
    """One visitor for whom something changes: the headlines before and after, and when, in history."""

    at_ms: int | None
    now: str | None
    then: str | None


Change = tuple[str, str, str]
"""Placement, label now, label then."""


@dataclass(slots=True)
class Report:
    """What a dry run found. `decisions` are one for each visitor and placement, or, in history, for each moment."""

    visitors: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    """By placement."""
    counts: Counter[tuple[str, str, Side, What]] = field(default_factory=Counter)
    """By placement, campaign (or label), side and what became of it."""
    changes: Counter[Change] = field(default_factory=Counter)
    examples: dict[Change, dict[str, Example]] = field(default_factory=dict)
    """By visitor, as it is to be printed."""

    def add(self, visitor: str, comparisons: Iterable[Comparison]) -> None:
        """Count a visitor, once, with all that was compared for them. `visitor` stands in the examples."""
        self.visitors += 1
        for one in comparisons:
            self.decisions[one.placement] += 1
            for side, look in ((Side.NOW, one.now), (Side.THEN, one.then)):
                self._count(one.placement, side, look)
            if one.has_changed:
                change = (one.placement, one.now.label, one.then.label)
                self.changes[change] += 1
                self._keep(change, {visitor: Example(one.at_ms, one.now.headline, one.then.headline)})

    def merge(self, other: Report) -> Report:
        """Take in a report over other visitors; returns itself."""
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

    def _count(self, placement: str, side: Side, look: Look) -> None:
        if look.decision.reason is DecisionReason.HOLDOUT:
            self.counts[placement, look.decision.campaign_id or "", side, What.HELD_OUT] += 1
        else:
            self.counts[placement, look.label, side, What.SHOWN] += 1
        for campaign_id, what in look.passed_over.items():
            self.counts[placement, campaign_id, side, what] += 1

    def _keep(self, change: Change, found: Mapping[str, Example]) -> None:
        """Of all visitors the few whose hashes are smallest, each with their earliest example: any split keeps the same."""
        kept = dict(self.examples.get(change, {}))
        for visitor, example in found.items():
            kept[visitor] = min(kept.get(visitor, example), example, key=_order)
        self.examples[change] = {visitor: kept[visitor] for visitor in sorted(kept, key=_rank)[:MAX_EXAMPLES]}

    def _placement(self, placement: str) -> dict[str, Any]:
        campaigns: dict[str, dict[str, dict[str, int]]] = {}
        for (where, name, side, what), count in self.counts.items():
            if where == placement and count:
                one = campaigns.setdefault(name, {s.value: {w.value: 0 for w in What} for s in Side})
                one[side.value][what.value] = count
        changes = [change for change in self.changes if change[0] == placement]
        return {
            "decisions": self.decisions[placement],
            "changed": sum(self.changes[change] for change in changes),
            "campaigns": dict(sorted(campaigns.items(), key=lambda item: (-item[1]["then"]["shown"], item[0]))),
            "changes": [self._change(change) for change in sorted(changes, key=lambda change: (-self.changes[change], change))],
        }

    def _change(self, change: Change) -> dict[str, Any]:
        examples = [
            {"visitor": visitor, "at_ms": one.at_ms, "now": one.now, "then": one.then}
            for visitor, one in sorted(self.examples[change].items(), key=lambda item: _rank(item[0]))
        ]
        return {"now": change[1], "then": change[2], "count": self.changes[change], "examples": examples}


def compare(old: Ruleset, new: Ruleset, placement: str, inputs: Inputs, at_ms: int | None = None) -> Comparison:
    """What two rulesets give for the same visitor, placement and moment."""
    return Comparison(placement, look(old, placement, inputs), look(new, placement, inputs), at_ms)


def look(ruleset: Ruleset, placement_id: str, inputs: Inputs) -> Look:
    """What a ruleset gives."""
    decision = decide(ruleset, placement_id, inputs)
    placement = ruleset.placements.get(placement_id)
    passed_over: dict[str, What] = {}
    if placement is None or not inputs.has_consent or not placement.campaigns or placement.campaigns[0].campaign_id == decision.campaign_id:
        return Look(decision, passed_over)
    for number, answer in placement.conditions.evaluate(values_of(inputs.context, inputs.page, inputs.trends)):
        campaign = placement.campaigns[number]
        if campaign.campaign_id == decision.campaign_id:
            break
        outcome = judge(ruleset, campaign, inputs).outcome if answer is True else Outcome.CONDITION_ERROR
        if outcome in _PASSED_OVER:
            passed_over[campaign.campaign_id] = _PASSED_OVER[outcome]
    return Look(decision, passed_over)


def placements_of(old: Ruleset, new: Ruleset) -> list[str]:
    """Every placement of either ruleset."""
    return sorted({*old.placements, *new.placements})


def _rank(visitor: str) -> tuple[bytes, str]:
    return hashlib.sha256(visitor.encode(errors="replace")).digest()[:8], visitor


def _order(example: Example) -> tuple[int, str, str]:
    return example.at_ms or 0, example.now or "", example.then or ""
