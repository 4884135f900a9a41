"""Evidence: which contributions shape the value of a field of a context.

The evidence of `interested_category`, `last_search`, `cart`, `purchases` and `consent` is whole: folded alone it gives the
same value (for the cart this is verified each time). The others name the latest contributions, at most 50. What is sealed into
totals has no positions any more; then one item without a contribution says so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from gateway.model.events.contribution import (
    BannerAction,
    CartSnapshot,
    ConsentAnswer,
    Contribution,
    Identification,
    Kind,
    ListView,
    Order,
    ProductInterest,
    ProductLine,
    Refund,
    Removal,
    by_history,
)
from gateway.model.visitors.context_view import MAX_RECENT, context_of, history_of, sealed_of
from gateway.model.visitors.state import State
from gateway.model.visitors.totals import Totals, apply_contributions

MAX_ITEMS: Final = 50
TRIMMED: Final = 64
"""Up to so many contributions the cart's evidence is thinned out to those that still matter."""

_INTENT: Final = (Kind.VIEW, Kind.CLICK, Kind.LIST, Kind.ADD, Kind.ORDER)
_SEEN: Final = (Kind.VIEW, Kind.CLICK, Kind.ADD, Kind.REMOVE, Kind.ORDER)
_CART_KINDS: Final = (Kind.ADD, Kind.REMOVE, Kind.CART, Kind.ORDER)


@dataclass(frozen=True, slots=True)
class EvidenceItem:
    """A contribution that shapes `field`; None: sealed totals that do, with the time of their latest event."""

    field: str
    contribution: Contribution | None
    sealed_until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class _Profile:
    """What the fields come from: the sealed totals and what came after them, since the profile was last forgotten."""

    state: State
    sealed: Totals
    history: tuple[Contribution, ...]
    totals: Totals

    def latest(self, kinds: Collection[int], matches: Callable[[Contribution], bool] = lambda _: True) -> Contribution | None:
        return next((c for c in reversed(self.history) if c.kind in kinds and matches(c)), None)


class _Answers:
    """The latest answers of each part: on personalization, and, where that said nothing of it, on measurement."""

    def __init__(self) -> None:
        self._personalization: dict[str, Contribution] = {}
        self._measurement: dict[str, Contribution] = {}

    def take(self, part: str, c: Contribution) -> None:
        self._personalization[part] = c
        if isinstance(c.data, ConsentAnswer) and c.data.measurement is not None:
            self._measurement[part] = c

    def named(self) -> list[Contribution]:
        return list({c.message_id: c for c in (*self._personalization.values(), *self._measurement.values())}.values())

    def need(self, sealed: Totals) -> bool:
        """Whether an answer in sealed totals is still in force."""
        return any(
            part not in self._personalization or (measurement is not None and part not in self._measurement)
            for part, (_, measurement) in sealed.consents.items()
        )


def evidence_of(state: State, fields: Iterable[str], campaign_ids: Collection[str] | None = None) -> list[EvidenceItem]:
    """The evidence of some fields, field by field, in order of time. `campaign_ids`: of `banners` only these."""
    profile, consents = _profile_of(state)
    found: list[EvidenceItem] = []
    contributions: Sequence[Contribution]
    for field in fields:
        if field == "consent":
            contributions, sealed = consents.named(), consents.need(sealed_of(state))
        elif profile is None:
            continue
        else:
            contributions, sealed = _of_field(profile, field, campaign_ids)
        if sealed:
            found.append(EvidenceItem(field, None, sealed_of(state).updated_ms))
        found += [EvidenceItem(field, c) for c in sorted(contributions, key=by_history)]
    return found


def _profile_of(state: State) -> tuple[_Profile | None, _Answers]:
    """The profile (None while consent is withdrawn), and what was answered on consent."""
    sealed, totals = sealed_of(state), sealed_of(state)
    history = history_of(state)
    start = 0
    consents = _Answers()
    for index, pair in enumerate(history):
        forgotten_ms = totals.forgotten_ms
        apply_contributions(totals, [pair])
        if pair[1].kind != Kind.CONSENT:
            continue
        consents.take(*pair)
        if totals.forgotten_ms > forgotten_ms:
            # The fold forgot the profile here: nothing before shapes it.
            sealed, start = Totals(), index + 1
    if totals.withdrawn_since_ms is not None:
        return None, consents
    shaping = tuple(c for _, c in history[start:] if c.received_at_ms > totals.forgotten_ms)
    return _Profile(state, sealed, shaping, totals), consents


def _of_field(profile: _Profile, field: str, campaign_ids: Collection[str] | None) -> tuple[list[Contribution], bool]:
    """The contributions of a field, and whether sealed totals shape it, too."""
    match field:
        case "interested_category":
            return _one(profile.latest(_INTENT, lambda c: bool(_categories(c))), profile.sealed.intent is not None)
        case "last_search":
            return _one(profile.latest((Kind.SEARCH,)), profile.sealed.search is not None)
        case "interests":
            found = [c for c in profile.history if set(_categories(c)) & profile.totals.interests.keys()]
            return found[-MAX_ITEMS:], bool(profile.sealed.interests)
        case "cart":
            return _cart(profile)
        case "recent_products":
            return _recent(profile)
        case "purchases":
            return _purchases(profile)
        case "banners":
            return _banners(profile, campaign_ids)
        case "traits":
            return _traits(profile)
        case _:
            return [], False


def _one(found: Contribution | None, is_sealed: bool) -> tuple[list[Contribution], bool]:
    return ([], is_sealed) if found is None else ([found], False)


def _categories(c: Contribution) -> list[str]:
    """The categories that a contribution shows an interest in."""
    match c.data:
        case ProductInterest(category=category) | ProductLine(category=category) | ListView(category=category):
            categories = [category]
        case Order(lines=lines):
            categories = [line.category for line in lines]
        case _:
            categories = []
    return [category for category in categories if category is not None]


def _products(c: Contribution) -> list[str]:
    """The products that a contribution is about."""
    match c.data:
        case ProductInterest(product_id=product_id) | ProductLine(product_id=product_id) | Removal(product_id=product_id):
            return [product_id]
        case Order(lines=lines) | CartSnapshot(lines=lines):
            return [line.product_id for line in lines]
        case _:
            return []


def _recent(profile: _Profile) -> tuple[list[Contribution], bool]:
    shown = list(reversed(profile.totals.recent))[:MAX_RECENT]
    return _all(profile.latest(_SEEN, partial(_is_about, product_id)) for product_id in shown)


def _is_about(product_id: str, c: Contribution) -> bool:
    return product_id in _products(c)


def _all(latest: Iterable[Contribution | None]) -> tuple[list[Contribution], bool]:
    """Each once; where there is none the value comes from sealed totals."""
    listed = list(latest)
    return list({c.message_id: c for c in listed if c is not None}.values()), None in listed


def _purchases(profile: _Profile) -> tuple[list[Contribution], bool]:
    """Of the orders, each by the contribution that counted, and all refunds."""
    counted = set(profile.sealed.orders)
    purchases = []
    for c in profile.history:
        if isinstance(c.data, Refund):
            purchases.append(c)
        elif isinstance(c.data, Order) and c.data.order_id not in counted:
            counted.add(c.data.order_id)
            purchases.append(c)
    return purchases, bool(profile.sealed.orders or profile.sealed.refunds)


def _banners(profile: _Profile, campaign_ids: Collection[str] | None) -> tuple[list[Contribution], bool]:
    def matters(campaign_id: str | None) -> bool:
        return campaign_id is not None and (campaign_ids is None or campaign_id in campaign_ids)

    actions = [c for c in profile.history if isinstance(c.data, BannerAction) and matters(c.data.campaign_id)]
    return actions[-MAX_ITEMS:], any(matters(campaign_id) for campaign_id in profile.sealed.banners)


def _traits(profile: _Profile) -> tuple[list[Contribution], bool]:
    def login_with(key: str) -> Contribution | None:
        return profile.latest((Kind.IDENTIFY,), lambda c: isinstance(c.data, Identification) and key in c.data.traits)

    return _all(map(login_with, profile.totals.traits))


def _cart(profile: _Profile) -> tuple[list[Contribution], bool]:
    """What the lines came from, and what took off them; without what is undone by later contributions."""
    wanted = _cart_of(profile, profile.history)
    products = {key[0] for key in profile.totals.cart}
    touching = [c for c in profile.history if c.kind in _CART_KINDS and (c.kind == Kind.CART or not products.isdisjoint(_products(c)))]
    resets = [index for index, c in enumerate(touching) if c.kind == Kind.CART]
    candidates: list[Sequence[Contribution]] = [touching[resets[-1] :]] if resets else []
    candidates += [touching, [c for c in profile.history if c.kind in _CART_KINDS]]
    found = list(next((one for one in candidates if _cart_of(profile, one) == wanted), candidates[-1]))
    if len(found) <= TRIMMED:
        for c in tuple(found):
            fewer = [other for other in found if other is not c]
            if _cart_of(profile, fewer) == wanted:
                found = fewer
    # Sealed lines matter unless the same comes about without them.
    is_sealed = bool(profile.sealed.cart or profile.sealed.bought)
    return found, is_sealed and _cart_of(profile, found, Totals()) != wanted


def _cart_of(profile: _Profile, contributions: Sequence[Contribution], sealed: Totals | None = None) -> object:
    totals = apply_contributions((profile.sealed if sealed is None else sealed).copy(), (("", c) for c in contributions))
    return context_of(profile.state, totals)["cart"]
