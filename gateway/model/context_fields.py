"""The fields of a context: one table that the checks of contexts written by hand and the page docs/context.md are derived from.

Everything else that names them (the view, the variables of conditions, the API, the clients) is held against it by a test
(tests/unit/visitors/test_context_fields.py). How to add a field: docs/howto/context-field.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final


class Plain(Enum):
    """A single value, with what the documentation calls it."""

    STRING = "string"
    TIME = "RFC 3339 time"
    INTEGER = "integer"
    SCORE = "number"
    AMOUNT = "exact decimal string"
    BOOLEAN = "boolean"
    ANY = "any JSON value"


@dataclass(frozen=True, slots=True)
class Nullable:
    """A value or null."""

    shape: Shape


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    shape: Shape


@dataclass(frozen=True, slots=True)
class Entries:
    """An object with any keys, which are strings."""

    shape: Shape


@dataclass(frozen=True, slots=True)
class Fields:
    """An object with these fields."""

    fields: Mapping[str, ContextField]


Shape = Plain | Nullable | Items | Entries | Fields

REQUIRED: Final = object()
"""Stands for the default of a field that a context written by hand must give."""


@dataclass(frozen=True, slots=True)
class ContextField:
    """A field: the shape of its value, its value where nothing is known, and its meaning (for the top level only)."""

    shape: Shape
    default: Any
    meaning: str = ""


def _nullable(shape: Shape, meaning: str = "") -> ContextField:
    return ContextField(Nullable(shape), None, meaning)


CART_LINE: Final = Fields(
    {
        "product_id": ContextField(Plain.STRING, REQUIRED),
        "variant_id": _nullable(Plain.STRING),
        "category": _nullable(Plain.STRING),
        "quantity": ContextField(Plain.INTEGER, 1),
        "price": _nullable(Plain.AMOUNT),
        "currency": _nullable(Plain.STRING),
    }
)
BANNER_COUNTS: Final = Fields(
    {
        "views": ContextField(Plain.INTEGER, 0),
        "clicks": ContextField(Plain.INTEGER, 0),
        "dismissals": ContextField(Plain.INTEGER, 0),
        "views_since_click": ContextField(Plain.INTEGER, 0),
        "last_viewed_at": _nullable(Plain.TIME),
        "recent_views_ms": ContextField(Items(Plain.INTEGER), []),
    }
)
PURCHASES: Final = Fields(
    {
        "count": ContextField(Plain.INTEGER, 0),
        "totals": ContextField(Entries(Plain.AMOUNT), {}),
        "last_at": _nullable(Plain.TIME),
        "products": ContextField(Items(Plain.STRING), []),
    }
)
CONSENT: Final = Fields({"personalization": _nullable(Plain.BOOLEAN), "measurement": _nullable(Plain.BOOLEAN)})

CONTEXT_FIELDS: Final[Mapping[str, ContextField]] = {
    "user_id": ContextField(Plain.STRING, "", "the visitor id"),
    "interested_category": _nullable(
        Plain.STRING,
        "category of the latest event that shows intent (product listed, viewed, clicked, added or bought); null when there is no such "
        "event",
    ),
    "interests": ContextField(
        Entries(Plain.SCORE),
        {},
        "score by category, highest first, at most 50. The half-life is 24 hours, as of `updated_at`. Decay scales all scores by the same "
        "factor, so shares and ranks stay valid later on. A list view adds 0.5, a view or click 1, an addition to the cart 3, an order 5",
    ),
    "cart": ContextField(
        Items(CART_LINE),
        [],
        "the lines of the cart in the order they were added, at most 100; `price` is the price of one piece as an exact decimal string. "
        "CART_UPDATED replaces the cart. PRODUCT_REMOVED without a quantity removes the line. ORDER_COMPLETED removes the bought products "
        "that were added, or whose addition was received, before the order",
    ),
    "recent_products": ContextField(
        Items(Plain.STRING), [], "product ids of the latest product and order events, newest first, without duplicates, at most 50"
    ),
    "last_search": _nullable(Plain.STRING, "the search terms of the latest search"),
    "purchases": ContextField(
        PURCHASES,
        {},
        "orders, each counted once per order id; exact sums per currency, minus refunds, never added across currencies; `products`: ids of "
        "the products bought, newest first, at most 50",
    ),
    "banners": ContextField(
        Entries(BANNER_COUNTS),
        {},
        "by campaign: views, clicks, dismissals, views since the last click, and the latest 50 view times (ms since the epoch); at most "
        "100 campaigns",
    ),
    "traits": ContextField(Entries(Plain.ANY), {}, "what `identify` set, the latest value of each key"),
    "consent": ContextField(
        CONSENT,
        {},
        "the strictest answer across the visitor's devices; null: never asked. An answer about personalization alone leaves the answer "
        "about measurement unchanged. While personalization is withdrawn, every profile field is empty",
    ),
    "stable_id": _nullable(
        Plain.STRING,
        "the visitor id under which this visitor first became known, by time of receipt: an anonymous id counts from its `identify`, the "
        "visitor's own id from its first event. It decides splits and holdouts. A visitor who logs in for the first time keeps their "
        "variants; a second device may get different ones at its login; nothing else changes a variant",
    ),
    "anonymous_ids": ContextField(Items(Plain.STRING), [], "the anonymous visitors that joined this one"),
    "updated_at": _nullable(Plain.TIME, "the time of the latest event"),
    "version": ContextField(Plain.INTEGER, 0, "how many distinct messages were absorbed"),
    "positions": ContextField(
        Entries(Plain.INTEGER),
        {},
        "for each `topic/partition` of the event log, the offset up to which this visitor's events were absorbed",
    ),
    "log_epoch": ContextField(Plain.INTEGER, 0, "the log that the positions refer to; it increases when the topics are re-created"),
}


def shape_text(shape: Shape) -> str:
    """What the documentation calls a shape."""
    match shape:
        case Plain():
            return shape.value
        case Nullable(inner):
            return f"{shape_text(inner)} or null"
        case Items(inner):
            return f"list of {_plural(inner)}"
        case Entries(inner):
            return f"object of {_plural(inner)}"
        case Fields():
            return "object"


def _plural(shape: Shape) -> str:
    if shape is Plain.ANY:
        return "JSON values"
    return f"{shape_text(shape)}s"
