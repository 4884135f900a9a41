"""Merging the sealed totals of the parts of one visitor."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from gateway.model.events.contribution import HistoryKey
from gateway.model.times import earliest_ms
from gateway.model.visitors.cart import add_line
from gateway.model.visitors.totals import EXACT, MAX_VIEW_TIMES, BannerCounts, Totals, interest_at


def merge(bases: list[Totals]) -> Totals:
    """The merged totals, as a new object: orders and traits are the union; the rest are sums or the latest values."""
    if len(bases) == 1:
        return bases[0].copy()
    merged = Totals()
    # Sorted by their content, so that the result does not depend on the order of the parts.
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
        merged_score, merged_at_ms = merged.interests.get(category, (0.0, at_ms))
        latest_ms = max(at_ms, merged_at_ms)
        total = interest_at(score, at_ms, latest_ms) + interest_at(merged_score, merged_at_ms, latest_ms)
        merged.interests[category] = (total, latest_ms)
    merged.recent = _latest(merged.recent, base.recent)
    merged.bought_products = _latest(merged.bought_products, base.bought_products)
    for line in base.cart.values():
        add_line(merged.cart, replace(line))
    merged.bought = sorted([*merged.bought, *map(replace, base.bought)], key=lambda b: (b.received_at_ms, b.product_id, b.variant_id or ""))
    merged.orders = {**base.orders, **merged.orders}
    for currency, amount in base.refunds.items():
        merged.refunds[currency] = EXACT.add(merged.refunds.get(currency, Decimal()), amount)
    for campaign_id, counts in base.banners.items():
        sums = merged.banners.setdefault(campaign_id, BannerCounts())
        sums.views += counts.views
        sums.clicks += counts.clicks
        sums.dismissals += counts.dismissals
        sums.views_since_click += counts.views_since_click
        sums.recent_views_ms = tuple(sorted((*sums.recent_views_ms, *counts.recent_views_ms))[-MAX_VIEW_TIMES:])
    for key, trait in base.traits.items():
        if key not in merged.traits or merged.traits[key][0] < trait[0]:
            merged.traits[key] = trait
    merged.consents.update(base.consents)
    merged.withdrawn_since_ms = earliest_ms(merged.withdrawn_since_ms, base.withdrawn_since_ms)
    merged.answered_ms = max(merged.answered_ms, base.answered_ms)
    merged.forgotten_ms = max(merged.forgotten_ms, base.forgotten_ms)


def _latest(one: dict[str, HistoryKey], other: dict[str, HistoryKey]) -> dict[str, HistoryKey]:
    """The union, each product with its latest key, oldest first."""
    latest = {product_id: max(key for key in (one.get(product_id), other.get(product_id)) if key) for product_id in {**one, **other}}
    return dict(sorted(latest.items(), key=lambda item: item[1]))
