"""The view: a visitor's context, derived from the state by sorting its contributions and applying them in order.

A context is plain JSON, a contract for other systems (docs/context.md). It depends on nothing but the state: scores of interests are
as of `updated_at`, and decay scales all of them by the same factor, so their shares and ranks stay valid later.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

import orjson

from gateway.model.events.contribution import Contribution, Identification, by_history
from gateway.model.times import earliest_ms, format_time_ms
from gateway.model.visitors.merge_totals import merge
from gateway.model.visitors.state import Part, State
from gateway.model.visitors.totals import EXACT, Totals, apply_contributions, interest_at

MAX_INTERESTS: Final = 50
MAX_RECENT: Final = 50
MAX_CART: Final = 100
MAX_BANNERS: Final = 100
MAX_BOUGHT: Final = 50

Context = dict[str, Any]


def totals_of(state: State) -> Totals:
    """The totals of the whole state: every message once across parts, in order of (event time, sequence, message id)."""
    return apply_contributions(sealed_of(state), history_of(state))


def sealed_of(state: State) -> Totals:
    """The totals of the sealed contributions of all parts, as a new object."""
    bases = [part.base for part in state.parts.values() if part.base is not None]
    return merge(bases) if bases else Totals()


def history_of(state: State) -> list[tuple[str, Contribution]]:
    """The contributions that are not sealed, each with its part: every message once across parts, in order."""
    if len(state.parts) == 1:
        ((visitor_id, part),) = state.parts.items()
        return [(visitor_id, contribution) for contribution in sorted(part.contributions.values(), key=by_history)]
    counting: dict[str, tuple[str, Contribution]] = {}
    for visitor_id, part in state.parts.items():
        for contribution in part.contributions.values():
            copy = counting.get(contribution.message_id)
            if copy is None or contribution.beats(copy[1]):
                counting[contribution.message_id] = (visitor_id, contribution)
    return sorted(counting.values(), key=lambda pair: by_history(pair[1]))


def view(state: State) -> Context:
    """The public context of a visitor. While consent to personalization is withdrawn, it shows an empty profile."""
    return context_of(state, totals_of(state))


def context_of(state: State, totals: Totals) -> Context:
    """The public context for a state whose totals are known."""
    if state.alias_of is not None:
        return {
            "user_id": state.visitor_id,
            "alias_of": state.alias_of,
            "positions": state.positions.as_json(),
            "log_epoch": state.positions.log_epoch,
        }
    shown = totals
    if totals.withdrawn_since_ms is not None:
        shown = totals.copy()
        shown.forget_profile()
    return {
        "user_id": state.visitor_id,
        "interested_category": shown.intent[1] if shown.intent else None,
        "interests": _interests(shown),
        "cart": _cart(shown),
        "recent_products": list(reversed(shown.recent))[:MAX_RECENT],
        "last_search": shown.search[1] if shown.search else None,
        "purchases": _purchases(shown),
        "banners": _banners(shown),
        "traits": {key: value for key, (_, value) in sorted(shown.traits.items()) if value is not None},
        "consent": _consent(totals),
        "stable_id": _stable_id(state),
        "anonymous_ids": sorted(visitor_id for visitor_id in state.parts if visitor_id != state.visitor_id),
        "updated_at": format_time_ms(totals.updated_ms) if totals.messages else None,
        "version": totals.messages,
        "positions": state.positions.as_json(),
        "log_epoch": state.positions.log_epoch,
    }


def _stable_id(state: State) -> str:
    """The visitor id under which the visitor first became known: its own since its first event, an anonymous one since it joined.

    By the time of receipt. So a visitor who logs in for the first time keeps their variants, and neither a login on another device
    nor an old event that arrives late changes them.
    """
    since = [(_known_since_ms(state.visitor_id, visitor_id, part), visitor_id) for visitor_id, part in state.parts.items()]
    return min(((ms, visitor_id) for ms, visitor_id in since if ms is not None), default=(0, state.visitor_id))[1]


def _known_since_ms(user_id: str, visitor_id: str, part: Part) -> int | None:
    contributions = part.contributions.values()
    if visitor_id == user_id:
        return earliest_ms(part.base.known_since_ms if part.base else None, *(c.received_at_ms for c in contributions))
    joined = (c.received_at_ms for c in contributions if isinstance(c.data, Identification) and c.data.user_id == user_id)
    return earliest_ms(part.base.joined_at_ms if part.base else None, *joined)


def _interests(totals: Totals) -> dict[str, float]:
    scores = {c: round(interest_at(score, at_ms, totals.updated_ms), 6) for c, (score, at_ms) in totals.interests.items()}
    strongest = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return dict(strongest[:MAX_INTERESTS])


def _cart(totals: Totals) -> list[dict[str, Any]]:
    lines = list(totals.cart.values())[-MAX_CART:]
    return [
        {
            "product_id": line.product_id,
            "variant_id": line.variant_id,
            "category": line.category,
            "quantity": line.quantity,
            "price": line.price,
            "currency": line.currency,
        }
        for line in lines
    ]


def _purchases(totals: Totals) -> dict[str, Any]:
    sums: dict[str, Decimal] = {}
    for currency, value, _ in totals.orders.values():
        if currency is not None and value is not None:
            sums[currency] = EXACT.add(sums.get(currency, Decimal()), Decimal(value))
    for currency, refunded in totals.refunds.items():
        sums[currency] = EXACT.subtract(sums.get(currency, Decimal()), refunded)
    last_ms = max((at_ms for _, _, at_ms in totals.orders.values()), default=None)
    return {
        "count": len(totals.orders),
        "totals": {currency: format(amount, "f") for currency, amount in sorted(sums.items())},
        "last_at": None if last_ms is None else format_time_ms(last_ms),
        "products": list(reversed(totals.bought_products))[:MAX_BOUGHT],
    }


def _banners(totals: Totals) -> dict[str, Any]:
    latest = list(totals.banners.items())[-MAX_BANNERS:]
    return {
        campaign_id: {
            "views": counts.views,
            "clicks": counts.clicks,
            "dismissals": counts.dismissals,
            "views_since_click": counts.views_since_click,
            "last_viewed_at": format_time_ms(counts.recent_views_ms[-1]) if counts.recent_views_ms else None,
            "recent_views_ms": list(counts.recent_views_ms),
        }
        for campaign_id, counts in sorted(latest)
    }


def _consent(totals: Totals) -> dict[str, bool | None]:
    return {
        "personalization": _strictest(personalization for personalization, _ in totals.consents.values()),
        "measurement": _strictest(measurement for _, measurement in totals.consents.values()),
    }


def _strictest(answers: Iterable[bool | None]) -> bool | None:
    known = [answer for answer in answers if answer is not None]
    return all(known) if known else None


def encode_context(context: Context) -> bytes:
    """The JSON to store in Redis: equal contexts have equal bytes."""
    return orjson.dumps(context)
