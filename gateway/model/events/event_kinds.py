"""The kinds of events: one table that everything else is derived from, or held against by a test (tests/unit/events/test_event_kinds.py).

How to add a kind: docs/howto/event-kind.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final

from gateway.model.events.topics import Topic


class EventType(StrEnum):
    """What happened: one line for each kind of event, in the order of the documentation. `EVENT_KINDS` says the rest."""

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
    IDENTIFY = "IDENTIFY"
    CONSENT = "CONSENT"
    DELETE = "DELETE"


class Kind(IntEnum):
    """What a contribution does to the view. The numbers are stored: never use one again for another kind."""

    OTHER = 0
    VIEW = 1
    CLICK = 2
    LIST = 3
    SEARCH = 4
    ADD = 5
    REMOVE = 6
    CART = 7
    ORDER = 8
    REFUND = 9
    BANNER_VIEW = 10
    BANNER_CLICK = 11
    BANNER_DISMISS = 12
    IDENTIFY = 13
    CONSENT = 14


SHOP_FIELDS: Final = ("page", "product", "products", "category", "name", "order", "search", "properties")
"""Payload fields that every tracked event may have; `decision` comes in addition, written by the gateway."""


@dataclass(frozen=True, slots=True)
class EventKind:
    """What is known of a kind of event.

    `meaning` is its description in the API. `required`: payload fields without which it is refused. `contribution`: what it
    adds to a visitor's state. `changes`: the fields of the context that this can change. `is_tracked`: clients send it with
    `track`; otherwise a mutation of its own writes it.
    """

    meaning: str
    topic: Topic = Topic.USER_ACTIONS
    required: tuple[str, ...] = ()
    contribution: Kind = Kind.OTHER
    changes: tuple[str, ...] = ()
    fields: tuple[str, ...] = (*SHOP_FIELDS, "decision")
    is_tracked: bool = True


EVENT_KINDS: Final[Mapping[EventType, EventKind]] = {
    EventType.PAGE_VIEWED: EventKind(
        meaning="A page was opened; `page` describes it.",
        topic=Topic.PAGE_VIEWS,
    ),
    EventType.PRODUCTS_SEARCHED: EventKind(
        meaning="The visitor searched; requires `search`.",
        changes=("last_search",),
        topic=Topic.PAGE_VIEWS,
        required=("search",),
        contribution=Kind.SEARCH,
    ),
    EventType.PRODUCT_LIST_VIEWED: EventKind(
        meaning="A list of products was shown; `category` and `products` describe it.",
        changes=(
            "interested_category",
            "interests",
        ),
        topic=Topic.PAGE_VIEWS,
        contribution=Kind.LIST,
    ),
    EventType.PRODUCT_VIEWED: EventKind(
        meaning="A product was viewed; requires `product`.",
        changes=(
            "interested_category",
            "interests",
            "recent_products",
        ),
        topic=Topic.PAGE_VIEWS,
        required=("product",),
        contribution=Kind.VIEW,
    ),
    EventType.PRODUCT_CLICKED: EventKind(
        meaning="A product was clicked in a list; requires `product`.",
        changes=(
            "interested_category",
            "interests",
            "recent_products",
        ),
        topic=Topic.USER_CLICKS,
        required=("product",),
        contribution=Kind.CLICK,
    ),
    EventType.PRODUCT_ADDED: EventKind(
        meaning="A product was added to the cart; requires `product`.",
        changes=(
            "cart",
            "interested_category",
            "interests",
            "recent_products",
        ),
        required=("product",),
        contribution=Kind.ADD,
    ),
    EventType.PRODUCT_REMOVED: EventKind(
        meaning="A product was removed from the cart; requires `product`.",
        changes=(
            "cart",
            "recent_products",
        ),
        required=("product",),
        contribution=Kind.REMOVE,
    ),
    EventType.CART_UPDATED: EventKind(
        meaning="The whole cart; requires `products`. It replaces what was known about the cart.",
        changes=("cart",),
        required=("products",),
        contribution=Kind.CART,
    ),
    EventType.CHECKOUT_STARTED: EventKind(
        meaning="The visitor started the checkout.",
    ),
    EventType.ORDER_COMPLETED: EventKind(
        meaning="Something was bought; requires `order`. The bought products leave the cart.",
        changes=(
            "purchases",
            "cart",
            "interested_category",
            "interests",
            "recent_products",
        ),
        topic=Topic.PURCHASE_EVENTS,
        required=("order",),
        contribution=Kind.ORDER,
    ),
    EventType.ORDER_REFUNDED: EventKind(
        meaning="An order was refunded, fully or partly; requires `order`, with the refunded value.",
        changes=("purchases",),
        topic=Topic.PURCHASE_EVENTS,
        required=("order",),
        contribution=Kind.REFUND,
    ),
    EventType.BANNER_VIEWED: EventKind(
        meaning="One of our banners was seen; requires `decisionId`. Counts once per decision.",
        changes=("banners",),
        topic=Topic.PAGE_VIEWS,
        required=("decision",),
        contribution=Kind.BANNER_VIEW,
    ),
    EventType.BANNER_CLICKED: EventKind(
        meaning="One of our banners was clicked; requires `decisionId`.",
        changes=("banners",),
        topic=Topic.USER_CLICKS,
        required=("decision",),
        contribution=Kind.BANNER_CLICK,
    ),
    EventType.BANNER_DISMISSED: EventKind(
        meaning="The visitor closed one of our banners; requires `decisionId`.",
        changes=("banners",),
        topic=Topic.USER_CLICKS,
        required=("decision",),
        contribution=Kind.BANNER_DISMISS,
    ),
    EventType.CUSTOM: EventKind(
        meaning="Anything else; requires your own `name`. Written to the log for other systems; the context ignores it.",
        required=("name",),
    ),
    EventType.IDENTIFY: EventKind(
        meaning="The anonymous visitor logged in; written by `identify`.",
        changes=(
            "anonymous_ids",
            "traits",
        ),
        required=("user_id",),
        contribution=Kind.IDENTIFY,
        fields=("user_id", "traits"),
        is_tracked=False,
    ),
    EventType.CONSENT: EventKind(
        meaning="The visitor answered the question about consent; written by `setConsent`.",
        changes=("consent",),
        required=("personalization",),
        contribution=Kind.CONSENT,
        fields=("personalization", "measurement"),
        is_tracked=False,
    ),
    EventType.DELETE: EventKind(
        meaning="The visitor was erased; written by `deleteUser`.",
        fields=(),
        is_tracked=False,
    ),
}


def topic_of(event_type: EventType) -> Topic:
    """The source topic that events of this type are written to."""
    return EVENT_KINDS[event_type].topic


def contributions_that_change(field: str) -> frozenset[int]:
    """The kinds of contributions that can change this field of the context."""
    return frozenset(int(kind.contribution) for kind in EVENT_KINDS.values() if field in kind.changes)
