"""The scalars of the schema.

DateTime, Decimal and BigInt take any value as input: events are judged one by one, so that a wrong value rejects its event
and not the whole batch. As output each has one exact form.
"""

from __future__ import annotations

from typing import Any, NewType

import strawberry
from strawberry.types.scalar import ScalarDefinition

from gateway.model.times import format_time_ms

CursorScalar = NewType("CursorScalar", str)
DateTimeScalar = NewType("DateTimeScalar", int)
"""Milliseconds since the epoch inside, RFC 3339 outside."""
DecimalScalar = NewType("DecimalScalar", str)
BigIntScalar = NewType("BigIntScalar", int)
JSONScalar = NewType("JSONScalar", object)


def _any(value: Any) -> Any:
    return value


SCALARS: dict[object, ScalarDefinition] = {
    CursorScalar: strawberry.scalar(
        name="Cursor",
        description="Opaque position(s) in the event log; not a pagination cursor. Hand it back unchanged.",
        serialize=str,
        parse_value=_any,
    ),
    DateTimeScalar: strawberry.scalar(
        name="DateTime",
        description="A time with offset, by RFC 3339, such as 2026-01-31T12:00:00.000Z.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=format_time_ms,
        parse_value=_any,
    ),
    DecimalScalar: strawberry.scalar(
        name="Decimal",
        description="An exact decimal number. Takes a number or a numeric string, answers a string.",
        serialize=str,
        parse_value=_any,
    ),
    BigIntScalar: strawberry.scalar(
        name="BigInt",
        description="A whole number up to 2^53. Takes a number or a numeric string.",
        serialize=int,
        parse_value=_any,
    ),
    JSONScalar: strawberry.scalar(name="JSON", description="Any JSON value.", serialize=_any, parse_value=_any),
}
