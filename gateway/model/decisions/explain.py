"""The explanation of a decision: the outcome for every campaign of a placement, in words, and the fields that mattered.

`explain_decision` makes the same checks as `gateway.model.decisions.decide`, with the same functions, and adds the words. Campaigns after
the one that won are not checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.model.conditions.analysis import parts_of, paths_of, values_text, variables_of
from gateway.model.conditions.condition import Condition, activation_of, values_of
from gateway.model.decisions.decide import Decision, DecisionReason, Inputs, Judgment, StepOutcome, decide, judge
from gateway.model.rulesets.ruleset import BannerTemplate, Campaign, ProductRule, ProductSource, Ruleset
from gateway.model.rulesets.template import Template

CONTEXT_FIELDS: Final = (
    "interested_category", "interests", "cart", "recent_products", "last_search", "purchases", "banners", "traits", "consent",
)  # fmt: skip
"""The fields of a context that a decision can depend on, in their order."""

_FIELD_OF: Final = {"interest_shares": "interests", "interest_ranks": "interests"}
"""The fields of those variables of conditions that have another name than their field."""


@dataclass(frozen=True, slots=True)
class ExplanationStep:
    """The outcome for one campaign, and why."""

    campaign_id: str
    outcome: StepOutcome
    detail: str


@dataclass(frozen=True, slots=True)
class ExplainedDecision:
    """A decision and how it was made.

    `fields`: the context fields that were used, in the order of `CONTEXT_FIELDS`. `campaign_ids`: the campaigns whose conditions, caps and
    banners used them.
    """

    decision: Decision
    steps: tuple[ExplanationStep, ...]
    fields: tuple[str, ...]
    campaign_ids: tuple[str, ...]


def explain_decision(ruleset: Ruleset, placement_id: str, inputs: Inputs) -> ExplainedDecision:
    """The decision with a step for every campaign of the placement, strongest first.

    There are no steps if no campaign is considered at all: the placement is unknown, or there is no consent.
    """
    decision = decide(ruleset, placement_id, inputs)
    placement = ruleset.placements.get(placement_id)
    used = {"consent"}
    steps: list[ExplanationStep] = []
    checked: list[str] = []
    if placement is not None and inputs.has_consent:
        values = values_of(inputs.context, inputs.page, inputs.trends)
        activation = activation_of(values)
        winner: str | None = None
        for campaign in placement.campaigns:
            if winner is not None:
                steps.append(ExplanationStep(campaign.campaign_id, StepOutcome.LOWER_PRIORITY, f"not checked: {winner} comes before it"))
                continue
            step, judgment = _step(ruleset, campaign, inputs, activation, values)
            steps.append(step)
            checked.append(campaign.campaign_id)
            used |= _fields_used(campaign, judgment, inputs)
            if step.outcome in (StepOutcome.MATCHED, StepOutcome.HELD_OUT):
                winner = campaign.campaign_id
        if placement.fallback is not None and (winner is None or decision.reason is DecisionReason.HOLDOUT):
            used |= _fields_of_banner(placement.fallback, inputs)
    return ExplainedDecision(decision, tuple(steps), tuple(field for field in CONTEXT_FIELDS if field in used), tuple(checked))


def _step(
    ruleset: Ruleset, campaign: Campaign, inputs: Inputs, activation: Any, values: Mapping[str, Any]
) -> tuple[ExplanationStep, Judgment | None]:
    """The step of one campaign; and its judgment, if its condition is true."""
    answer = campaign.when.evaluate(activation)
    if answer is False:
        return ExplanationStep(campaign.campaign_id, StepOutcome.CONDITION_FALSE, _why_false(campaign.when, activation, values)), None
    if answer is not True:
        detail = _condition_detail(campaign.when, f"failed at run time, which counts as false: {answer}", values)
        return ExplanationStep(campaign.campaign_id, StepOutcome.CONDITION_ERROR, detail), None
    judgment = judge(ruleset, campaign, inputs)
    detail = judgment.detail
    if judgment.outcome is StepOutcome.CONDITION_FALSE and (missing := _missing_placeholders(campaign, inputs)):
        detail += f": {', '.join('{' + name + '}' for name in missing)}"
    elif judgment.outcome is StepOutcome.MATCHED and judgment.banner is not None:
        detail = _condition_detail(campaign.when, "is true", values)
    if judgment.variant_id is not None and judgment.outcome is StepOutcome.MATCHED:
        detail += f"; assigned to variant {judgment.variant_id}"
    return ExplanationStep(campaign.campaign_id, judgment.outcome, detail), judgment


def _why_false(condition: Condition, activation: Any, values: Mapping[str, Any]) -> str:
    """The first part that is false, with the values that it used."""
    parts = parts_of(condition)
    culprit = next((part for part in parts if part.evaluate(activation) is False), condition) if len(parts) > 1 else condition
    return _condition_detail(culprit, "is false", values)


def _condition_detail(condition: Condition, statement: str, values: Mapping[str, Any]) -> str:
    """A statement on a condition, with the values that it used."""
    detail = f"`{_one_line(condition.text)}` {statement}"
    used = values_text(paths_of(condition), values)
    return f"{detail}; {used}" if used else detail


def _one_line(text: str) -> str:
    return " ".join(text.split()) if "\n" in text else text.strip()


def _fields_used(campaign: Campaign, judgment: Judgment | None, inputs: Inputs) -> set[str]:
    """The context fields that a campaign used: for its condition, and if that is true for its caps and its banner."""
    used = {_FIELD_OF.get(name, name) for name in variables_of(campaign.when)}
    if judgment is None:
        return used
    if campaign.caps.views or campaign.caps.views_since_click is not None or campaign.caps.stop_after_dismiss:
        used.add("banners")
    if judgment.outcome not in (StepOutcome.MATCHED, StepOutcome.CONDITION_FALSE):
        return used
    for variant in campaign.variants:
        if variant.banner is None or judgment.variant_id not in (None, variant.variant_id):
            continue
        used |= {name.split(".", 1)[0] for name, _ in _placeholders(variant.banner)} | _fields_of_banner(variant.banner, inputs)
    return used


def _fields_of_banner(banner: BannerTemplate, inputs: Inputs) -> set[str]:
    """The context fields that decide on the language and the related products of a banner."""
    used = {"traits"} if banner.locales and not (inputs.page or {}).get("locale") else set[str]()
    return used if banner.products is None else used | _fields_of_rule(banner.products)


def _fields_of_rule(rule: ProductRule) -> set[str]:
    used = {
        ProductSource.LAST_SEEN: {"recent_products"},
        ProductSource.TRENDING: set[str](),
        ProductSource.SAME_CATEGORY: {"interested_category"},
        ProductSource.BOUGHT_TOGETHER: {"cart", "recent_products"},
    }[rule.source]
    return used | ({"cart"} if rule.exclude_cart else set()) | ({"purchases"} if rule.exclude_bought else set())


def _missing_placeholders(campaign: Campaign, inputs: Inputs) -> list[str]:
    """The placeholders of the campaign's banners that have neither data nor a default."""
    names = dict.fromkeys(
        name
        for variant in campaign.variants
        if variant.banner is not None
        for name, default in _placeholders(variant.banner)
        if default is None and Template(((name, None),)).render(inputs.values) is None
    )
    return list(names)


def _placeholders(banner: BannerTemplate) -> Iterator[tuple[str, str | None]]:
    """(field, default) of every placeholder, including those of other languages."""
    image = (banner.image.url, banner.image.alt) if banner.image else ()
    for template in (banner.headline, banner.body, banner.link_url, banner.cta_label, *image):
        for part in template.parts if template is not None else ():
            if not isinstance(part, str):
                yield part
    for translation in banner.locales.values():
        yield from _placeholders(translation)
