"""Totals: the contributions of one visitor, applied in order, as everything that a context shows.

Sealing applies the oldest contributions for good and keeps their totals as the base; the view applies the others on top of it. So a
sealed and an unsealed history of the same messages lead to the same context, to the last digit.

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
    ListView,
    Order,
    ProductInterest,
    ProductLine,
    Refund,
    Removal,
    Search,
    by_history,
)
from gateway.model.events.event_kinds import Kind
from gateway.model.times import DAY_MS, MINUTE_MS, earliest_ms
from gateway.model.visitors.cart import CartLine, LineKey, add_line, remove_pieces

HALF_LIFE_MS: Final = DAY_MS
CONSENT_GRACE_MS: Final = 10 * MINUTE_MS
"""A withdrawal that is revoked, and whose revocation is received, within this time forgets nothing. A replay must use the same value."""

LIST_WEIGHT: Final = 0.5
VIEW_WEIGHT: Final = 1.0
CLICK_WEIGHT: Final = 1.0
ADD_WEIGHT: Final = 3.0
ORDER_WEIGHT: Final = 5.0

# Limits of what totals keep. The view shows less (see `gateway.model.visitors.context_view`).
MAX_RECENT: Final = 100
MAX_BANNERS: Final = 200
MAX_INTERESTS: Final = 200
MAX_BOUGHT: Final = 200
MAX_ORDERS: Final = 2000
MAX_BOUGHT_PRODUCTS: Final = 100
MAX_VIEW_TIMES: Final = 50
MAX_TRAITS: Final = 256
EXACT: Final = Context(prec=60, traps=[Inexact])
"""For sums of money: the default context rounds beyond 28 digits."""


@dataclass(slots=True)
class BoughtLine:
    """A line of an order. It also takes products out of the cart that were added before the order was received.

    `outstanding`: how many pieces it can still take.
    """

    received_at_ms: int
    product_id: str
    variant_id: str | None
    quantity: int
    outstanding: int


@dataclass(slots=True)
class BannerCounts:
    """A visitor's actions on the banners of one campaign. `recent_views_ms`: the times of the latest views, oldest first."""

    views: int = 0
    clicks: int = 0
    dismissals: int = 0
    views_since_click: int = 0
    recent_views_ms: tuple[int, ...] = ()


@dataclass(slots=True)
class Totals:
    """The totals so far. Dictionaries that are limited in size keep the latest entries, in order of time."""

    messages: int = 0
    updated_ms: int = 0
    first_key: HistoryKey | None = None
    known_since_ms: int | None = None
    """When the first message was received."""
    joined_at_ms: int | None = None
    """When the first identify was received that joined its part to another visitor."""
    intent: tuple[HistoryKey, str] | None = None
    """The latest category of interest."""
    search: tuple[HistoryKey, str] | None = None
    interests: dict[str, tuple[float, int]] = field(default_factory=dict)
    """By category: the score, and the time (ms) as of which it is meant."""
    recent: dict[str, HistoryKey] = field(default_factory=dict)
    cart: dict[LineKey, CartLine] = field(default_factory=dict)
    bought: list[BoughtLine] = field(default_factory=list)
    orders: dict[str, tuple[str | None, str | None, int]] = field(default_factory=dict)
    """By order id: currency, value and time (ms)."""
    refunds: dict[str, Decimal] = field(default_factory=dict)
    bought_products: dict[str, HistoryKey] = field(default_factory=dict)
    banners: dict[str, BannerCounts] = field(default_factory=dict)
    traits: dict[str, tuple[HistoryKey, Any]] = field(default_factory=dict)
    consents: dict[str, tuple[bool, bool | None]] = field(default_factory=dict)
    """By part: the answers on personalization and measurement."""
    withdrawn_since_ms: int | None = None
    answered_ms: int = 0
    """While consent is withdrawn: when the latest answer since the withdrawal was received."""
    forgotten_ms: int = 0
    """Everything that was received up to this moment is forgotten, even if it is dated later."""

    def copy(self) -> Totals:
        """A copy to which contributions can be applied without changing this one."""
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
        """Drop the profile. Consent, the number of messages, and since when each visitor id is known, stay."""
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
    """Apply (part, contribution) pairs to `totals`, in order. Changes `totals` and returns it."""
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
            _apply_consent(totals, part, contribution, contribution.data)
        elif isinstance(contribution.data, Identification):
            _apply_identify(totals, part, contribution, contribution.data)
    return totals


def interest_at(score: float, from_ms: int, to_ms: int) -> float:
    """A score as of `from_ms`, decayed to `to_ms`."""
    return float(score * 2.0 ** (-(to_ms - from_ms) / HALF_LIFE_MS))


def _add_interest(totals: Totals, c: Contribution, category: str | None, weight: float) -> None:
    if category is None:
        return
    event_ms = c.event_time_ms
    totals.intent = (by_history(c), category)
    score, as_of_ms = totals.interests.pop(category, (0.0, event_ms))
    if as_of_ms <= event_ms:
        totals.interests[category] = (interest_at(score, as_of_ms, event_ms) + weight, event_ms)
    else:
        # Always forward, never back: the sealed totals of another part may be years ahead of this event.
        totals.interests[category] = (score + interest_at(weight, event_ms, as_of_ms), as_of_ms)
    if len(totals.interests) > 2 * MAX_INTERESTS:
        # Rarely, and many at once: looking for the weakest at every event would let one visitor keep the writer busy.
        strongest = nlargest(
            MAX_INTERESTS, totals.interests, key=lambda name: (interest_at(*totals.interests[name], totals.updated_ms), name)
        )
        kept = set(strongest)
        totals.interests = {name: interest for name, interest in totals.interests.items() if name in kept}


def _add_recent(totals: Totals, c: Contribution, product_id: str) -> None:
    totals.recent.pop(product_id, None)
    totals.recent[product_id] = by_history(c)
    if len(totals.recent) > MAX_RECENT:
        del totals.recent[next(iter(totals.recent))]


def _apply_interest(totals: Totals, c: Contribution, interest: ProductInterest) -> None:
    _add_interest(totals, c, interest.category, VIEW_WEIGHT if c.kind == Kind.VIEW else CLICK_WEIGHT)
    _add_recent(totals, c, interest.product_id)


def _apply_list(totals: Totals, c: Contribution, viewed: ListView) -> None:
    _add_interest(totals, c, viewed.category, LIST_WEIGHT)


def _apply_search(totals: Totals, c: Contribution, search: Search) -> None:
    totals.search = (c.history_key, search.text)


def _apply_add(totals: Totals, c: Contribution, added: ProductLine) -> None:
    _add_interest(totals, c, added.category, ADD_WEIGHT)
    _add_recent(totals, c, added.product_id)
    quantity = added.quantity
    for bought in totals.bought:
        if bought.outstanding and c.received_at_ms < bought.received_at_ms and _covers(bought, added.product_id, added.variant_id):
            removed = min(bought.outstanding, quantity)
            bought.outstanding -= removed
            quantity -= removed
    if quantity:
        add_line(totals.cart, CartLine(*added._replace(quantity=quantity)))


def _apply_remove(totals: Totals, c: Contribution, removal: Removal) -> None:
    remove_pieces(totals.cart, *removal)
    _add_recent(totals, c, removal.product_id)


def _apply_cart(totals: Totals, c: Contribution, cart: CartSnapshot) -> None:
    totals.cart = {}
    for line in cart.lines:
        add_line(totals.cart, CartLine(*line))
    for bought in totals.bought:
        # The snapshot was received before the order, so it still contains what the order bought.
        if c.received_at_ms < bought.received_at_ms:
            bought.outstanding = bought.quantity - remove_pieces(totals.cart, bought.product_id, bought.variant_id, bought.quantity)


def _apply_order(totals: Totals, c: Contribution, order: Order) -> None:
    for line in order.lines:
        _add_interest(totals, c, line.category, ORDER_WEIGHT)
        _add_recent(totals, c, line.product_id)
    if order.order_id in totals.orders:
        return
    totals.orders[order.order_id] = (order.currency, order.value, c.event_time_ms)
    if len(totals.orders) > MAX_ORDERS:
        del totals.orders[next(iter(totals.orders))]
    for line in order.lines:
        totals.bought_products.pop(line.product_id, None)
        totals.bought_products[line.product_id] = c.history_key
        removed = remove_pieces(totals.cart, line.product_id, line.variant_id, line.quantity)
        totals.bought.append(BoughtLine(c.received_at_ms, line.product_id, line.variant_id, line.quantity, line.quantity - removed))
    del totals.bought[:-MAX_BOUGHT]
    while len(totals.bought_products) > MAX_BOUGHT_PRODUCTS:
        del totals.bought_products[next(iter(totals.bought_products))]


def _apply_refund(totals: Totals, _: Contribution, refund: Refund) -> None:
    if refund.value is not None and refund.currency is not None:
        totals.refunds[refund.currency] = EXACT.add(totals.refunds.get(refund.currency, Decimal()), Decimal(refund.value))


def _apply_banner(totals: Totals, c: Contribution, action: BannerAction) -> None:
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


def _apply_identify(totals: Totals, part: str, c: Contribution, identification: Identification) -> None:
    if identification.user_id != part:
        totals.joined_at_ms = earliest_ms(totals.joined_at_ms, c.received_at_ms)
    if c.received_at_ms <= totals.forgotten_ms:
        return
    for key, value in identification.traits.items():
        totals.traits.pop(key, None)
        totals.traits[key] = (c.history_key, value)
    for key in list(totals.traits)[:-MAX_TRAITS]:
        del totals.traits[key]


def _apply_consent(totals: Totals, part: str, c: Contribution, answer: ConsentAnswer) -> None:
    """The strictest answer of all parts applies. A withdrawal for longer than the grace time forgets the profile before and during it.

    During it means: dated or received before the answers that ended it. So exactly what `purge_withdrawn` may have dropped is
    forgotten, whatever the order in which the answers arrived.

    An answer that mentions only personalization leaves the answer on measurement as it was.
    """
    personalization, measurement = answer
    if measurement is None and part in totals.consents:
        measurement = totals.consents[part][1]
    totals.consents[part] = (personalization, measurement)
    is_withdrawn = any(not is_allowed for is_allowed, _ in totals.consents.values())
    if is_withdrawn and totals.withdrawn_since_ms is None:
        totals.withdrawn_since_ms, totals.answered_ms = c.event_time_ms, 0
        return
    if totals.withdrawn_since_ms is None:
        return
    totals.answered_ms = max(totals.answered_ms, c.received_at_ms)
    if not is_withdrawn:
        if max(c.event_time_ms, totals.answered_ms) - totals.withdrawn_since_ms > CONSENT_GRACE_MS:
            totals.forget_profile()
            totals.forgotten_ms = max(totals.forgotten_ms, totals.answered_ms)
        totals.withdrawn_since_ms = None


def _covers(bought: BoughtLine, product_id: str, variant_id: str | None) -> bool:
    """Whether a line of an order is of this product; a line without a variant is of any variant."""
    return bought.product_id == product_id and (bought.variant_id is None or bought.variant_id == variant_id)


EFFECTS: Final[dict[Kind, Callable[[Totals, Contribution, Any], None] | None]] = {
    Kind.OTHER: None,
    Kind.VIEW: _apply_interest,
    Kind.CLICK: _apply_interest,
    Kind.LIST: _apply_list,
    Kind.SEARCH: _apply_search,
    Kind.ADD: _apply_add,
    Kind.REMOVE: _apply_remove,
    Kind.CART: _apply_cart,
    Kind.ORDER: _apply_order,
    Kind.REFUND: _apply_refund,
    Kind.BANNER_VIEW: _apply_banner,
    Kind.BANNER_CLICK: _apply_banner,
    Kind.BANNER_DISMISS: _apply_banner,
    Kind.IDENTIFY: None,
    Kind.CONSENT: None,
}
"""How each contribution changes the totals. Logins and answers on consent depend on the part: see `apply_contributions`."""
_APPLY: Final = [EFFECTS[kind] for kind in sorted(Kind)]
"""The same by number of the kind."""
