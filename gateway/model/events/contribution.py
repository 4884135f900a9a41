"""Contributions: what one event adds to a visitor's state, compact.

A contribution keeps the fields that the view needs and nothing else of the event. `data` is a plain tuple by kind:

    VIEW, CLICK       product_id, variant_id, category
    LIST              category
    SEARCH            text
    ADD               product_id, variant_id, category, quantity, price, currency
    REMOVE            product_id, variant_id, quantity or None (the whole line)
    CART              lines, each as ADD
    ORDER             order_id, value, currency, lines
    REFUND            order_id, value, currency
    BANNER_*          campaign_id
    IDENTIFY          user_id, traits
    CONSENT           personalization, measurement
    OTHER             (nothing: it counts as a message and moves `updated_at`)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import IntEnum
from operator import itemgetter
from typing import Any, NamedTuple

from gateway.model.events.event import Event, EventType


class Kind(IntEnum):
    """What a contribution does to the view. Numbers are stored: never reuse one."""

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


class Position(NamedTuple):
    """Where an event stands in the log: its name."""

    topic: str
    partition: int
    offset: int


class Contribution(NamedTuple):
    """Field order is the stored order. `event_time_ms, sequence, message_id` sort a visitor's history."""

    message_id: str
    event_time_ms: int
    sequence: int
    received_at_ms: int
    kind: int
    position: Position
    data: tuple[Any, ...]

    @property
    def order(self) -> tuple[int, int, str]:
        """The sort key of a visitor's history."""
        return (self.event_time_ms, self.sequence, self.message_id)

    def beats(self, other: Contribution) -> bool:
        """Of copies of one message, the one received first stays; the log position settles a tie.

        Before that, the one that an erasure reaches last: else it would depend on the order of arrival whether an erasure
        finds the copy that it takes away or the copy that it leaves. The two differ only for a changed copy and for a
        client whose clock is ahead.
        """
        if self.lasts_until_ms != other.lasts_until_ms:
            return self.lasts_until_ms > other.lasts_until_ms
        return (self.received_at_ms, self.position) < (other.received_at_ms, other.position)

    @property
    def lasts_until_ms(self) -> int:
        """An erasure up to this moment, or a later one, takes the contribution away: it was dated or received up to it."""
        return min(self.event_time_ms, self.received_at_ms)


by_order: Callable[[Contribution], tuple[int, int, str]] = itemgetter(1, 2, 0)
"""`Contribution.order` as a sort key: many times faster than the property."""


_KINDS = {
    EventType.PRODUCT_VIEWED: Kind.VIEW,
    EventType.PRODUCT_CLICKED: Kind.CLICK,
    EventType.PRODUCT_LIST_VIEWED: Kind.LIST,
    EventType.PRODUCTS_SEARCHED: Kind.SEARCH,
    EventType.PRODUCT_ADDED: Kind.ADD,
    EventType.PRODUCT_REMOVED: Kind.REMOVE,
    EventType.CART_UPDATED: Kind.CART,
    EventType.ORDER_COMPLETED: Kind.ORDER,
    EventType.ORDER_REFUNDED: Kind.REFUND,
    EventType.BANNER_VIEWED: Kind.BANNER_VIEW,
    EventType.BANNER_CLICKED: Kind.BANNER_CLICK,
    EventType.BANNER_DISMISSED: Kind.BANNER_DISMISS,
    EventType.IDENTIFY: Kind.IDENTIFY,
    EventType.CONSENT: Kind.CONSENT,
}


def contribution_of(event: Event, position: Position) -> Contribution:
    """What `event`, found at `position`, adds to its visitor's state."""
    kind = _KINDS.get(event.type, Kind.OTHER)
    return Contribution(
        message_id=event.message_id,
        event_time_ms=event.event_time_ms,
        sequence=event.sequence or 0,
        received_at_ms=event.received_at_ms,
        kind=int(kind),
        position=position,
        data=_data(kind, event.payload),
    )


def _data(kind: Kind, payload: Mapping[str, Any]) -> tuple[Any, ...]:
    currency = payload.get("page", {}).get("currency")
    match kind:
        case Kind.VIEW | Kind.CLICK:
            product = payload["product"]
            return (product["product_id"], product.get("variant_id"), product.get("category"))
        case Kind.LIST:
            return (payload.get("category"),)
        case Kind.SEARCH:
            return (payload["search"],)
        case Kind.ADD:
            return _line(payload["product"], currency)
        case Kind.REMOVE:
            product = payload["product"]
            return (product["product_id"], product.get("variant_id"), product.get("quantity"))
        case Kind.CART:
            return (tuple(_line(product, currency) for product in payload["products"]),)
        case Kind.ORDER:
            return _order(payload["order"], currency)
        case Kind.REFUND:
            return _order(payload["order"], currency)[:3]
        case Kind.BANNER_VIEW | Kind.BANNER_CLICK | Kind.BANNER_DISMISS:
            return (payload["decision"].get("campaign_id"),)
        case Kind.IDENTIFY:
            return (payload["user_id"], payload.get("traits") or {})
        case Kind.CONSENT:
            return (payload["personalization"], payload.get("measurement"))
        case _:
            return ()


def _line(product: Mapping[str, Any], currency: str | None) -> tuple[Any, ...]:
    currency = product.get("currency") or currency
    # An amount without a currency is no money: it could neither be shown nor summed.
    price = product.get("price") if currency else None
    return (
        product["product_id"],
        product.get("variant_id"),
        product.get("category"),
        product.get("quantity", 1),
        price,
        currency if price is not None else None,
    )


def _order(order: Mapping[str, Any], currency: str | None) -> tuple[Any, ...]:
    currency = order.get("currency") or currency
    lines = tuple(_line(product, currency) for product in order.get("products", ()))
    value = order.get("value")
    if value is None and currency and lines and all(line[4] is not None and line[5] == currency for line in lines):
        value = format(sum((Decimal(line[4]) * line[3] for line in lines), Decimal()), "f")
    return (order["order_id"], value if currency else None, currency, lines)
