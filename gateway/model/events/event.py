"""Events: their types, their record form in Kafka, and the one set of checks that the gateway and the processors share.

A record is a JSON object:

    message_id, type, visitor_id   strings
    event_time_ms, received_at_ms  milliseconds since the epoch
    sequence, session_id           an integer and a string; may be null
    payload                        an object that depends on the type (see `gateway.model.events.payload`)

`check_record` is idempotent: the record of an event that it returned passes again and leads to an equal event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from gateway.model.events.event_kinds import EventType
from gateway.model.events.fields import MAX_ID_CHARACTERS, MAX_SAFE_INTEGER, InvalidEvent, integer, string
from gateway.model.events.payload import check_payload
from gateway.model.events.visitor_ids import is_anonymous
from gateway.model.times import DAY_MS, MAX_TIME_MS, MINUTE_MS

LATE_WINDOW_MS: Final = 7 * DAY_MS
"""An event may be received this long after it happened."""
AHEAD_LIMIT_MS: Final = MINUTE_MS
"""An event may be dated this far ahead of its receipt."""
SKEW_LIMIT_MS: Final = 5 * MINUTE_MS
"""The time of a client whose clock is off by less is not corrected: jitter must not reorder a visitor's events."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, after the checks. Times are milliseconds since the epoch; `payload` is plain JSON."""

    message_id: str
    type: EventType
    visitor_id: str
    event_time_ms: int
    received_at_ms: int
    sequence: int | None
    session_id: str | None
    payload: Mapping[str, Any]

    def record(self) -> dict[str, Any]:
        """The record form, for Kafka."""
        return {
            "message_id": self.message_id,
            "type": self.type.value,
            "visitor_id": self.visitor_id,
            "event_time_ms": self.event_time_ms,
            "received_at_ms": self.received_at_ms,
            "sequence": self.sequence,
            "session_id": self.session_id,
            "payload": dict(self.payload),
        }


def check_record(record: object) -> Event:
    """The event of a record. Raises `InvalidEvent` with the field and the remedy.

    The event time is compared with the record's own `received_at_ms`, so a replay accepts what the first run accepted.
    """
    if not isinstance(record, Mapping):
        raise InvalidEvent("MALFORMED", "the record must be a JSON object", "")
    message_id = _required(string(record, "message_id", MAX_ID_CHARACTERS), "message_id")
    type_name = record.get("type")
    try:
        event_type = EventType(type_name) if isinstance(type_name, str) else None
    except ValueError:
        event_type = None
    if event_type is None:
        raise InvalidEvent("INVALID_VALUE", f"type must be one of {', '.join(EventType)}", "type")
    visitor_id = _required(string(record, "visitor_id", MAX_ID_CHARACTERS), "visitor_id")
    received_at_ms = _required(integer(record, "received_at_ms", 0, MAX_TIME_MS), "received_at_ms")
    event_time_ms = _required(integer(record, "event_time_ms", 0, MAX_TIME_MS), "event_time_ms")
    check_time(event_time_ms, received_at_ms)
    payload = check_payload(event_type, record.get("payload"))
    if event_type is EventType.IDENTIFY:
        check_join(visitor_id, payload["user_id"])
    return Event(
        message_id=message_id,
        type=event_type,
        visitor_id=visitor_id,
        event_time_ms=event_time_ms,
        received_at_ms=received_at_ms,
        sequence=integer(record, "sequence", 0, MAX_SAFE_INTEGER),
        session_id=string(record, "session_id", MAX_ID_CHARACTERS),
        payload=payload,
    )


def check_join(visitor_id: str, user_id: str) -> None:
    """Check that an anonymous id joins a known visitor: so there are no chains and no cycles. Raises `InvalidEvent`."""
    if is_anonymous(user_id):
        raise InvalidEvent("INVALID_VALUE", "user_id must be a known visitor, not an anonymous id", "user_id")
    if user_id != visitor_id and not is_anonymous(visitor_id):
        message = "visitor_id must be an anonymous id or user_id itself: a known visitor joins no other"
        raise InvalidEvent("INVALID_VALUE", message, "visitor_id")


def check_time(event_time_ms: int, received_at_ms: int) -> None:
    """Check that an event is neither dated ahead nor older than the late window. Raises `InvalidEvent` with the difference."""
    ahead_ms = event_time_ms - received_at_ms
    if ahead_ms > AHEAD_LIMIT_MS:
        raise InvalidEvent(
            "TIMESTAMP_AHEAD",
            f"timestamp is {ahead_ms / 1000:.0f} s ahead of the gateway's clock, at most {AHEAD_LIMIT_MS // 1000} s are accepted; "
            "correct the clock with serverTime, or send sentAt",
            "timestamp",
        )
    if -ahead_ms > LATE_WINDOW_MS:
        raise InvalidEvent(
            "TIMESTAMP_TOO_OLD",
            f"timestamp is {-ahead_ms / DAY_MS:.1f} days old, at most {LATE_WINDOW_MS // DAY_MS} days are accepted",
            "timestamp",
        )


def corrected_time_ms(event_time_ms: int, sent_at_ms: int | None, received_at_ms: int) -> int:
    """The event time, corrected if the client's clock is off by more than five minutes according to its `sentAt`."""
    if sent_at_ms is None:
        return event_time_ms
    skew_ms = received_at_ms - sent_at_ms
    return event_time_ms + skew_ms if abs(skew_ms) > SKEW_LIMIT_MS else event_time_ms


T = TypeVar("T")


def _required(value: T | None, field: str) -> T:
    if value is None:
        raise InvalidEvent("REQUIRED", f"{field} is required", field)
    return value
