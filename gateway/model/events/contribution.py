"""Contributions: what one event adds to a visitor's state, compact.

A contribution keeps the fields of the event that the view needs, and nothing else. Its `data` is a named tuple that depends on the
kind (`DATA_TYPES`); stored, it is the plain tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from operator import itemgetter
from typing import Any, Final, NamedTuple

from gateway.model.events.event import Event
from gateway.model.events.event_kinds import EVENT_KINDS, Kind

HistoryKey = tuple[int, int, str]
"""The sort key of a visitor's history: event time in ms, sequence, message id."""


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
    """A line of a cart or an order, or an addition to the cart. `price`: per piece, an exact decimal string; None without a currency."""

    product_id: str
    variant_id: str | None
    category: str | None
    quantity: int
    price: str | None
    currency: str | None


class Removal(NamedTuple):
    """A product removed from the cart; `quantity` None: the whole line."""

    product_id: str
    variant_id: str | None
    quantity: int | None


class CartSnapshot(NamedTuple):
    """The whole cart as the shop has it."""

    lines: tuple[ProductLine, ...]


class Order(NamedTuple):
    """A completed order. `value`: an exact decimal string; None without a currency."""

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
    """A banner viewed, clicked or dismissed; `campaign_id` None: it was a fallback."""

    campaign_id: str | None


class Identification(NamedTuple):
    """A login: who the visitor is, with traits. A trait with the value None is deleted."""

    user_id: str
    traits: Mapping[str, Any]


class ConsentAnswer(NamedTuple):
    """An answer on consent; `measurement` None: the answer does not mention it."""

    personalization: bool
    measurement: bool | None


class NoData(NamedTuple):
    """No data: the event counts as a message and moves `updated_at`."""


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
    """The data of a contribution of this kind, from its stored fields. Raises LookupError or TypeError if they do not fit."""
    data = DATA_TYPES[kind]._make(fields)
    if isinstance(data, CartSnapshot | Order):
        return data._replace(lines=tuple(map(ProductLine._make, data.lines)))
    return data


class Position(NamedTuple):
    """Where an event is in the log. It identifies the event within one log epoch."""

    topic: str
    partition: int
    offset: int


class LoggedEvent(NamedTuple):
    """An event and its position in the log."""

    position: Position
    event: Event


class Contribution(NamedTuple):
    """What one event adds to a visitor's state. The order of the fields is the stored order."""

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
        """Whether this copy of a message counts instead of `other`: the copy received first does; the log position settles a tie.

        Before that, the copy that an erasure reaches last counts. Otherwise it would depend on the order of arrival whether an erasure
        meets the copy that it removes or the copy that it leaves. The two rules differ only for a changed copy, and for a client whose
        clock is ahead.
        """
        if self.lasts_until_ms != other.lasts_until_ms:
            return self.lasts_until_ms > other.lasts_until_ms
        return (self.received_at_ms, self.position) < (other.received_at_ms, other.position)

    @property
    def lasts_until_ms(self) -> int:
        """The earlier of its event time and its receipt. An erasure up to this moment, or up to a later one, removes it."""
        return min(self.event_time_ms, self.received_at_ms)


by_history: Callable[[Contribution], HistoryKey] = itemgetter(1, 2, 0)
"""`Contribution.history_key` as a sort key: many times faster than the property."""


def contribution_of(event: Event, position: Position) -> Contribution:
    """What `event`, read at `position`, adds to the state of its visitor."""
    kind = EVENT_KINDS[event.type].contribution
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
    # An amount without a currency can be neither shown nor summed.
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
    """The total price of the lines; None unless each has a price in `currency`."""
    total = Decimal()
    for line in lines:
        if line.price is None or line.currency != currency:
            return None
        total += Decimal(line.price) * line.quantity
    return format(total, "f")
