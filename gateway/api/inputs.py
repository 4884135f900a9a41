"""The inputs of the schema, and their plain form (snake_case dictionaries without nulls) for the model's checks."""

from __future__ import annotations

import dataclasses
from enum import Enum
from typing import Any

import strawberry

from gateway.api.scalars import JSON, BigInt, DateTime, Decimal


@strawberry.enum(description="What happened.")
class EventType(Enum):
    """The events that `track` takes."""

    PAGE_VIEWED = "PAGE_VIEWED"
    PRODUCTS_SEARCHED = "PRODUCTS_SEARCHED"
    PRODUCT_LIST_VIEWED = "PRODUCT_LIST_VIEWED"
    PRODUCT_VIEWED = "PRODUCT_VIEWED"
    PRODUCT_CLICKED = "PRODUCT_CLICKED"
    PRODUCT_ADDED = "PRODUCT_ADDED"
    PRODUCT_REMOVED = "PRODUCT_REMOVED"
    CART_UPDATED = "CART_UPDATED"
    CHECKOUT_STARTED = "CHECKOUT_STARTED"
    ORDER_COMPLETED = "ORDER_COMPLETED"
    ORDER_REFUNDED = "ORDER_REFUNDED"
    BANNER_VIEWED = "BANNER_VIEWED"
    BANNER_CLICKED = "BANNER_CLICKED"
    BANNER_DISMISSED = "BANNER_DISMISSED"
    CUSTOM = "CUSTOM"


@strawberry.input(description="The page a visitor looks at.")
class PageInput:
    """The page a visitor looks at."""

    url: str | None = None
    title: str | None = None
    referrer: str | None = None
    locale: str | None = None
    type: str | None = None
    product_id: strawberry.ID | None = None
    category: str | None = None
    currency: str | None = None


@strawberry.input(description="A product; `productId` is required.")
class ProductInput:
    """A product as the shop names it. `price` is per piece; `quantity` is 1 when absent."""

    product_id: strawberry.ID | None = None
    variant_id: strawberry.ID | None = None
    sku: strawberry.ID | None = None
    category: str | None = None
    brand: str | None = None
    name: str | None = None
    price: Decimal | None = None
    currency: str | None = None
    quantity: BigInt | None = None
    url: str | None = None
    image_url: str | None = None
    position: BigInt | None = None
    list_id: strawberry.ID | None = None


@strawberry.input(description="An order; it counts once per `orderId`, whoever reports it.")
class OrderInput:
    """An order."""

    order_id: strawberry.ID | None = None
    value: Decimal | None = None
    currency: str | None = None
    products: list[ProductInput] | None = None


@strawberry.input(description="One thing that happened. What is not required here is checked per event and answered as REJECTED.")
class EventInput:
    """One event of `track`."""

    message_id: strawberry.ID = strawberry.field(description="Made by the client once per event; its retries keep it.")
    type: EventType
    user_id: strawberry.ID | None = strawberry.field(
        default=None, description="With a secret key: the visitor. Defaults to the visitor of the token."
    )
    name: str | None = strawberry.field(default=None, description="Required for CUSTOM.")
    timestamp: DateTime = strawberry.field(description="When it happened, by the client's clock.")
    sequence: BigInt | None = strawberry.field(default=None, description="Grows within a session; orders events of one millisecond.")
    session_id: strawberry.ID | None = None
    page: PageInput | None = None
    product: ProductInput | None = strawberry.field(default=None, description="Required for PRODUCT_VIEWED, _CLICKED, _ADDED, _REMOVED.")
    products: list[ProductInput] | None = strawberry.field(
        default=None, description="CART_UPDATED: the whole cart, replaces it. PRODUCT_LIST_VIEWED: what was seen."
    )
    category: str | None = strawberry.field(default=None, description="PRODUCT_LIST_VIEWED: the category of the list.")
    order: OrderInput | None = strawberry.field(default=None, description="Required for ORDER_*.")
    search: str | None = strawberry.field(default=None, description="Required for PRODUCTS_SEARCHED.")
    decision_id: strawberry.ID | None = strawberry.field(default=None, description="Required for BANNER_*.")
    properties: JSON | None = strawberry.field(default=None, description="Free data of the shop; at most 4 KiB of JSON.")


def plain(value: Any) -> Any:
    """An input as plain data: dictionaries without what is null, lists, and enum values."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list):
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(value):
        return {field.name: plain(found) for field in dataclasses.fields(value) if (found := getattr(value, field.name)) is not None}
    return value
