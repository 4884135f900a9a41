"""Tracking: from the events of a mutation to records in Kafka, with an answer for each event."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from gateway.auth import Authenticator, Credential, CredentialKind
from gateway.clock import NowMs
from gateway.errors import BadUserInput, Forbidden, PayloadTooLarge
from gateway.kafka.load_shedding import LoadShedder
from gateway.kafka.publisher import (
    Acknowledgement,
    DeliveryOutcome,
    OutgoingRecord,
    Rejection,
    UnknownDelivery,
)
from gateway.kafka.records import erasure_of, record_of
from gateway.model.decisions.decision_id import InvalidDecisionId, open_decision_id, visitor_hash
from gateway.model.events.contribution import Position
from gateway.model.events.cursor import cursor_of
from gateway.model.events.event import Event, check_record, check_time, corrected_time_ms
from gateway.model.events.event_kinds import EVENT_KINDS, SHOP_FIELDS, EventType
from gateway.model.events.fields import InvalidEvent
from gateway.model.times import InvalidTime, parse_time_ms
from gateway.model.visitors.state import Update
from gateway.services.ports import ContextUpdates, EventLog
from gateway.settings import Settings
from gateway.store.connection import StoreUnavailable
from gateway.telemetry import Metrics

log = logging.getLogger(__name__)

_APPLIED_AT_ONCE: Final = frozenset({EventType.CONSENT, EventType.DELETE})


@dataclass(frozen=True, slots=True)
class EventAnswer:
    """The answer to one event: the outcome of its delivery, or why it was rejected without being written."""

    message_id: str
    outcome: DeliveryOutcome | InvalidEvent


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """The answers to a batch, in order. The visitor, and the cursor after the events, if all events are one visitor's."""

    answers: tuple[EventAnswer, ...]
    visitor_id: str | None
    cursor: str | None


class EventRejection(NamedTuple):
    """Why an event was rejected, in the names of the API. `field` is a path in EventInput."""

    code: str
    message: str
    field: str | None = None


class TrackingService:
    """Checks and publishes events. One instance per process."""

    def __init__(
        self,
        settings: Settings,
        authenticator: Authenticator,
        publisher: EventLog,
        writer: ContextUpdates,
        metrics: Metrics,
        now_ms: NowMs,
    ) -> None:
        self._settings = settings
        self._key = settings.signing_key
        self._authenticator = authenticator
        self._publisher = publisher
        self._writer = writer
        self._load_shedder = LoadShedder(settings.max_in_flight_events)
        self._metrics = metrics
        self._now_ms = now_ms

    async def track(
        self, credential: Credential, inputs: Sequence[Mapping[str, Any]], sent_at: object, traceparent: str | None
    ) -> BatchAnswer:
        """Answer a batch of events in plain form (`gateway.api.inputs.plain_data`).

        Raises `PayloadTooLarge`, `BadUserInput` for `sentAt`, `Forbidden`, `Throttled` or `Unavailable` for the batch as a whole.
        """
        if len(inputs) > self._settings.max_batch_events:
            raise PayloadTooLarge(f"at most {self._settings.max_batch_events} events per track; send several batches", field="events")
        received_at_ms = self._now_ms()
        sent_at_ms = _sent_at_ms(sent_at)
        self._check_visitors(credential, inputs)
        checked: list[tuple[str, Event | InvalidEvent]] = []
        for event_input in inputs:
            message_id = str(event_input["message_id"])
            try:
                checked.append((message_id, self._check_event(credential, event_input, sent_at_ms, received_at_ms)))
            except InvalidEvent as problem:
                checked.append((message_id, problem))
        return await self._publish(checked, traceparent)

    async def erase(self, event: Mapping[str, Any], anonymous_ids: Sequence[str], traceparent: str | None) -> BatchAnswer:
        """Answer the erasure of a visitor and of the anonymous visitors that joined.

        It is ACCEPTED only if the records that keep it forever were written as well.
        """
        received_at_ms = self._now_ms()
        try:
            checked = check_record({**event, "event_time_ms": received_at_ms, "received_at_ms": received_at_ms})
        except InvalidEvent as problem:
            return await self._publish([(str(event["message_id"]), problem)], traceparent)
        erased = (checked.visitor_id, *anonymous_ids)
        erasures = [erasure_of(self._key, visitor_id, received_at_ms) for visitor_id in erased]
        return await self._publish([(checked.message_id, checked)], traceparent, erasures)

    async def send(self, event: Mapping[str, Any], sent_at: object, timestamp: object, traceparent: str | None) -> BatchAnswer:
        """Answer the event of a mutation of its own (identify, setConsent), passed as a record without times."""
        received_at_ms = self._now_ms()
        sent_at_ms = _sent_at_ms(sent_at)
        message_id = str(event["message_id"])
        checked: Event | InvalidEvent
        try:
            time_ms = received_at_ms if timestamp is None else _event_time_ms(timestamp, sent_at_ms, received_at_ms)
            checked = check_record({**event, "event_time_ms": time_ms, "received_at_ms": received_at_ms})
        except InvalidEvent as problem:
            checked = problem
        return await self._publish([(message_id, checked)], traceparent)

    def _check_visitors(self, credential: Credential, inputs: Sequence[Mapping[str, Any]]) -> None:
        if credential.kind is CredentialKind.VISITOR:
            if any(event_input.get("user_id", credential.visitor_id) != credential.visitor_id for event_input in inputs):
                raise Forbidden("a visitor token can send events of its own visitor only; omit userId")
        elif credential.kind is not CredentialKind.SECRET:
            raise Forbidden("track requires a visitor token (from startVisit) or a secret key")

    def _check_event(self, credential: Credential, event_input: Mapping[str, Any], sent_at_ms: int | None, received_at_ms: int) -> Event:
        visitor_id = credential.visitor_id or event_input.get("user_id")
        if visitor_id is None:
            raise InvalidEvent("REQUIRED", "userId is required with a secret key", "user_id")
        if credential.visitor_id is None:
            try:
                self._authenticator.check_visitor_id(visitor_id, "userId")
            except BadUserInput as problem:
                raise InvalidEvent("INVALID_VALUE", problem.message, "user_id") from problem
        if (
            event_input["type"].startswith("ORDER_")
            and credential.kind is CredentialKind.VISITOR
            and not self._settings.orders_from_browser
        ):
            raise InvalidEvent("FORBIDDEN", "this shop accepts ORDER_* events with a secret key only; send it from the server", "type")
        payload = {name: event_input[name] for name in SHOP_FIELDS if name in event_input}
        if "decision" in EVENT_KINDS[EventType(event_input["type"])].required:
            payload["decision"] = self._check_decision(event_input.get("decision_id"), visitor_id)
        return check_record(
            {
                "message_id": event_input["message_id"],
                "type": event_input["type"],
                "visitor_id": visitor_id,
                "event_time_ms": _event_time_ms(event_input["timestamp"], sent_at_ms, received_at_ms),
                "received_at_ms": received_at_ms,
                "sequence": event_input.get("sequence"),
                "session_id": event_input.get("session_id"),
                "payload": payload,
            }
        )

    def _check_decision(self, decision_id: str | None, visitor_id: str) -> dict[str, Any]:
        if decision_id is None:
            raise InvalidEvent("REQUIRED", "decisionId is required for BANNER_* events", "decision_id")
        try:
            token = open_decision_id(self._key, decision_id)
        except InvalidDecisionId as problem:
            raise InvalidEvent("INVALID_VALUE", f"decisionId: {problem}", "decision_id") from problem
        if token.visitor_hash not in (b"", visitor_hash(self._key, visitor_id)):
            raise InvalidEvent("FORBIDDEN", "decisionId: this decision belongs to another visitor", "decision_id")
        if token.preview:
            raise InvalidEvent("PREVIEW", "decisionId: this decision belongs to a preview, which is not counted", "decision_id")
        return {
            "id": decision_id,
            "placement": token.placement,
            "campaign_id": token.campaign_id,
            "variant": token.variant,
            "ruleset_version": token.ruleset_version,
        }

    async def _publish(
        self, checked: Sequence[tuple[str, Event | InvalidEvent]], traceparent: str | None, erasures: Sequence[OutgoingRecord] = ()
    ) -> BatchAnswer:
        """Publish the events. Unless all the `erasures` are acknowledged as well, no event counts as accepted."""
        events = [event for _, event in checked if isinstance(event, Event)]
        records = [*erasures, *(record_of(event, traceparent) for event in events)] if events else []
        in_flight = self._load_shedder.accept(events)
        outcomes = await self._publisher.publish(records, self._settings.publish_deadline_ms, in_flight.release) if records else []
        erasure_outcomes, outcomes = outcomes[: len(erasures)], outcomes[len(erasures) :]
        if not all(isinstance(outcome, Acknowledgement) for outcome in erasure_outcomes):
            outcomes = [UnknownDelivery() for _ in outcomes]
        await self._apply_at_once(events, outcomes)
        remaining = iter(outcomes)
        answers = tuple(EventAnswer(message_id, next(remaining) if isinstance(event, Event) else event) for message_id, event in checked)
        for answer in answers:
            self._metrics.events.labels(status_of(answer)).inc()
        visitors = {event.visitor_id for event in events}
        visitor_id = visitors.pop() if len(visitors) == 1 else None
        return BatchAnswer(answers, visitor_id, self._cursor(outcomes) if visitor_id is not None else None)

    def _cursor(self, outcomes: Sequence[DeliveryOutcome]) -> str | None:
        acknowledged = [outcome for outcome in outcomes if isinstance(outcome, Acknowledgement)]
        positions = [outcome.position for outcome in acknowledged if outcome.position is not None]
        if not acknowledged or len(positions) != len(acknowledged):
            return None
        return cursor_of(positions, self._settings.log_epoch, self._now_ms()).encode()

    async def _apply_at_once(self, events: Sequence[Event], outcomes: Sequence[DeliveryOutcome]) -> None:
        """Apply consent and erasure at once, even while the processors are down. They apply them again, without effect."""
        updates = []
        for event, outcome in zip(events, outcomes, strict=True):
            if event.type in _APPLIED_AT_ONCE and isinstance(outcome, Acknowledgement):
                position = outcome.position or Position("", 0, -1)
                updates.append(Update(event.visitor_id, position, self._settings.log_epoch, event, early=True))
        if updates:
            try:
                await self._writer.apply(updates)
            except StoreUnavailable as problem:
                log.warning("consent or erasure could not be applied at once (%s); the context writer will", problem)


def status_of(answer: EventAnswer) -> str:
    """ACCEPTED, REJECTED or UNKNOWN."""
    if isinstance(answer.outcome, Acknowledgement):
        return "ACCEPTED"
    return "REJECTED" if isinstance(answer.outcome, InvalidEvent | Rejection) else "UNKNOWN"


def error_of(answer: EventAnswer) -> EventRejection | None:
    """Why the event was rejected; None if it was not."""
    outcome = answer.outcome
    if isinstance(outcome, Rejection):
        return EventRejection(outcome.code, outcome.message)
    if not isinstance(outcome, InvalidEvent):
        return None
    if not outcome.field:
        return EventRejection(outcome.code, outcome.message)
    field = _camel_case(outcome.field)
    return EventRejection(outcome.code, outcome.message.replace(outcome.field, field), field)


def _event_time_ms(timestamp: object, sent_at_ms: int | None, received_at_ms: int) -> int:
    """The time of an event by our clock. It is checked here so that every error about it names `timestamp`."""
    try:
        client_time_ms = parse_time_ms(timestamp, "timestamp")
    except InvalidTime as problem:
        raise InvalidEvent("INVALID_VALUE", str(problem), "timestamp") from problem
    time_ms = corrected_time_ms(client_time_ms, sent_at_ms, received_at_ms)
    check_time(time_ms, received_at_ms)
    return time_ms


def _camel_case(path: str) -> str:
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), path)


def _sent_at_ms(sent_at: object) -> int | None:
    if sent_at is None:
        return None
    try:
        return parse_time_ms(sent_at, "sentAt")
    except InvalidTime as problem:
        raise BadUserInput(str(problem), field="sentAt") from problem
