"""Contributions: what one event adds to a visitor's state, compact.

A contribution keeps the fields that the view needs and nothing else of the event. Its `data` is a named tuple by kind
(`DATA_TYPES`); stored, it is the plain tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import IntEnum
from operator import itemgetter
from typing import Any, Final, NamedTuple

from gateway.model.events.event import Event, EventType

HistoryKey = tuple[int, int, str]
"""Sorts a visitor's history: event time in ms, sequence, message id."""


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


class ProductInterest(NamedTuple):
    """A product viewed or clicked."""

    product_id: str
    variant_id: str | None
    category: str | None


class ListView(NamedTuple):
    """A list of products viewed."""

    category: str | None


class Search(NamedTuple):
    """A search for products."""

    text: str


class ProductLine(NamedTuple):
    """A line of a cart or an order, or what was added to the cart. `price`: per piece, an exact decimal string; None without a currency."""

    product_id: str
    variant_id: str | None
    category: str | None
    quantity: int
    price: str | None
    currency: str | None


class Removal(NamedTuple):
    """A product taken out of the cart; `quantity` None: the whole line."""

    product_id: str
    variant_id: str | None
    quantity: int | None


class CartSnapshot(NamedTuple):
    """The whole cart as the shop has it."""

    lines: tuple[ProductLine, ...]


class Order(NamedTuple):
    """A completed order; `value` is an exact decimal string, None without a currency."""

    order_id: str
    value: str | None
    currency: str | None
    lines: tuple[ProductLine, ...]


class Refund(NamedTuple):
    """A refund of an order, or of a part of it; `value` as in `Order`."""

    order_id: str
    value: str | None
    currency: str | None


class BannerAction(NamedTuple):
    """A banner viewed, clicked or dismissed; `campaign_id` None: a fallback."""

    campaign_id: str | None


class Identification(NamedTuple):
    """A login: who the visitor is, with traits. None as a trait's value deletes it."""

    user_id: str
    traits: Mapping[str, Any]


class ConsentAnswer(NamedTuple):
    """An answer on consent; `measurement` None: nothing was said of it."""

    personalization: bool
    measurement: bool | None


class NoData(NamedTuple):
    """Nothing: the event counts as a message and moves `updated_at`."""


Data = (
    ProductInterest
    | ListView
    | Search
    | ProductLine
    | Removal
    | CartSnapshot
    | Order
    | Refund
    | BannerAction
    | Identification
    | ConsentAnswer
    | NoData
)

DATA_TYPES: Final[Mapping[int, type[Data]]] = {
    Kind.OTHER: NoData,
    Kind.VIEW: ProductInterest,
    Kind.CLICK: ProductInterest,
    Kind.LIST: ListView,
    Kind.SEARCH: Search,
    Kind.ADD: ProductLine,
    Kind.REMOVE: Removal,
    Kind.CART: CartSnapshot,
    Kind.ORDER: Order,
    Kind.REFUND: Refund,
    Kind.BANNER_VIEW: BannerAction,
    Kind.BANNER_CLICK: BannerAction,
    Kind.BANNER_DISMISS: BannerAction,
    Kind.IDENTIFY: Identification,
    Kind.CONSENT: ConsentAnswer,
}


def stored_data(kind: int, fields: tuple[Any, ...]) -> Data:
    """The data of a contribution of this kind from its stored fields. Raises LookupError or TypeError where they do not fit."""
    data = DATA_TYPES[kind]._make(fields)
    if isinstance(data, CartSnapshot | Order):
        return data._replace(lines=tuple(map(ProductLine._make, data.lines)))
    return data


class Position(NamedTuple):
    """Where an event stands in the log: its name."""

    topic: str
    partition: int
    offset: int


class LoggedEvent(NamedTuple):
    """An event and its position in the log."""

    position: Position
    event: Event


class Contribution(NamedTuple):
    """Field order is the stored order. `event_time_ms, sequence, message_id` sort a visitor's history."""

    message_id: str
    event_time_ms: int
    sequence: int
    received_at_ms: int
    kind: int
    position: Position
    data: Data

    @property
    def history_key(self) -> HistoryKey:
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


by_history: Callable[[Contribution], HistoryKey] = itemgetter(1, 2, 0)
"""`Contribution.history_key` as a sort key: many times faster than the property."""


_KINDS: Final = {
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


def _data(kind: Kind, payload: Mapping[str, Any]) -> Data:
    currency = payload.get("page", {}).get("currency")
    match kind:
        case Kind.VIEW | Kind.CLICK:
            product = payload["product"]
            return ProductInterest(product["product_id"], product.get("variant_id"), product.get("category"))
        case Kind.LIST:
            return ListView(payload.get("category"))
        case Kind.SEARCH:
            return Search(payload["search"])
        case Kind.ADD:
            return _line(payload["product"], currency)
        case Kind.REMOVE:
            product = payload["product"]
            return Removal(product["product_id"], product.get("variant_id"), product.get("quantity"))
        case Kind.CART:
            return CartSnapshot(tuple(_line(product, currency) for product in payload["products"]))
        case Kind.ORDER:
            return _order(payload["order"], currency)
        case Kind.REFUND:
            order = _order(payload["order"], currency)
            return Refund(order.order_id, order.value, order.currency)
        case Kind.BANNER_VIEW | Kind.BANNER_CLICK | Kind.BANNER_DISMISS:
            return BannerAction(payload["decision"].get("campaign_id"))
        case Kind.IDENTIFY:
            return Identification(payload["user_id"], payload.get("traits") or {})
        case Kind.CONSENT:
            return ConsentAnswer(payload["personalization"], payload.get("measurement"))
        case _:
            return NoData()


def _line(product: Mapping[str, Any], page_currency: str | None) -> ProductLine:
    currency = product.get("currency") or page_currency
    # An amount without a currency is not money: it could neither be shown nor summed.
    price = product.get("price") if currency else None
    return ProductLine(
        product["product_id"],
        product.get("variant_id"),
        product.get("category"),
        product.get("quantity", 1),
        price,
        currency if price is not None else None,
    )


def _order(order: Mapping[str, Any], page_currency: str | None) -> Order:
    currency = order.get("currency") or page_currency
    lines = tuple(_line(product, currency) for product in order.get("products", ()))
    value = order.get("value")
    if value is None and currency and lines:
        value = _sum_of(lines, currency)
    return Order(order["order_id"], value if currency else None, currency, lines)


def _sum_of(lines: tuple[ProductLine, ...], currency: str) -> str | None:
    """What the lines cost together; None unless each has a price in `currency`."""
    total = Decimal()
    for line in lines:
        if line.price is None or line.currency != currency:
            return None
        total += Decimal(line.price) * line.quantity
    return format(total, "f")
