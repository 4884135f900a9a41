"""The answer of `explain`."""

from __future__ import annotations

from enum import Enum

import strawberry

from gateway.api import types
from gateway.api.mapping import decision_answer
from gateway.api.scalars import DateTimeScalar, JSONScalar
from gateway.model.decisions.decide import StepOutcome
from gateway.model.visitors.evidence import EvidenceItem
from gateway.services.explain import DecisionExplanation

SEALED_TOPIC = "sealed"


@strawberry.enum(name="StepOutcome", description="What became of a campaign. A client treats a value it does not know as CONDITION_FALSE.")
class StepOutcomeEnum(Enum):
    """What became of a campaign."""

    MATCHED = strawberry.enum_value(StepOutcome.MATCHED.value, description="It is what is shown.")
    CONDITION_FALSE = strawberry.enum_value(
        StepOutcome.CONDITION_FALSE.value, description="Its condition is false, or a placeholder has neither data nor a default."
    )
    NOT_SCHEDULED = strawberry.enum_value(StepOutcome.NOT_SCHEDULED.value, description="Its schedule does not hold at that time.")
    CAPPED = strawberry.enum_value(StepOutcome.CAPPED.value, description="A frequency cap is reached.")
    HELD_OUT = strawberry.enum_value(StepOutcome.HELD_OUT.value, description="It won, but the visitor is held out: the fallback is shown.")
    LOWER_PRIORITY = strawberry.enum_value(StepOutcome.LOWER_PRIORITY.value, description="Another campaign comes before it.")
    CONDITION_ERROR = strawberry.enum_value(StepOutcome.CONDITION_ERROR.value, description="Its condition failed while running: false.")


@strawberry.type(name="ExplanationStep", description="What became of one campaign.")
class ExplanationStepType:
    """What became of one campaign."""

    campaign_id: strawberry.ID = strawberry.field(description="The campaign.")
    outcome: StepOutcomeEnum = strawberry.field(description="What became of it.")
    detail: str = strawberry.field(description="Why, in words: which part of the condition was false, with the values seen.")


@strawberry.type(
    name="Evidence",
    description="An event that shapes a field of the context, by its place in the log. Where older events are sealed into totals "
    'the topic is "sealed", the partition -1 and messageId null; occurredAt is then the time of the latest of them.',
)
class EvidenceType:
    """An event that shapes a field of the context."""

    field: str = strawberry.field(description="The field of the context, as `context` names it.")
    topic: str = strawberry.field(description="The Kafka topic that holds the event.")
    partition: int = strawberry.field(description="Of the topic, from 0.")
    offset: str = strawberry.field(description='Within the partition; a text, as it may pass 2^53. "-" where the topic is "sealed".')
    message_id: strawberry.ID | None = strawberry.field(description="As the client sent it.")
    occurred_at: DateTimeScalar | None = strawberry.field(description="When it happened.")


@strawberry.type(name="Explanation", description="Why a decision is as it is.")
class ExplanationType:
    """Why a decision is as it is."""

    decision: types.BannerDecisionType = strawberry.field(description="The decision that is explained.")
    context: JSONScalar = strawberry.field(description="The context that was decided by; empty where nothing was known.")
    steps: list[ExplanationStepType] = strawberry.field(
        description="Every campaign of the placement, strongest first; none where none is considered: no consent, unknown placement."
    )
    evidence: list[EvidenceType] = strawberry.field(description="Of the context fields that were looked at, in order of time.")
    notes: list[str] = strawberry.field(description="Where this may be inexact, in words; usually empty.")


def explanation_answer(explained: DecisionExplanation) -> ExplanationType:
    """An explanation."""
    return ExplanationType(
        decision=decision_answer(explained.given),
        context=JSONScalar(dict(explained.context)),
        steps=[
            ExplanationStepType(
                campaign_id=strawberry.ID(step.campaign_id), outcome=StepOutcomeEnum(step.outcome.value), detail=step.detail
            )
            for step in explained.steps
        ],
        evidence=[_evidence(item) for item in explained.evidence],
        notes=list(explained.notes),
    )


def _evidence(item: EvidenceItem) -> EvidenceType:
    c = item.contribution
    if c is None:
        at_ms = item.sealed_until_ms
        occurred_at = None if at_ms is None else DateTimeScalar(at_ms)
        return EvidenceType(field=item.field, topic=SEALED_TOPIC, partition=-1, offset="-", message_id=None, occurred_at=occurred_at)
    return EvidenceType(
        field=item.field,
        topic=c.position.topic,
        partition=c.position.partition,
        offset=str(c.position.offset),
        message_id=strawberry.ID(c.message_id),
        occurred_at=DateTimeScalar(c.event_time_ms),
    )
