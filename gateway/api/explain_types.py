"""The object types of `explain`, and how an explanation becomes one of them."""

from __future__ import annotations

from enum import Enum

import strawberry

from gateway.api import types
from gateway.api.mapping import to_banner_decision
from gateway.api.scalars import DateTimeScalar, JSONScalar
from gateway.model.decisions.decide import StepOutcome
from gateway.model.visitors.evidence import EvidenceItem
from gateway.services.explain import DecisionExplanation

SEALED_TOPIC = "sealed"


@strawberry.enum(
    name="StepOutcome", description="The outcome of a campaign in a decision. Clients treat an unknown value as CONDITION_FALSE."
)
class StepOutcomeEnum(Enum):
    """The outcome of a campaign in a decision."""

    MATCHED = strawberry.enum_value(StepOutcome.MATCHED.value, description="The campaign is shown.")
    CONDITION_FALSE = strawberry.enum_value(
        StepOutcome.CONDITION_FALSE.value, description="Its condition is false, or a placeholder has neither a value nor a default."
    )
    NOT_SCHEDULED = strawberry.enum_value(StepOutcome.NOT_SCHEDULED.value, description="The time is outside its schedule.")
    CAPPED = strawberry.enum_value(StepOutcome.CAPPED.value, description="A frequency cap was reached.")
    HELD_OUT = strawberry.enum_value(
        StepOutcome.HELD_OUT.value, description="It was chosen, but the visitor is in its holdout group and gets the fallback."
    )
    LOWER_PRIORITY = strawberry.enum_value(StepOutcome.LOWER_PRIORITY.value, description="Another campaign takes precedence.")
    CONDITION_ERROR = strawberry.enum_value(
        StepOutcome.CONDITION_ERROR.value, description="Its condition failed at run time, which counts as false."
    )


@strawberry.type(name="ExplanationStep", description="What a decision found about one campaign.")
class ExplanationStepType:
    """What a decision found about one campaign."""

    campaign_id: strawberry.ID = strawberry.field(description="The id of the campaign.")
    outcome: StepOutcomeEnum = strawberry.field(description="The outcome of the campaign.")
    detail: str = strawberry.field(description="The reason, in words: which part of the condition was false, with the values it saw.")


@strawberry.type(
    name="Evidence",
    description="An event that a field of the context comes from, by its position in the event log. Older events are sealed into "
    'totals: then the topic is "sealed", the partition is -1, messageId is null, and occurredAt is the time of the latest sealed event.',
)
class EvidenceType:
    """An event that a field of the context comes from."""

    field: str = strawberry.field(description="The field, as `context` names it.")
    topic: str = strawberry.field(description="The Kafka topic of the event.")
    partition: int = strawberry.field(description="The partition of the topic, from 0.")
    offset: str = strawberry.field(
        description='The offset in the partition, as a string because it can exceed 2^53. "-" if the topic is "sealed".'
    )
    message_id: strawberry.ID | None = strawberry.field(description="The message id that the client sent.")
    occurred_at: DateTimeScalar | None = strawberry.field(description="When the event happened.")


@strawberry.type(name="Explanation", description="Why a decision was made.")
class ExplanationType:
    """Why a decision was made."""

    decision: types.BannerDecisionType = strawberry.field(description="The decision that is explained.")
    context: JSONScalar = strawberry.field(description="The context that the decision used; empty if nothing was known.")
    steps: list[ExplanationStepType] = strawberry.field(
        description="Every campaign of the placement, highest priority first. Empty if none was considered: without consent, or "
        "for an unknown placement."
    )
    evidence: list[EvidenceType] = strawberry.field(description="The events behind the context fields that were used, by time.")
    notes: list[str] = strawberry.field(description="Why the explanation may be inexact, in words; usually empty.")


def to_explanation(explanation: DecisionExplanation) -> ExplanationType:
    """An explanation as its object type."""
    return ExplanationType(
        decision=to_banner_decision(explanation.issued),
        context=JSONScalar(dict(explanation.context)),
        steps=[
            ExplanationStepType(
                campaign_id=strawberry.ID(step.campaign_id), outcome=StepOutcomeEnum(step.outcome.value), detail=step.detail
            )
            for step in explanation.steps
        ],
        evidence=[_to_evidence(item) for item in explanation.evidence],
        notes=list(explanation.notes),
    )


def _to_evidence(item: EvidenceItem) -> EvidenceType:
    contribution = item.contribution
    if contribution is None:
        at_ms = item.sealed_until_ms
        occurred_at = None if at_ms is None else DateTimeScalar(at_ms)
        return EvidenceType(field=item.field, topic=SEALED_TOPIC, partition=-1, offset="-", message_id=None, occurred_at=occurred_at)
    return EvidenceType(
        field=item.field,
        topic=contribution.position.topic,
        partition=contribution.position.partition,
        offset=str(contribution.position.offset),
        message_id=strawberry.ID(contribution.message_id),
        occurred_at=DateTimeScalar(contribution.event_time_ms),
    )
