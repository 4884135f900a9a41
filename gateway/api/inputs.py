"""The input types of the schema, and how inputs become plain data and times for the model."""

from __future__ import annotations

import dataclasses
from enum import Enum
from typing import Any

import strawberry

from gateway.api.scalars import BigIntScalar, DateTimeScalar, DecimalScalar, JSONScalar
from gateway.errors import BadUserInput
from gateway.model.events.event_kinds import EVENT_KINDS, EventType
from gateway.model.rulesets.schedule import parse_moment_ms
from gateway.model.times import InvalidTime, parse_time_ms


def _described(event_type: EventType) -> Any:
    return strawberry.enum_value(event_type.value, description=EVENT_KINDS[event_type].meaning)


@strawberry.enum(name="EventType", description="What happened. docs/event-names.md lists the names that other trackers use.")
class EventTypeEnum(Enum):
    """The events that `track` accepts."""

    PAGE_VIEWED = _described(EventType.PAGE_VIEWED)
    PRODUCTS_SEARCHED = _described(EventType.PRODUCTS_SEARCHED)
    PRODUCT_LIST_VIEWED = _described(EventType.PRODUCT_LIST_VIEWED)
    PRODUCT_VIEWED = _described(EventType.PRODUCT_VIEWED)
    PRODUCT_CLICKED = _described(EventType.PRODUCT_CLICKED)
    PRODUCT_ADDED = _described(EventType.PRODUCT_ADDED)
    PRODUCT_REMOVED = _described(EventType.PRODUCT_REMOVED)
    CART_UPDATED = _described(EventType.CART_UPDATED)
    CHECKOUT_STARTED = _described(EventType.CHECKOUT_STARTED)
    ORDER_COMPLETED = _described(EventType.ORDER_COMPLETED)
    ORDER_REFUNDED = _described(EventType.ORDER_REFUNDED)
    BANNER_VIEWED = _described(EventType.BANNER_VIEWED)
    BANNER_CLICKED = _described(EventType.BANNER_CLICKED)
    BANNER_DISMISSED = _described(EventType.BANNER_DISMISSED)
    CUSTOM = _described(EventType.CUSTOM)


@strawberry.input(description="The page that a visitor looks at.")
class PageInput:
    """The page that a visitor looks at."""

    url: str | None = strawberry.field(default=None, description="The address of the page; at most 2,048 characters.")
    title: str | None = strawberry.field(default=None, description="The title of the page; at most 512 characters.")
    referrer: str | None = strawberry.field(default=None, description="The address of the previous page; at most 2,048 characters.")
    locale: str | None = strawberry.field(default=None, description="The language of the page, such as de-CH; at most 35 characters.")
    type: str | None = strawberry.field(default=None, description="Your own type of page, such as home or product; at most 64 characters.")
    product_id: strawberry.ID | None = strawberry.field(
        default=None, description="The product that the page is about; at most 128 characters."
    )
    category: str | None = strawberry.field(default=None, description="The category that the page is about; at most 128 characters.")
    currency: str | None = strawberry.field(
        default=None, description="An ISO 4217 code: the currency of an order's amounts that name no currency of their own."
    )


@strawberry.input(description="A product; `productId` is required.")
class ProductInput:
    """A product as the shop names it. `price` is the price of one piece; `quantity` defaults to 1."""

    product_id: strawberry.ID | None = strawberry.field(
        default=None, description="Your own id of the product, 1 to 128 characters. Required."
    )
    variant_id: strawberry.ID | None = strawberry.field(
        default=None, description="The variant of the product, such as a size; at most 128 characters."
    )
    sku: strawberry.ID | None = strawberry.field(default=None, description="The stock keeping unit; at most 128 characters.")
    category: str | None = strawberry.field(
        default=None, description="The category, by which the visitor's interest is counted; at most 128 characters."
    )
    brand: str | None = strawberry.field(default=None, description="The brand; at most 128 characters.")
    name: str | None = strawberry.field(default=None, description="The name of the product; at most 256 characters.")
    price: DecimalScalar | None = strawberry.field(
        default=None, description="The price of one piece, from 0 to 10^12, with at most 6 decimal places."
    )
    currency: str | None = strawberry.field(default=None, description="The currency of the price: an ISO 4217 code, such as EUR.")
    quantity: BigIntScalar | None = strawberry.field(
        default=None, description="How many pieces, from 1 to 1,000,000. Default: 1; for PRODUCT_REMOVED: all of them."
    )
    url: str | None = strawberry.field(default=None, description="The address of its page; at most 2,048 characters.")
    image_url: str | None = strawberry.field(default=None, description="The address of its image; at most 2,048 characters.")
    position: BigIntScalar | None = strawberry.field(default=None, description="Its position in the list, from 0 to 1,000,000.")
    list_id: strawberry.ID | None = strawberry.field(
        default=None, description="The id of the list in which it was shown; at most 128 characters."
    )


@strawberry.input(description="An order. It counts once per `orderId`, even if several clients report it.")
class OrderInput:
    """An order."""

    order_id: strawberry.ID | None = strawberry.field(default=None, description="Your own id of the order, 1 to 128 characters. Required.")
    value: DecimalScalar | None = strawberry.field(
        default=None,
        description="The amount paid, or refunded: from 0 to 10^12, with at most 6 decimal places. Requires a currency.",
    )
    currency: str | None = strawberry.field(
        default=None, description="The currency of the value: an ISO 4217 code, such as EUR. Default: the currency of the page."
    )
    products: list[ProductInput] | None = strawberry.field(default=None, description="What was bought; at most 100 products.")


@strawberry.input(
    description="One event. Fields that this type does not require are checked per event; a mistake in them is answered as REJECTED."
)
class EventInput:
    """One event of `track`."""

    message_id: strawberry.ID = strawberry.field(
        description="Generated by the client for each event, 1 to 128 characters. A retry sends the same id."
    )
    type: EventTypeEnum = strawberry.field(description="What happened; it determines which of the fields below are required.")
    user_id: strawberry.ID | None = strawberry.field(
        default=None, description="With a secret key: the visitor. With a visitor token it defaults to the token's visitor."
    )
    name: str | None = strawberry.field(
        default=None, description="Required for CUSTOM: your own name of the event; at most 128 characters."
    )
    timestamp: DateTimeScalar = strawberry.field(
        description="When it happened, by the client's clock: at most 7 days ago and at most a minute ahead."
    )
    sequence: BigIntScalar | None = strawberry.field(
        default=None, description="Increases within a session; orders events that have the same millisecond."
    )
    session_id: strawberry.ID | None = strawberry.field(default=None, description="The visitor's session; at most 128 characters.")
    page: PageInput | None = strawberry.field(default=None, description="The page on which it happened.")
    product: ProductInput | None = strawberry.field(
        default=None, description="Required for PRODUCT_VIEWED, PRODUCT_CLICKED, PRODUCT_ADDED and PRODUCT_REMOVED."
    )
    products: list[ProductInput] | None = strawberry.field(
        default=None,
        description="At most 100 products. Required for CART_UPDATED: the whole cart. For PRODUCT_LIST_VIEWED: the products shown.",
    )
    category: str | None = strawberry.field(default=None, description="For PRODUCT_LIST_VIEWED: the category of the list.")
    order: OrderInput | None = strawberry.field(default=None, description="Required for ORDER_COMPLETED and ORDER_REFUNDED.")
    search: str | None = strawberry.field(
        default=None, description="Required for PRODUCTS_SEARCHED: the search terms; at most 256 characters."
    )
    decision_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="Required for BANNER_VIEWED, BANNER_CLICKED and BANNER_DISMISSED: the id of the decision that showed the banner.",
    )
    properties: JSONScalar | None = strawberry.field(default=None, description="Your own data; at most 4 KiB of JSON.")


def plain_data(value: Any) -> Any:
    """An input as plain data: dictionaries with snake_case keys and without nulls, lists, and the values of enums."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list):
        return [plain_data(item) for item in value]
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {name: plain_data(content) for name, content in fields.items() if content is not None}
    return value


def time_input(value: object, field: str) -> int | None:
    """A DateTime argument in milliseconds; None without one. Raises `BadUserInput`."""
    try:
        return None if value is None else parse_time_ms(value, field)
    except InvalidTime as problem:
        raise BadUserInput(str(problem), field=field) from problem


def decision_time_input(value: object, field: str) -> int | None:
    """A DateTime argument as of which a decision is made, in milliseconds; None without one. Raises `BadUserInput`."""
    try:
        return None if value is None else parse_moment_ms(value, field)
    except InvalidTime as problem:
        raise BadUserInput(str(problem), field=field) from problem
