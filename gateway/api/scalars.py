"""The scalars of the schema.

DateTime, Decimal and BigInt accept any value as input: events are checked one by one, so a wrong value rejects its own event
and not the whole batch. As output each has one exact form.
"""

from __future__ import annotations

from typing import Any, NewType

import strawberry
from strawberry.types.scalar import ScalarDefinition

from gateway.model.times import format_time_ms

CursorScalar = NewType("CursorScalar", str)
DateTimeScalar = NewType("DateTimeScalar", int)
"""Milliseconds since the epoch in Python, RFC 3339 in GraphQL."""
DecimalScalar = NewType("DecimalScalar", str)
BigIntScalar = NewType("BigIntScalar", int)
JSONScalar = NewType("JSONScalar", object)


def _unchanged(value: Any) -> Any:
    return value


SCALARS: dict[object, ScalarDefinition] = {
    CursorScalar: strawberry.scalar(
        name="Cursor",
        description="One or more positions in the event log, in an opaque form. Pass it back unchanged. It is not a pagination cursor.",
        serialize=str,
        parse_value=_unchanged,
    ),
    DateTimeScalar: strawberry.scalar(
        name="DateTime",
        description="An RFC 3339 time with an offset, such as 2026-01-31T12:00:00.000Z.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=format_time_ms,
        parse_value=_unchanged,
    ),
    DecimalScalar: strawberry.scalar(
        name="Decimal",
        description="An exact decimal number. Input: a number or a numeric string. Output: a string.",
        serialize=str,
        parse_value=_unchanged,
    ),
    BigIntScalar: strawberry.scalar(
        name="BigInt",
        description="An integer up to 2^53. Input: a number or a numeric string.",
        serialize=int,
        parse_value=_unchanged,
    ),
    JSONScalar: strawberry.scalar(name="JSON", description="Any JSON value.", serialize=_unchanged, parse_value=_unchanged),
}
