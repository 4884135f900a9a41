"""The decision: which banner a visitor sees at a placement. A pure function: same inputs, same banner.

Campaigns are considered in order of priority, the highest first. `judge` decides whether one campaign would be shown, and if not, why;
`decide` takes the first that would, `gateway.model.decisions.explain` explains all of them. A campaign never turns the answer into an
error: a condition that fails at run time counts as false.

The checks, in order: condition, schedule, group, caps, holdout, split, placeholders. The holdout comes after the caps, so that visitors
who are held out would have seen the campaign as often as the others do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from gateway.model.conditions.condition import values_of
from gateway.model.decisions.assignment import choose, is_within
from gateway.model.decisions.render import Banner, render
from gateway.model.rulesets.ruleset import HOLDOUT_VARIANT, BannerTemplate, Campaign, Placement, Ruleset, Variant
from gateway.model.times import earliest_ms
from gateway.model.trends.snapshot import NO_TRENDS, Trends


class DecisionReason(StrEnum):
    """Why this banner. Clients treat an unknown value as DEFAULT."""

    TARGETING_MATCH = "TARGETING_MATCH"
    SPLIT = "SPLIT"
    DEFAULT = "DEFAULT"
    HOLDOUT = "HOLDOUT"
    NO_CONSENT = "NO_CONSENT"
    PREVIEW = "PREVIEW"
    UNKNOWN_PLACEMENT = "UNKNOWN_PLACEMENT"
    UNAVAILABLE = "UNAVAILABLE"


class StepOutcome(StrEnum):
    """The outcome for one campaign in a decision."""

    MATCHED = "MATCHED"
    CONDITION_FALSE = "CONDITION_FALSE"
    NOT_SCHEDULED = "NOT_SCHEDULED"
    CAPPED = "CAPPED"
    HELD_OUT = "HELD_OUT"
    LOWER_PRIORITY = "LOWER_PRIORITY"
    CONDITION_ERROR = "CONDITION_ERROR"


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that a decision depends on, apart from the ruleset.

    `context`: the public JSON (None: nothing is known). `visitor_id` None: no visitor is named. `shown`: the campaigns that the page
    already shows; no cap removes them. `consent_default`: what applies to visitors who never answered on consent.
    """

    context: Mapping[str, Any] | None
    page: Mapping[str, Any] | None
    now_ms: int
    visitor_id: str | None = None
    trends: Trends = NO_TRENDS
    shown: frozenset[str] = frozenset()
    consent_default: bool = True

    @property
    def values(self) -> Mapping[str, Any]:
        """The context; empty if nothing is known."""
        return self.context or {}

    @property
    def stable_id(self) -> str | None:
        """The id that decides on splits and holdouts. It stays the same after `identify`."""
        return self.values.get("stable_id") or self.visitor_id

    @property
    def has_consent(self) -> bool:
        """Whether this visitor may be personalized."""
        answer = (self.values.get("consent") or {}).get("personalization")
        return self.consent_default if answer is None else bool(answer)

    @property
    def locale(self) -> str | None:
        """The language of the page; if it names none, that of the visitor."""
        locale = (self.page or {}).get("locale") or (self.values.get("traits") or {}).get("locale")
        return locale if isinstance(locale, str) else None


@dataclass(frozen=True, slots=True)
class Judgment:
    """The outcome for one campaign: shown (MATCHED), held out, or not shown. `detail`: why, in words.

    `next_change_ms`: when time alone could change it (None: never).
    """

    outcome: StepOutcome
    detail: str
    next_change_ms: int | None = None
    variant_id: str | None = None
    banner: Banner | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The banner for a visitor at a placement.

    `valid_until_ms`: when time alone could change it (None: never). `trends_snapshot`: the number of the trends that were used.
    `condition_errors`: campaigns whose condition failed at run time, which counts as false.
    """

    placement: str
    banner: Banner | None
    reason: DecisionReason
    campaign_id: str | None
    variant: str | None
    ruleset_version: int
    context_version: int
    valid_until_ms: int | None
    trends_snapshot: int = 0
    condition_errors: tuple[str, ...] = field(default=(), compare=False)

    @property
    def content(self) -> tuple[str | None, str | None, str]:
        """What a page shows: campaign, variant and banner. If two decisions have equal contents, the page need not change."""
        return (self.campaign_id, self.variant, self.banner.banner_id if self.banner else "")


def decide(ruleset: Ruleset, placement_id: str, inputs: Inputs) -> Decision:
    """The decision for a placement. Never raises, whatever the context is."""
    placement = ruleset.placements.get(placement_id)
    if placement is None:
        return _decision_without_campaign(ruleset, placement_id, inputs, DecisionReason.UNKNOWN_PLACEMENT, None)
    if not inputs.has_consent:
        return _decision_without_campaign(ruleset, placement_id, inputs, DecisionReason.NO_CONSENT, _fallback(placement, inputs))
    next_change_ms: int | None = None
    condition_errors: tuple[str, ...] = ()
    if placement.campaigns:
        for number, answer in placement.conditions.evaluate(values_of(inputs.context, inputs.page, inputs.trends)):
            campaign = placement.campaigns[number]
            if answer is not True:
                condition_errors = (*condition_errors, campaign.campaign_id)
                continue
            judgment = judge(ruleset, campaign, inputs)
            next_change_ms = earliest_ms(next_change_ms, judgment.next_change_ms)
            if judgment.outcome in (StepOutcome.MATCHED, StepOutcome.HELD_OUT):
                decision = _campaign_decision(ruleset, placement, campaign, judgment, inputs, next_change_ms)
                return _with_condition_errors(decision, condition_errors)
    decision = _decision_without_campaign(ruleset, placement_id, inputs, DecisionReason.DEFAULT, _fallback(placement, inputs))
    decision = decision if next_change_ms is None else replace(decision, valid_until_ms=next_change_ms)
    return _with_condition_errors(decision, condition_errors)


def judge(ruleset: Ruleset, campaign: Campaign, inputs: Inputs) -> Judgment:
    """The outcome for a campaign whose condition is true."""
    runs, next_change_ms = campaign.schedule.at(inputs.now_ms)
    if not runs:
        return Judgment(StepOutcome.NOT_SCHEDULED, "it is not scheduled at this time", next_change_ms)
    drawn_id = _drawn_campaign_id(ruleset, campaign, inputs.stable_id)
    if drawn_id != campaign.campaign_id:
        detail = f"in the group {campaign.group} the visitor is assigned to campaign {drawn_id}"
        return Judgment(StepOutcome.LOWER_PRIORITY, detail, next_change_ms)
    if campaign.campaign_id not in inputs.shown:
        counts = (inputs.values.get("banners") or {}).get(campaign.campaign_id)
        capped, free_ms = campaign.caps.at(counts, inputs.now_ms)
        if capped is not None:
            return Judgment(StepOutcome.CAPPED, capped, earliest_ms(next_change_ms, free_ms))
    holdout = _holdout_detail(ruleset, campaign, inputs.stable_id)
    if holdout is not None:
        return Judgment(StepOutcome.HELD_OUT, holdout, next_change_ms, HOLDOUT_VARIANT)
    variant = _drawn_variant(campaign, inputs.stable_id)
    if variant.banner is None:
        return Judgment(StepOutcome.MATCHED, "the page keeps its own content", next_change_ms, variant.variant_id)
    banner = _render(variant.banner, inputs)
    if banner is None:
        return Judgment(StepOutcome.CONDITION_FALSE, "a placeholder of its banner has neither data nor a default", next_change_ms)
    return Judgment(StepOutcome.MATCHED, "its condition is true", next_change_ms, variant.variant_id, banner)


def forced_decision(ruleset: Ruleset, placement_id: str, campaign_id: str, inputs: Inputs) -> Decision | None:
    """The decision for one campaign of the placement, whatever its condition, schedule, caps and holdout. None: it cannot be shown."""
    placement = ruleset.placements.get(placement_id)
    campaign = next((c for c in placement.campaigns if c.campaign_id == campaign_id), None) if placement else None
    if placement is None or campaign is None:
        return None
    variant = _drawn_variant(campaign, inputs.stable_id)
    banner = None if variant.banner is None else _render(variant.banner, inputs)
    if variant.banner is not None and banner is None:
        return None
    return _campaign_decision(
        ruleset, placement, campaign, Judgment(StepOutcome.MATCHED, "", None, variant.variant_id, banner), inputs, None
    )


def unavailable_decision(ruleset: Ruleset, placement_id: str) -> Decision:
    """The decision while the context store cannot be reached: the fallback."""
    inputs = Inputs(None, None, 0)
    placement = ruleset.placements.get(placement_id)
    if placement is None:
        return _decision_without_campaign(ruleset, placement_id, inputs, DecisionReason.UNKNOWN_PLACEMENT, None)
    return _decision_without_campaign(ruleset, placement_id, inputs, DecisionReason.UNAVAILABLE, _fallback(placement, inputs))


def _drawn_variant(campaign: Campaign, stable_id: str | None) -> Variant:
    """The variant that the visitor is assigned to; the first one if no visitor is named."""
    return campaign.variants[0 if stable_id is None else choose([v.weight for v in campaign.variants], campaign.salt, stable_id)]


def _drawn_campaign_id(ruleset: Ruleset, campaign: Campaign, stable_id: str | None) -> str:
    """The campaign of its group that the visitor is assigned to; itself if it has no group."""
    if campaign.group is None:
        return campaign.campaign_id
    members = ruleset.groups[campaign.group]
    return members[0 if stable_id is None else choose([1] * len(members), f"group:{campaign.group}", stable_id)]


def _holdout_detail(ruleset: Ruleset, campaign: Campaign, stable_id: str | None) -> str | None:
    if stable_id is None:
        return None
    if is_within(ruleset.holdout, f"holdout:{ruleset.holdout_salt}", stable_id):
        return "the visitor is in the global holdout"
    if is_within(campaign.holdout, f"holdout:{campaign.salt}", stable_id):
        return "the visitor is in the campaign's holdout"
    return None


def _campaign_decision(
    ruleset: Ruleset, placement: Placement, campaign: Campaign, judgment: Judgment, inputs: Inputs, valid_until_ms: int | None
) -> Decision:
    if judgment.outcome is StepOutcome.HELD_OUT:
        banner, reason = _fallback(placement, inputs), DecisionReason.HOLDOUT
    else:
        banner = judgment.banner
        reason = DecisionReason.SPLIT if len(campaign.variants) > 1 else DecisionReason.TARGETING_MATCH
    return Decision(
        placement=placement.placement_id,
        banner=banner,
        reason=reason,
        campaign_id=campaign.campaign_id,
        variant=judgment.variant_id,
        ruleset_version=ruleset.version,
        context_version=inputs.values.get("version", 0),
        valid_until_ms=valid_until_ms,
        trends_snapshot=inputs.trends.snapshot,
    )


def _with_condition_errors(decision: Decision, condition_errors: tuple[str, ...]) -> Decision:
    return replace(decision, condition_errors=condition_errors) if condition_errors else decision


def _decision_without_campaign(
    ruleset: Ruleset, placement_id: str, inputs: Inputs, reason: DecisionReason, banner: Banner | None
) -> Decision:
    version = inputs.values.get("version", 0)
    return Decision(placement_id, banner, reason, None, None, ruleset.version, version, None, inputs.trends.snapshot)


def _fallback(placement: Placement, inputs: Inputs) -> Banner | None:
    """The fallback. Its content is the same for all visitors; its language and products are the visitor's if consent allows it."""
    if placement.fallback is None:
        return None
    if inputs.has_consent:
        return render(placement.fallback, {}, inputs.trends, inputs.locale, known=inputs.values)
    return render(placement.fallback, {}, inputs.trends, (inputs.page or {}).get("locale"))


def _render(template: BannerTemplate, inputs: Inputs) -> Banner | None:
    return render(template, inputs.values, inputs.trends, inputs.locale)
