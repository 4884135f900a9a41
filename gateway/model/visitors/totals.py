"""The fold: contributions of one visitor, in order, into everything a context shows.

`Totals` is what the fold has gathered. Sealing applies the oldest contributions for good and keeps the totals as the
base; the view continues the same fold from there. So a sealed and an unsealed history of the same messages give the same
context, to the last digit.

Interests use exponential decay with a half-life of 24 hours (Cormode et al., "Forward decay", ICDE 2009, section 3, seen
from the latest event): a score is brought forward to each event and the weight of its kind is added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from decimal import Context, Decimal, Inexact
from heapq import nlargest
from typing import Any, Final

from gateway.model.events.contribution import (
    BannerAction,
    CartSnapshot,
    ConsentAnswer,
    Contribution,
    HistoryKey,
    Identification,
    Kind,
    ListView,
    Order,
    ProductInterest,
    ProductLine,
    Refund,
    Removal,
    Search,
    by_history,
)
from gateway.model.times import DAY_MS, MINUTE_MS, earliest_ms

HALF_LIFE_MS: Final = DAY_MS
CONSENT_GRACE_MS: Final = 10 * MINUTE_MS
"""A withdrawal taken back, and heard of by us, within this time forgets nothing. Part of what a log means: a replay must agree."""

LIST_WEIGHT: Final = 0.5
VIEW_WEIGHT: Final = 1.0
CLICK_WEIGHT: Final = 1.0
ADD_WEIGHT: Final = 3.0
ORDER_WEIGHT: Final = 5.0

# Bounds of what totals keep. The view shows less (see `gateway.model.visitors.context_view`).
MAX_RECENT: Final = 100
MAX_CART_LINES: Final = 200
MAX_BANNERS: Final = 200
MAX_INTERESTS: Final = 200
MAX_BOUGHT: Final = 200
MAX_ORDERS: Final = 2000
MAX_BOUGHT_PRODUCTS: Final = 100
MAX_VIEW_TIMES: Final = 50
MAX_TRAITS: Final = 256
EXACT: Final = Context(prec=60, traps=[Inexact])
"""Sums of money: the default context would round past 28 digits."""

LineKey = tuple[str, str | None]


@dataclass(slots=True)
class CartLine:
    """One line of the cart; `price` is exact decimal text per piece."""

    product_id: str
    variant_id: str | None
    category: str | None
    quantity: int
    price: str | None
    currency: str | None


@dataclass(slots=True)
class BoughtLine:
    """What an order bought: it also takes out what was put into the cart before the order was received."""

    received_at_ms: int
    product_id: str
    variant_id: str | None
    quantity: int
    outstanding: int


@dataclass(slots=True)
class BannerCounts:
    """What a visitor did with the banners of one campaign. `recent_views_ms`: the latest view times, oldest first."""

    views: int = 0
    clicks: int = 0
    dismissals: int = 0
    views_since_click: int = 0
    recent_views_ms: tuple[int, ...] = ()


@dataclass(slots=True)
class Totals:
    """What the fold has gathered so far. Plain values; `gateway.model.visitors.state_codec` stores them."""

    messages: int = 0
    updated_ms: int = 0
    first_key: HistoryKey | None = None
    known_since_ms: int | None = None
    """When the first message was received."""
    joined_at_ms: int | None = None
    """When the first identify was received that names another than its part."""
    intent: tuple[HistoryKey, str] | None = None
    search: tuple[HistoryKey, str] | None = None
    interests: dict[str, tuple[float, int]] = field(default_factory=dict)
    recent: dict[str, HistoryKey] = field(default_factory=dict)
    cart: dict[LineKey, CartLine] = field(default_factory=dict)
    bought: list[BoughtLine] = field(default_factory=list)
    orders: dict[str, tuple[str | None, str | None, int]] = field(default_factory=dict)
    refunds: dict[str, Decimal] = field(default_factory=dict)
    bought_products: dict[str, HistoryKey] = field(default_factory=dict)
    banners: dict[str, BannerCounts] = field(default_factory=dict)
    traits: dict[str, tuple[HistoryKey, Any]] = field(default_factory=dict)
    consents: dict[str, tuple[bool, bool | None]] = field(default_factory=dict)
    withdrawn_since_ms: int | None = None
    answered_ms: int = 0
    """While withdrawn: when the latest of the answers since then was received."""
    forgotten_ms: int = 0
    """What was received up to then is forgotten, also where it is dated later."""

    def copy(self) -> Totals:
        """A copy that can be folded on without changing this one."""
        return Totals(
            messages=self.messages,
            updated_ms=self.updated_ms,
            first_key=self.first_key,
            known_since_ms=self.known_since_ms,
            joined_at_ms=self.joined_at_ms,
            intent=self.intent,
            search=self.search,
            interests=dict(self.interests),
            recent=dict(self.recent),
            cart={key: replace(line) for key, line in self.cart.items()},
            bought=[replace(bought) for bought in self.bought],
            orders=dict(self.orders),
            refunds=dict(self.refunds),
            bought_products=dict(self.bought_products),
            banners={campaign_id: replace(counts) for campaign_id, counts in self.banners.items()},
            traits=dict(self.traits),
            consents=dict(self.consents),
            withdrawn_since_ms=self.withdrawn_since_ms,
            answered_ms=self.answered_ms,
            forgotten_ms=self.forgotten_ms,
        )

    def forget_profile(self) -> None:
        """Drop all that was learned of the visitor; consent, the count of messages, and since when we know whom, stay."""
        kept = Totals(
            messages=self.messages,
            updated_ms=self.updated_ms,
            first_key=self.first_key,
            known_since_ms=self.known_since_ms,
            joined_at_ms=self.joined_at_ms,
            consents=self.consents,
            withdrawn_since_ms=self.withdrawn_since_ms,
            answered_ms=self.answered_ms,
            forgotten_ms=self.forgotten_ms,
        )
        for name in Totals.__slots__:
            setattr(self, name, getattr(kept, name))


def apply_contributions(totals: Totals, history: Iterable[tuple[str, Contribution]]) -> Totals:
    """Apply (part, contribution) pairs in order to `totals`, which is changed and returned."""
    for part, contribution in history:
        totals.messages += 1
        if contribution.event_time_ms > totals.updated_ms:
            totals.updated_ms = contribution.event_time_ms
        if totals.first_key is None:
            totals.first_key = contribution.history_key
        if totals.known_since_ms is None or contribution.received_at_ms < totals.known_since_ms:
            totals.known_since_ms = contribution.received_at_ms
        apply = _APPLY[contribution.kind]
        if apply is not None:
            if contribution.received_at_ms > totals.forgotten_ms:
                apply(totals, contribution, contribution.data)
        elif isinstance(contribution.data, ConsentAnswer):
            _consent(totals, part, contribution, contribution.data)
        elif isinstance(contribution.data, Identification):
            _identify(totals, part, contribution, contribution.data)
    return totals


def interest_at(score: float, from_ms: int, to_ms: int) -> float:
    """`score` as of `from_ms`, decayed to `to_ms`."""
    return float(score * 2.0 ** (-(to_ms - from_ms) / HALF_LIFE_MS))


def _interest(totals: Totals, c: Contribution, category: str | None, weight: float) -> None:
    if category is None:
        return
    now_ms = c.event_time_ms
    totals.intent = (by_history(c), category)
    known = totals.interests.pop(category, None)
    if known is None:
        totals.interests[category] = (weight, now_ms)
    elif known[1] <= now_ms:
        totals.interests[category] = (interest_at(*known, now_ms) + weight, now_ms)
    else:
        # Always forward, never back: the sealed totals of another part may be years ahead of this event.
        totals.interests[category] = (known[0] + interest_at(weight, now_ms, known[1]), known[1])
    if len(totals.interests) > 2 * MAX_INTERESTS:
        # Seldom and many at once: to look for the weakest at every event would let one visitor keep the writer busy.
        strongest = nlargest(
            MAX_INTERESTS, totals.interests, key=lambda name: (interest_at(*totals.interests[name], totals.updated_ms), name)
        )
        kept = set(strongest)
        totals.interests = {name: found for name, found in totals.interests.items() if name in kept}


def _seen(totals: Totals, c: Contribution, product_id: str) -> None:
    totals.recent.pop(product_id, None)
    totals.recent[product_id] = by_history(c)
    if len(totals.recent) > MAX_RECENT:
        del totals.recent[next(iter(totals.recent))]


def _view(totals: Totals, c: Contribution, interest: ProductInterest) -> None:
    _interest(totals, c, interest.category, VIEW_WEIGHT if c.kind == Kind.VIEW else CLICK_WEIGHT)
    _seen(totals, c, interest.product_id)


def _list(totals: Totals, c: Contribution, viewed: ListView) -> None:
    _interest(totals, c, viewed.category, LIST_WEIGHT)


def _search(totals: Totals, c: Contribution, search: Search) -> None:
    totals.search = (c.history_key, search.text)


def _add(totals: Totals, c: Contribution, added: ProductLine) -> None:
    _interest(totals, c, added.category, ADD_WEIGHT)
    _seen(totals, c, added.product_id)
    quantity = added.quantity
    for bought in totals.bought:
        if bought.outstanding and c.received_at_ms < bought.received_at_ms and _same(bought, added.product_id, added.variant_id):
            taken = min(bought.outstanding, quantity)
            bought.outstanding -= taken
            quantity -= taken
    if quantity:
        put_line(totals, CartLine(*added._replace(quantity=quantity)))


def put_line(totals: Totals, line: CartLine) -> None:
    """Put a line into the cart, joined with the one of the same product and variant."""
    key = (line.product_id, line.variant_id)
    before = totals.cart.get(key)
    if before is not None:
        line = CartLine(
            line.product_id,
            line.variant_id,
            line.category or before.category,
            min(line.quantity + before.quantity, 10**9),
            line.price if line.price is not None else before.price,
            line.currency if line.price is not None else before.currency,
        )
    totals.cart[key] = line
    if len(totals.cart) > MAX_CART_LINES:
        del totals.cart[next(iter(totals.cart))]


def _remove(totals: Totals, c: Contribution, removal: Removal) -> None:
    _take_out(totals, *removal)
    _seen(totals, c, removal.product_id)


def _take_out(totals: Totals, product_id: str, variant_id: str | None, quantity: int | None) -> int:
    """Take up to `quantity` (None: all) out of the cart; without a variant, of any variant. Returns how many were taken."""
    keys = [(product_id, variant_id)]
    if variant_id is None:
        keys += [key for key in totals.cart if key[0] == product_id and key[1] is not None]
    taken = 0
    for key in keys:
        line = totals.cart.get(key)
        if line is None:
            continue
        wanted = line.quantity if quantity is None else min(line.quantity, quantity - taken)
        taken += wanted
        if wanted == line.quantity:
            del totals.cart[key]
        elif wanted:
            line.quantity -= wanted
    return taken


def _cart(totals: Totals, c: Contribution, cart: CartSnapshot) -> None:
    totals.cart = {}
    for line in cart.lines:
        put_line(totals, CartLine(*line))
    for bought in totals.bought:
        # The snapshot was received before the order, so it still shows what the order then bought.
        if c.received_at_ms < bought.received_at_ms:
            bought.outstanding = bought.quantity - _take_out(totals, bought.product_id, bought.variant_id, bought.quantity)


def _order(totals: Totals, c: Contribution, order: Order) -> None:
    for line in order.lines:
        _interest(totals, c, line.category, ORDER_WEIGHT)
        _seen(totals, c, line.product_id)
    if order.order_id in totals.orders:
        return
    totals.orders[order.order_id] = (order.currency, order.value, c.event_time_ms)
    if len(totals.orders) > MAX_ORDERS:
        del totals.orders[next(iter(totals.orders))]
    for line in order.lines:
        totals.bought_products.pop(line.product_id, None)
        totals.bought_products[line.product_id] = c.history_key
        taken = _take_out(totals, line.product_id, line.variant_id, line.quantity)
        totals.bought.append(BoughtLine(c.received_at_ms, line.product_id, line.variant_id, line.quantity, line.quantity - taken))
    del totals.bought[:-MAX_BOUGHT]
    while len(totals.bought_products) > MAX_BOUGHT_PRODUCTS:
        del totals.bought_products[next(iter(totals.bought_products))]


def _refund(totals: Totals, _: Contribution, refund: Refund) -> None:
    if refund.value is not None and refund.currency is not None:
        totals.refunds[refund.currency] = EXACT.add(totals.refunds.get(refund.currency, Decimal()), Decimal(refund.value))


def _banner(totals: Totals, c: Contribution, action: BannerAction) -> None:
    if action.campaign_id is None:
        return
    counts = totals.banners.pop(action.campaign_id, None) or BannerCounts()
    totals.banners[action.campaign_id] = counts
    if c.kind == Kind.BANNER_VIEW:
        counts.views += 1
        counts.views_since_click += 1
        counts.recent_views_ms = (*counts.recent_views_ms, c.event_time_ms)[-MAX_VIEW_TIMES:]
    elif c.kind == Kind.BANNER_CLICK:
        counts.clicks += 1
        counts.views_since_click = 0
    else:
        counts.dismissals += 1
    if len(totals.banners) > MAX_BANNERS:
        del totals.banners[next(iter(totals.banners))]


def _identify(totals: Totals, part: str, c: Contribution, identification: Identification) -> None:
    if identification.user_id != part:
        totals.joined_at_ms = earliest_ms(totals.joined_at_ms, c.received_at_ms)
    if c.received_at_ms <= totals.forgotten_ms:
        return
    for key, value in identification.traits.items():
        totals.traits.pop(key, None)
        totals.traits[key] = (c.history_key, value)
    for key in list(totals.traits)[:-MAX_TRAITS]:
        del totals.traits[key]


def _consent(totals: Totals, part: str, c: Contribution, answer: ConsentAnswer) -> None:
    """In force is the strictest of the parts. What was learned before a longer withdrawal, or during it, is forgotten.

    During it: dated or received before the answers that ended it. So what is forgotten is what `purge_withdrawn` may have
    dropped meanwhile, whichever order the answers came in.

    An answer about personalization alone leaves the one about measurement as it was.
    """
    personalization, measurement = answer
    if measurement is None and part in totals.consents:
        measurement = totals.consents[part][1]
    totals.consents[part] = (personalization, measurement)
    withdrawn = any(not wanted for wanted, _ in totals.consents.values())
    if withdrawn and totals.withdrawn_since_ms is None:
        totals.withdrawn_since_ms, totals.answered_ms = c.event_time_ms, 0
        return
    if totals.withdrawn_since_ms is None:
        return
    totals.answered_ms = max(totals.answered_ms, c.received_at_ms)
    if not withdrawn:
        if max(c.event_time_ms, totals.answered_ms) - totals.withdrawn_since_ms > CONSENT_GRACE_MS:
            totals.forget_profile()
            totals.forgotten_ms = max(totals.forgotten_ms, totals.answered_ms)
        totals.withdrawn_since_ms = None


def _same(bought: BoughtLine, product_id: str, variant_id: str | None) -> bool:
    return bought.product_id == product_id and (bought.variant_id is None or bought.variant_id == variant_id)


_BY_KIND: Final[dict[Kind, Callable[[Totals, Contribution, Any], None]]] = {
    Kind.VIEW: _view,
    Kind.CLICK: _view,
    Kind.LIST: _list,
    Kind.SEARCH: _search,
    Kind.ADD: _add,
    Kind.REMOVE: _remove,
    Kind.CART: _cart,
    Kind.ORDER: _order,
    Kind.REFUND: _refund,
    Kind.BANNER_VIEW: _banner,
    Kind.BANNER_CLICK: _banner,
    Kind.BANNER_DISMISS: _banner,
}
_APPLY: Final = [_BY_KIND.get(kind) for kind in sorted(Kind)]
"""By number of the kind. Consent and identify are of a part and have their place in `apply_contributions`."""
