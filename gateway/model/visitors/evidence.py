"""Evidence: the contributions from which a field of a context gets its value.

The evidence of `interested_category`, `last_search`, `cart`, `purchases` and `consent` is complete: applied alone, it leads to the
same value (for the cart this is verified each time). For the other fields it is the latest contributions, at most 50. Contributions
that are sealed into totals have no positions any more; one item without a contribution stands for them.
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
    ListView,
    Order,
    ProductInterest,
    ProductLine,
    Refund,
    Removal,
    by_history,
)
from gateway.model.events.event_kinds import Kind, contributions_that_change
from gateway.model.visitors.context_view import MAX_RECENT, context_of, history_of, sealed_of
from gateway.model.visitors.state import State
from gateway.model.visitors.totals import Totals, apply_contributions

MAX_ITEMS: Final = 50
MAX_REDUCED: Final = 64
"""The cart's evidence is reduced to the contributions that still matter, if it has at most this many."""

_INTENT_KINDS: Final = contributions_that_change("interested_category")
_RECENT_KINDS: Final = contributions_that_change("recent_products")
_CART_KINDS: Final = contributions_that_change("cart")


@dataclass(frozen=True, slots=True)
class EvidenceItem:
    """A contribution that `field` gets its value from; None: it is sealed totals, with the time (ms) of their latest event."""

    field: str
    contribution: Contribution | None
    sealed_until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class _Profile:
    """What the fields are derived from: the sealed totals and the later contributions, since the profile was last forgotten."""

    state: State
    sealed: Totals
    history: tuple[Contribution, ...]
    totals: Totals

    def latest(self, kinds: Collection[int], matches: Callable[[Contribution], bool] = lambda _: True) -> Contribution | None:
        return next((c for c in reversed(self.history) if c.kind in kinds and matches(c)), None)


class _ConsentAnswers:
    """The latest answers of each part: on personalization, and on measurement if that answer does not mention it."""

    def __init__(self) -> None:
        self._personalization: dict[str, Contribution] = {}
        self._measurement: dict[str, Contribution] = {}

    def add(self, part: str, c: Contribution) -> None:
        self._personalization[part] = c
        if isinstance(c.data, ConsentAnswer) and c.data.measurement is not None:
            self._measurement[part] = c

    def contributions(self) -> list[Contribution]:
        return list({c.message_id: c for c in (*self._personalization.values(), *self._measurement.values())}.values())

    def depend_on(self, sealed: Totals) -> bool:
        """Whether an answer in sealed totals still applies."""
        return any(
            part not in self._personalization or (measurement is not None and part not in self._measurement)
            for part, (_, measurement) in sealed.consents.items()
        )


def evidence_of(state: State, fields: Iterable[str], campaign_ids: Collection[str] | None = None) -> list[EvidenceItem]:
    """The evidence of some fields, field by field, each in order of time. `campaign_ids`: for `banners` only these campaigns."""
    profile, answers = _profile_of(state)
    items: list[EvidenceItem] = []
    contributions: Sequence[Contribution]
    for field in fields:
        if field == "consent":
            contributions, is_sealed = answers.contributions(), answers.depend_on(sealed_of(state))
        elif profile is None:
            continue
        else:
            contributions, is_sealed = _of_field(profile, field, campaign_ids)
        if is_sealed:
            items.append(EvidenceItem(field, None, sealed_of(state).updated_ms))
        items += [EvidenceItem(field, c) for c in sorted(contributions, key=by_history)]
    return items


def _profile_of(state: State) -> tuple[_Profile | None, _ConsentAnswers]:
    """The profile (None while consent is withdrawn), and the answers on consent."""
    sealed, totals = sealed_of(state), sealed_of(state)
    history = history_of(state)
    start = 0
    answers = _ConsentAnswers()
    for index, pair in enumerate(history):
        forgotten_ms = totals.forgotten_ms
        apply_contributions(totals, [pair])
        if pair[1].kind != Kind.CONSENT:
            continue
        answers.add(*pair)
        if totals.forgotten_ms > forgotten_ms:
            # The profile was forgotten here: nothing earlier matters to it.
            sealed, start = Totals(), index + 1
    if totals.withdrawn_since_ms is not None:
        return None, answers
    remembered = tuple(c for _, c in history[start:] if c.received_at_ms > totals.forgotten_ms)
    return _Profile(state, sealed, remembered, totals), answers


def _of_field(profile: _Profile, field: str, campaign_ids: Collection[str] | None) -> tuple[list[Contribution], bool]:
    """The contributions of a field, and whether its value also depends on sealed totals."""
    match field:
        case "interested_category":
            return _latest_or_sealed(profile.latest(_INTENT_KINDS, lambda c: bool(_categories(c))), profile.sealed.intent is not None)
        case "last_search":
            return _latest_or_sealed(profile.latest((Kind.SEARCH,)), profile.sealed.search is not None)
        case "interests":
            contributions = [c for c in profile.history if set(_categories(c)) & profile.totals.interests.keys()]
            return contributions[-MAX_ITEMS:], bool(profile.sealed.interests)
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


def _latest_or_sealed(latest: Contribution | None, is_sealed: bool) -> tuple[list[Contribution], bool]:
    return ([], is_sealed) if latest is None else ([latest], False)


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
    return _distinct(profile.latest(_RECENT_KINDS, partial(_is_about, product_id)) for product_id in shown)


def _is_about(product_id: str, c: Contribution) -> bool:
    return product_id in _products(c)


def _distinct(latest: Iterable[Contribution | None]) -> tuple[list[Contribution], bool]:
    """Each contribution once, and whether one is missing: then the value comes from sealed totals."""
    contributions = list(latest)
    return list({c.message_id: c for c in contributions if c is not None}.values()), None in contributions


def _purchases(profile: _Profile) -> tuple[list[Contribution], bool]:
    """For each order the contribution that counted, and all refunds."""
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

    return _distinct(map(login_with, profile.totals.traits))


def _cart(profile: _Profile) -> tuple[list[Contribution], bool]:
    """The contributions that added to the lines or removed from them, without those that later contributions undid."""
    expected = _cart_of(profile, profile.history)
    products = {key[0] for key in profile.totals.cart}
    touching = [c for c in profile.history if c.kind in _CART_KINDS and (c.kind == Kind.CART or not products.isdisjoint(_products(c)))]
    resets = [index for index, c in enumerate(touching) if c.kind == Kind.CART]
    candidates: list[Sequence[Contribution]] = [touching[resets[-1] :]] if resets else []
    candidates += [touching, [c for c in profile.history if c.kind in _CART_KINDS]]
    evidence = list(next((candidate for candidate in candidates if _cart_of(profile, candidate) == expected), candidates[-1]))
    if len(evidence) <= MAX_REDUCED:
        for c in tuple(evidence):
            fewer = [other for other in evidence if other is not c]
            if _cart_of(profile, fewer) == expected:
                evidence = fewer
    # Sealed lines matter unless the cart is the same without them.
    has_sealed_lines = bool(profile.sealed.cart or profile.sealed.bought)
    return evidence, has_sealed_lines and _cart_of(profile, evidence, Totals()) != expected


def _cart_of(profile: _Profile, contributions: Sequence[Contribution], sealed: Totals | None = None) -> object:
    """The cart of some contributions on top of the sealed totals."""
    totals = apply_contributions((profile.sealed if sealed is None else sealed).copy(), (("", c) for c in contributions))
    return context_of(profile.state, totals)["cart"]
