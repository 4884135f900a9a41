"""An explanation as plain JSON, in the shape of the API's `Explanation`, and as text for people.

homepage-hero for 12345: interest-deals
  "Exclusive deals on smartphones and accessories!"
  TARGETING_MATCH, ruleset 3, context 17, decided at 2026-01-31T12:00:00.000Z

campaigns, strongest first
  - cart-abundance   CONDITION_FALSE   `size(cart) >= 3` is false; cart = [] (0 items)
  * interest-deals   MATCHED           `interested_category != ""` is true; interested_category = "smartphones"

evidence
  interested_category  user_actions/1@41  2026-01-31T11:59:58.120Z  b7c1…
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from gateway.model.decisions.explain import ExplainedDecision
from gateway.model.times import format_time_ms
from gateway.model.visitors.evidence import EvidenceItem
from gateway.reports.columns import columns, printable

SEALED_TOPIC: Final = "sealed"
_SHOWING: Final = ("MATCHED", "HELD_OUT")


def explanation_json(
    story: ExplainedDecision, context: Mapping[str, Any] | None, evidence: Iterable[EvidenceItem], notes: Sequence[str], decided_at_ms: int
) -> dict[str, Any]:
    """An `Explanation` without the decision's id and cursor."""
    decision = story.decision
    banner = decision.banner
    return {
        "decision": {
            "placement": decision.placement,
            "reason": decision.reason.value,
            "campaignId": decision.campaign_id,
            "variant": decision.variant,
            "rulesetVersion": decision.ruleset_version,
            "contextVersion": decision.context_version,
            "decidedAt": format_time_ms(decided_at_ms),
            "validUntil": None if decision.valid_until_ms is None else format_time_ms(decision.valid_until_ms),
            "banner": None if banner is None else {"id": banner.banner_id, "headline": banner.headline},
        },
        "context": dict(context or {}),
        "steps": [{"campaignId": step.campaign_id, "outcome": step.outcome.value, "detail": step.detail} for step in story.steps],
        "evidence": [_evidence_json(item) for item in evidence],
        "notes": list(notes),
    }


def _evidence_json(item: EvidenceItem) -> dict[str, Any]:
    contribution = item.contribution
    if contribution is None:
        occurred_at = None if item.sealed_until_ms is None else format_time_ms(item.sealed_until_ms)
        return {"field": item.field, "topic": SEALED_TOPIC, "partition": -1, "offset": "-", "messageId": None, "occurredAt": occurred_at}
    position = contribution.position
    return {
        "field": item.field,
        "topic": position.topic,
        "partition": position.partition,
        "offset": str(position.offset),
        "messageId": contribution.message_id,
        "occurredAt": format_time_ms(contribution.event_time_ms),
    }


def explanation_text(explanation: Mapping[str, Any], visitor: str | None) -> str:
    """An `Explanation` as lines of text. `visitor` None: a decision for no visitor."""
    decision, steps, evidence = explanation["decision"], explanation["steps"], explanation["evidence"]
    banner = decision["banner"]
    shown = decision["campaignId"] or "the placement's fallback"
    lines = [
        f"{decision['placement']} for {visitor or 'no visitor'}: {shown}"
        + (f", variant {decision['variant']}" if decision["variant"] else ""),
        f'  "{banner["headline"]}"' if banner else "  no banner: the page keeps its own content",
        f"  {decision['reason']}, ruleset {decision['rulesetVersion']}, context {decision['contextVersion']}, "
        f"decided at {decision['decidedAt']}" + (f", valid until {decision['validUntil']}" if decision["validUntil"] else ""),
        *(f"  ! {note}" for note in explanation["notes"]),
        "",
        "campaigns, strongest first" if steps else "no campaign was considered",
        *columns([("* " if step["outcome"] in _SHOWING else "- ") + step["campaignId"], step["outcome"], step["detail"]] for step in steps),
        "",
        "evidence" if evidence else "no evidence: the decision depends on no event of this visitor",
        *columns(map(_evidence_row, evidence)),
    ]
    return "\n".join(map(printable, lines))


def _evidence_row(evidence: Mapping[str, Any]) -> list[str]:
    if evidence["messageId"] is None:
        return [evidence["field"], SEALED_TOPIC, evidence["occurredAt"] or "-", "older events, sealed into totals"]
    position = f"{evidence['topic']}/{evidence['partition']}@{evidence['offset']}"
    return [evidence["field"], position, evidence["occurredAt"] or "-", evidence["messageId"]]
