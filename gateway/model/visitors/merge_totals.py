"""Merging the sealed totals of several parts of one visitor."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from gateway.model.times import earliest_ms
from gateway.model.visitors.totals import EXACT, MAX_VIEW_TIMES, BannerCounts, Totals, interest_at, put_line


def merge(bases: list[Totals]) -> Totals:
    """New totals of the sealed totals of several parts: orders and traits as a union, the rest summed or latest."""
    if len(bases) == 1:
        return bases[0].copy()
    merged = Totals()
    # Ordered by what they hold, so that the merge does not depend on the order of the parts.
    for base in sorted(bases, key=lambda base: (base.first_key or (0, 0, ""), base.updated_ms)):
        _merge_into(merged, base)
    return merged


def _merge_into(merged: Totals, base: Totals) -> None:
    merged.messages += base.messages
    merged.updated_ms = max(merged.updated_ms, base.updated_ms)
    merged.first_key = min((x for x in (merged.first_key, base.first_key) if x), default=None)
    merged.known_since_ms = earliest_ms(merged.known_since_ms, base.known_since_ms)
    merged.joined_at_ms = earliest_ms(merged.joined_at_ms, base.joined_at_ms)
    merged.intent = max((x for x in (merged.intent, base.intent) if x), default=None)
    merged.search = max((x for x in (merged.search, base.search) if x), default=None)
    for category, (score, at_ms) in base.interests.items():
        other, other_ms = merged.interests.get(category, (0.0, at_ms))
        latest_ms = max(at_ms, other_ms)
        total = interest_at(score, at_ms, latest_ms) + interest_at(other, other_ms, latest_ms)
        merged.interests[category] = (total, latest_ms)
    merged.recent = _latest(merged.recent, base.recent)
    merged.bought_products = _latest(merged.bought_products, base.bought_products)
    for line in base.cart.values():
        put_line(merged, replace(line))
    merged.bought = sorted([*merged.bought, *map(replace, base.bought)], key=lambda b: (b.received_at_ms, b.product_id, b.variant_id or ""))
    merged.orders = {**base.orders, **merged.orders}
    for currency, amount in base.refunds.items():
        merged.refunds[currency] = EXACT.add(merged.refunds.get(currency, Decimal()), amount)
    for campaign_id, counts in base.banners.items():
        mine = merged.banners.setdefault(campaign_id, BannerCounts())
        mine.views += counts.views
        mine.clicks += counts.clicks
        mine.dismissals += counts.dismissals
        mine.views_since_click += counts.views_since_click
        mine.recent_views_ms = tuple(sorted((*mine.recent_views_ms, *counts.recent_views_ms))[-MAX_VIEW_TIMES:])
    for key, trait in base.traits.items():
        if key not in merged.traits or merged.traits[key][0] < trait[0]:
            merged.traits[key] = trait
    merged.consents.update(base.consents)
    merged.withdrawn_since_ms = earliest_ms(merged.withdrawn_since_ms, base.withdrawn_since_ms)
    merged.answered_ms = max(merged.answered_ms, base.answered_ms)
    merged.forgotten_ms = max(merged.forgotten_ms, base.forgotten_ms)


def _latest(mine: dict[str, tuple[int, int, str]], other: dict[str, tuple[int, int, str]]) -> dict[str, tuple[int, int, str]]:
    """The union, each product at its latest place, oldest first."""
    found = {product_id: max(o for o in (mine.get(product_id), other.get(product_id)) if o) for product_id in {**mine, **other}}
    return dict(sorted(found.items(), key=lambda item: item[1]))
