"""Events as Kafka records: JSON value, visitor id as key, CloudEvents 1.0 headers in binary mode."""

from __future__ import annotations

from typing import Final

import orjson

from gateway.kafka.publisher import OutgoingRecord
from gateway.model.events.event import Event
from gateway.model.events.event_kinds import topic_of
from gateway.model.events.topics import Header, Topic
from gateway.model.times import format_time_ms
from gateway.model.visitors.erasure import erasure_key, erasure_value

CE_SOURCE: Final = "personalization-gateway"


def record_of(event: Event, traceparent: str | None) -> OutgoingRecord:
    """The record of an event that was checked."""
    headers = [
        (Header.SPEC_VERSION.value, b"1.0"),
        (Header.ID.value, event.message_id.encode()),
        (Header.TYPE.value, event.type.value.encode()),
        (Header.SOURCE.value, CE_SOURCE.encode()),
        (Header.TIME.value, format_time_ms(event.event_time_ms).encode()),
        (Header.CONTENT_TYPE.value, b"application/json"),
    ]
    if traceparent is not None:
        headers.append((Header.TRACEPARENT.value, traceparent.encode("ascii", "ignore")))
    return OutgoingRecord(topic_of(event.type).value, event.visitor_id.encode(), orjson.dumps(event.record()), tuple(headers))


def erasure_of(signing_key: bytes, visitor_id: str, cutoff_ms: int) -> OutgoingRecord:
    """The record that keeps an erasure forever."""
    key = erasure_key(signing_key, visitor_id).encode()
    return OutgoingRecord(Topic.ERASURES.value, key, erasure_value(cutoff_ms), ())
