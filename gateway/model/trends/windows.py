"""From counts per time window to trends: the score of a product, and which products a snapshot holds.

    score = sum over the windows of (views + 5 carts + 20 purchases) * 2^(-age / half-life)

A count is a number of different visitors in one window, so a visitor who comes back within it changes nothing. Counts only
grow: two reports on a window are joined by taking the greater of each, whatever order they come in and however often. The
age is measured from window to window, so that nothing changes while no event comes and no window ends.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.model.times import DAY_MS, HOUR_MS, MINUTE_MS
from gateway.model.trends.snapshot import MAX_CATEGORIES, TOP_OF_CATEGORY, TOP_PRODUCTS, TrendingProduct

WINDOW_MS: Final = 10 * MINUTE_MS
HORIZON_MS: Final = DAY_MS
"""Windows that began longer ago count no more."""
HALF_LIFE_MS: Final = 6 * HOUR_MS
"""What happened so long ago counts half: a day's rush outlasts the night, yesterday's is forgotten."""
VIEW_WEIGHT: Final = 1
CART_WEIGHT: Final = 5
PURCHASE_WEIGHT: Final = 20
"""Roughly by how rare each is in a shop: of some twenty who look one buys."""
WINDOW_PRODUCTS: Final = 5_000
"""So many products of a window are kept, the strongest; up to twice as many for a while."""
_DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class Counts:
    """How many different visitors viewed, added and bought a product in one window. `category` as the events say."""

    views: int = 0
    carts: int = 0
    purchases: int = 0
    category: str | None = None

    @property
    def weight(self) -> int:
        """What the window adds to the score while it is new."""
        return VIEW_WEIGHT * self.views + CART_WEIGHT * self.carts + PURCHASE_WEIGHT * self.purchases

    def joined(self, other: Counts) -> Counts:
        """Both reports in one; of two categories the one that sorts last, so that the order of reports is all the same."""
        categories = [category for category in (self.category, other.category) if category is not None]
        return Counts(
            max(self.views, other.views),
            max(self.carts, other.carts),
            max(self.purchases, other.purchases),
            max(categories, default=None),
        )


def window_of(time_ms: int) -> int:
    """The start of the window that a moment lies in, ms."""
    return time_ms - time_ms % WINDOW_MS


class Windows:
    """The counts of the last windows. Not for several threads at once."""

    def __init__(self) -> None:
        self._windows: dict[int, dict[str, Counts]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._windows.values()))

    def as_dict(self) -> Mapping[int, Mapping[str, Counts]]:
        """All counts, by the window's start (ms) and product."""
        return self._windows

    def join(self, window_ms: int, product_id: str, counts: Counts) -> Counts | None:
        """Take in a report; the counts that now hold, or None where nothing changed."""
        window = self._windows.setdefault(window_ms, {})
        known = window.get(product_id)
        joined = counts if known is None else known.joined(counts)
        if joined == known:
            return None
        window[product_id] = joined
        return joined

    def forget(self, now_ms: int) -> None:
        """Drop the windows past the horizon."""
        for window_ms in [start for start in self._windows if not is_counted(start, now_ms)]:
            del self._windows[window_ms]

    def weakest(self) -> dict[int, list[str]]:
        """Drop the weakest products of windows that have far too many, and tell which."""
        dropped: dict[int, list[str]] = {}
        for window_ms, window in self._windows.items():
            if len(window) > 2 * WINDOW_PRODUCTS:
                strongest = heapq.nsmallest(WINDOW_PRODUCTS, window, key=lambda product_id: (-window[product_id].weight, product_id))
                kept = {product_id: window[product_id] for product_id in strongest}
                dropped[window_ms] = [product_id for product_id in window if product_id not in kept]
                self._windows[window_ms] = kept
        return dropped

    def ranked(self, now_ms: int) -> tuple[TrendingProduct, ...]:
        """The products of a snapshot, strongest first, equal ones by id."""
        scores: dict[str, float] = {}
        categories: dict[str, str | None] = {}
        for window_ms in sorted(self._windows):
            if not is_counted(window_ms, now_ms):
                continue
            factor = 2.0 ** (-max(0, window_of(now_ms) - window_ms) / HALF_LIFE_MS)
            for product_id, counts in self._windows[window_ms].items():
                scores[product_id] = scores.get(product_id, 0.0) + counts.weight * factor
                # The newest window that names a category says which.
                categories[product_id] = counts.category or categories.get(product_id)
        found = [TrendingProduct(product_id, categories[product_id], round(score, _DIGITS)) for product_id, score in scores.items()]
        return select_products(product for product in found if product.score > 0)


def is_counted(window_ms: int, now_ms: int) -> bool:
    """Whether a window lies within the horizon."""
    return window_of(now_ms) - window_ms < HORIZON_MS


def select_products(products: Iterable[TrendingProduct]) -> tuple[TrendingProduct, ...]:
    """The strongest of all, and the strongest of each of the strongest categories; strongest first."""
    ordered = sorted(products, key=lambda product: (-product.score, product.product_id))
    kept = dict.fromkeys(ordered[:TOP_PRODUCTS])
    taken: dict[str, int] = {}
    for product in ordered:
        if product.category is None or (product.category not in taken and len(taken) == MAX_CATEGORIES):
            continue
        count = taken.get(product.category, 0)
        if count < TOP_OF_CATEGORY:
            taken[product.category] = count + 1
            kept[product] = None
    return tuple(sorted(kept, key=lambda product: (-product.score, product.product_id)))
