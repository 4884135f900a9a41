"""An explanation as plain JSON, in the shape of the API's `Explanation`, and as text to be read.

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

from gateway.model.decisions.explain import Story
from gateway.model.times import format_time_ms
from gateway.model.visitors.evidence import Item
from gateway.reports.columns import columns, printable

SEALED_TOPIC: Final = "sealed"
_SHOWING: Final = ("MATCHED", "HELD_OUT")


def explanation_json(
    story: Story, context: Mapping[str, Any] | None, evidence: Iterable[Item], notes: Sequence[str], decided_at_ms: int
) -> dict[str, Any]:
    """An `Explanation`, without the ids of decision and cursor."""
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
        "evidence": [_evidence(item) for item in evidence],
        "notes": list(notes),
    }


def _evidence(item: Item) -> dict[str, Any]:
    c = item.contribution
    if c is None:
        at_ms = item.sealed_until_ms
        occurred_at = None if at_ms is None else format_time_ms(at_ms)
        return {"field": item.field, "topic": SEALED_TOPIC, "partition": -1, "offset": "-", "messageId": None, "occurredAt": occurred_at}
    place = {"topic": c.position.topic, "partition": c.position.partition, "offset": str(c.position.offset)}
    return {"field": item.field, **place, "messageId": c.message_id, "occurredAt": format_time_ms(c.event_time_ms)}


def text_of(found: Mapping[str, Any], visitor: str | None) -> str:
    """An `Explanation` as lines of text."""
    decision = found["decision"]
    banner = decision["banner"]
    shown = decision["campaignId"] or "the placement's fallback"
    lines = [
        f"{decision['placement']} for {visitor or 'no visitor'}: {shown}"
        + (f", variant {decision['variant']}" if decision["variant"] else ""),
        f'  "{banner["headline"]}"' if banner else "  no banner: the page keeps its own content",
        f"  {decision['reason']}, ruleset {decision['rulesetVersion']}, context {decision['contextVersion']}, "
        f"decided at {decision['decidedAt']}" + (f", valid until {decision['validUntil']}" if decision["validUntil"] else ""),
        *(f"  ! {note}" for note in found["notes"]),
        "",
        "campaigns, strongest first" if found["steps"] else "no campaign was considered",
        *columns([("* " if s["outcome"] in _SHOWING else "- ") + s["campaignId"], s["outcome"], s["detail"]] for s in found["steps"]),
        "",
        "evidence" if found["evidence"] else "no evidence: no event of this visitor was looked at",
        *columns(
            [e["field"], _place(e), e["occurredAt"] or "-", e["messageId"] or "older events, sealed into totals"] for e in found["evidence"]
        ),
    ]
    return "\n".join(map(printable, lines))


def _place(evidence: Mapping[str, Any]) -> str:
    return SEALED_TOPIC if evidence["messageId"] is None else f"{evidence['topic']}/{evidence['partition']}@{evidence['offset']}"
