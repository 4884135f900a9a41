"""The inputs of the schema, and their plain form (snake_case dictionaries without nulls) for the model's checks."""

from __future__ import annotations

import dataclasses
from enum import Enum
from typing import Any

import strawberry

from gateway.api.scalars import BigIntScalar, DateTimeScalar, DecimalScalar, JSONScalar


@strawberry.enum(name="EventType", description="What happened. docs/event-names.md has the names that other trackers use.")
class EventTypeEnum(Enum):
    """The events that `track` takes."""

    PAGE_VIEWED = strawberry.enum_value("PAGE_VIEWED", description="A page was opened; `page` says which.")
    PRODUCTS_SEARCHED = strawberry.enum_value("PRODUCTS_SEARCHED", description="A search was made: `search`.")
    PRODUCT_LIST_VIEWED = strawberry.enum_value("PRODUCT_LIST_VIEWED", description="A list of products was shown: `category`, `products`.")
    PRODUCT_VIEWED = strawberry.enum_value("PRODUCT_VIEWED", description="A product was looked at: `product`.")
    PRODUCT_CLICKED = strawberry.enum_value("PRODUCT_CLICKED", description="A product was chosen in a list: `product`.")
    PRODUCT_ADDED = strawberry.enum_value("PRODUCT_ADDED", description="A product went into the cart: `product`.")
    PRODUCT_REMOVED = strawberry.enum_value("PRODUCT_REMOVED", description="A product left the cart: `product`.")
    CART_UPDATED = strawberry.enum_value("CART_UPDATED", description="The whole cart, which replaces what was known of it: `products`.")
    CHECKOUT_STARTED = strawberry.enum_value("CHECKOUT_STARTED", description="The visitor went to the checkout.")
    ORDER_COMPLETED = strawberry.enum_value(
        "ORDER_COMPLETED", description="Something was bought: `order`. It takes out of the cart what was bought."
    )
    ORDER_REFUNDED = strawberry.enum_value(
        "ORDER_REFUNDED", description="An order was given back, in full or in part: `order` with the value given back."
    )
    BANNER_VIEWED = strawberry.enum_value("BANNER_VIEWED", description="A banner of ours was seen: `decisionId`. Once per decision.")
    BANNER_CLICKED = strawberry.enum_value("BANNER_CLICKED", description="A banner of ours was clicked: `decisionId`.")
    BANNER_DISMISSED = strawberry.enum_value("BANNER_DISMISSED", description="A banner of ours was closed by the visitor: `decisionId`.")
    CUSTOM = strawberry.enum_value(
        "CUSTOM", description="Anything else, under the shop's own `name`: in the log for other systems, without effect on the context."
    )


@strawberry.input(description="The page a visitor looks at.")
class PageInput:
    """The page a visitor looks at."""

    url: str | None = strawberry.field(default=None, description="Its address, at most 2,048 characters.")
    title: str | None = strawberry.field(default=None, description="At most 512 characters.")
    referrer: str | None = strawberry.field(default=None, description="Address of the page before, at most 2,048 characters.")
    locale: str | None = strawberry.field(default=None, description="Its language, such as de-CH, at most 35 characters.")
    type: str | None = strawberry.field(
        default=None, description="The shop's own kind of page, such as home or product, at most 64 characters."
    )
    product_id: strawberry.ID | None = strawberry.field(default=None, description="The product it is about, at most 128 characters.")
    category: str | None = strawberry.field(default=None, description="The category it is about, at most 128 characters.")
    currency: str | None = strawberry.field(default=None, description="ISO 4217; holds for the amounts of an order that name none.")


@strawberry.input(description="A product; `productId` is required.")
class ProductInput:
    """A product as the shop names it. `price` is per piece; `quantity` is 1 when absent."""

    product_id: strawberry.ID | None = strawberry.field(default=None, description="The shop's own id, 1 to 128 characters. Required.")
    variant_id: strawberry.ID | None = strawberry.field(default=None, description="Which of its variants, at most 128 characters.")
    sku: strawberry.ID | None = strawberry.field(default=None, description="Stock keeping unit, at most 128 characters.")
    category: str | None = strawberry.field(default=None, description="What the visitor's interest is counted by, at most 128 characters.")
    brand: str | None = strawberry.field(default=None, description="At most 128 characters.")
    name: str | None = strawberry.field(default=None, description="At most 256 characters.")
    price: DecimalScalar | None = strawberry.field(default=None, description="Per piece, from 0 to 10^12 with at most 6 decimals.")
    currency: str | None = strawberry.field(default=None, description="Of the price: ISO 4217, such as EUR.")
    quantity: BigIntScalar | None = strawberry.field(
        default=None, description="Pieces, from 1 to 1,000,000. Without it one; PRODUCT_REMOVED: all."
    )
    url: str | None = strawberry.field(default=None, description="Its page, at most 2,048 characters.")
    image_url: str | None = strawberry.field(default=None, description="At most 2,048 characters.")
    position: BigIntScalar | None = strawberry.field(default=None, description="Its place in the list, from 0 to 1,000,000.")
    list_id: strawberry.ID | None = strawberry.field(default=None, description="The list it was shown in, at most 128 characters.")


@strawberry.input(description="An order; it counts once per `orderId`, whoever reports it.")
class OrderInput:
    """An order."""

    order_id: strawberry.ID | None = strawberry.field(default=None, description="The shop's own id, 1 to 128 characters. Required.")
    value: DecimalScalar | None = strawberry.field(
        default=None, description="What was paid, or given back: from 0 to 10^12 with at most 6 decimals. It needs a currency."
    )
    currency: str | None = strawberry.field(default=None, description="Of the value: ISO 4217, such as EUR. Defaults to the page's.")
    products: list[ProductInput] | None = strawberry.field(default=None, description="What was bought, at most 100 products.")


@strawberry.input(description="One thing that happened. What is not required here is checked per event and answered as REJECTED.")
class EventInput:
    """One event of `track`."""

    message_id: strawberry.ID = strawberry.field(description="Made by the client once per event, 1 to 128 characters; its retries keep it.")
    type: EventTypeEnum = strawberry.field(description="What happened; it says which of the fields below are required.")
    user_id: strawberry.ID | None = strawberry.field(
        default=None, description="With a secret key: the visitor. Defaults to the visitor of the token."
    )
    name: str | None = strawberry.field(default=None, description="Required for CUSTOM: the shop's own name, at most 128 characters.")
    timestamp: DateTimeScalar = strawberry.field(
        description="When it happened, by the client's clock: at most 7 days ago and a minute ahead."
    )
    sequence: BigIntScalar | None = strawberry.field(default=None, description="Grows within a session; orders events of one millisecond.")
    session_id: strawberry.ID | None = strawberry.field(default=None, description="The visitor's session, at most 128 characters.")
    page: PageInput | None = strawberry.field(default=None, description="Where it happened.")
    product: ProductInput | None = strawberry.field(default=None, description="Required for PRODUCT_VIEWED, _CLICKED, _ADDED, _REMOVED.")
    products: list[ProductInput] | None = strawberry.field(
        default=None, description="At most 100. CART_UPDATED: the whole cart, replaces it. PRODUCT_LIST_VIEWED: what was seen."
    )
    category: str | None = strawberry.field(default=None, description="PRODUCT_LIST_VIEWED: the category of the list.")
    order: OrderInput | None = strawberry.field(default=None, description="Required for ORDER_*.")
    search: str | None = strawberry.field(
        default=None, description="Required for PRODUCTS_SEARCHED: what was searched, at most 256 characters."
    )
    decision_id: strawberry.ID | None = strawberry.field(
        default=None, description="Required for BANNER_*: the id of the decision that showed the banner."
    )
    properties: JSONScalar | None = strawberry.field(default=None, description="Free data of the shop; at most 4 KiB of JSON.")


def plain(value: Any) -> Any:
    """An input as plain data: dictionaries without what is null, lists, and enum values."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list):
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(value):
        return {field.name: plain(found) for field in dataclasses.fields(value) if (found := getattr(value, field.name)) is not None}
    return value
