"""What the client sends: the input types of the API, with the API's names, as typed dictionaries.

A `Decimal` is sent exactly and a `datetime` as RFC 3339.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypedDict, Unpack


class PageInput(TypedDict, total=False):
    """The page that a visitor is looking at."""

    url: str | None
    title: str | None
    referrer: str | None
    locale: str | None
    type: str | None
    productId: str | None
    category: str | None
    currency: str | None


class ProductInput(TypedDict, total=False):
    """A product; `productId` is required."""

    productId: str
    variantId: str | None
    sku: str | None
    category: str | None
    brand: str | None
    name: str | None
    price: Decimal | str | None
    currency: str | None
    quantity: int | None
    url: str | None
    imageUrl: str | None
    position: int | None
    listId: str | None


class OrderInput(TypedDict, total=False):
    """An order; it counts once per `orderId`."""

    orderId: str
    value: Decimal | str | None
    currency: str | None
    products: Sequence[ProductInput] | None


class EventDetails(TypedDict, total=False):
    """The fields of an event other than its type. `userId` is only allowed with a secret key."""

    messageId: str
    userId: str | None
    name: str | None
    timestamp: datetime | str
    sequence: int | None
    sessionId: str | None
    page: PageInput | None
    product: ProductInput | None
    products: Sequence[ProductInput] | None
    category: str | None
    order: OrderInput | None
    search: str | None
    decisionId: str | None
    properties: Mapping[str, object] | None


class EventInput(EventDetails):
    """One thing that happened. It can be sent, and sent again: its message id stays the same."""

    type: str


def event(event_type: str, **details: Unpack[EventDetails]) -> EventInput:
    """An event such as `event("PRODUCT_ADDED", product={…})`. By default it has a new message id and the current time."""
    return {"messageId": new_message_id(), "timestamp": datetime.now(UTC), **details, "type": event_type}


def new_message_id() -> str:
    """A unique message id."""
    return str(uuid.uuid4())


def as_json(value: object) -> str:
    """The `default` function of `json.dumps`. Raises TypeError."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise TypeError("a datetime needs a time zone: use datetime.now(UTC), not datetime.now()")
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    raise TypeError(f"a value of type {type(value).__name__} cannot be sent as JSON")
