"""From counts per time window to trends: the score of a product, and which products a snapshot holds.

    score = sum over the windows of (views + 5 carts + 20 purchases) * 2^(-age / half-life)

A count is the number of distinct visitors in one window, so a visitor who returns within the window changes nothing. Counts only grow:
two reports on a window are merged by taking the greater of each count, so their order and repetition make no difference. The age is
measured from window to window, so that nothing changes while no event arrives and no window ends.
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
"""Windows that started longer ago do not count any more."""
HALF_LIFE_MS: Final = 6 * HOUR_MS
"""Events of this age count half: the trend of a day survives the night, and yesterday's fades."""
VIEW_WEIGHT: Final = 1
CART_WEIGHT: Final = 5
PURCHASE_WEIGHT: Final = 20
"""The weights follow roughly how rare each action is in a shop: about one in twenty visitors who view a product buys it."""
WINDOW_PRODUCTS: Final = 5_000
"""The number of products that are kept of a window, the strongest ones; temporarily up to twice as many."""
_SCORE_DECIMALS: Final = 4


@dataclass(frozen=True, slots=True)
class Counts:
    """How many distinct visitors viewed, added and bought a product in one window. `category`: as named in the events."""

    views: int = 0
    carts: int = 0
    purchases: int = 0
    category: str | None = None

    @property
    def weight(self) -> int:
        """What the window adds to the score of the product while it is new."""
        return VIEW_WEIGHT * self.views + CART_WEIGHT * self.carts + PURCHASE_WEIGHT * self.purchases

    def merged(self, other: Counts) -> Counts:
        """Both reports merged. If they name two categories, the one that sorts last is used, so that their order does not matter."""
        categories = [category for category in (self.category, other.category) if category is not None]
        return Counts(
            max(self.views, other.views),
            max(self.carts, other.carts),
            max(self.purchases, other.purchases),
            max(categories, default=None),
        )


def window_of(time_ms: int) -> int:
    """The start (ms) of the window that contains a moment."""
    return time_ms - time_ms % WINDOW_MS


class Windows:
    """The counts of the latest windows. Not thread-safe."""

    def __init__(self) -> None:
        self._windows: dict[int, dict[str, Counts]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._windows.values()))

    def as_dict(self) -> Mapping[int, Mapping[str, Counts]]:
        """All counts, by the start of the window (ms) and product id."""
        return self._windows

    def merge(self, window_ms: int, product_id: str, counts: Counts) -> Counts | None:
        """Merge a report. Returns the new counts of the product in this window; None: nothing changed."""
        window = self._windows.setdefault(window_ms, {})
        known = window.get(product_id)
        merged = counts if known is None else known.merged(counts)
        if merged == known:
            return None
        window[product_id] = merged
        return merged

    def drop_expired(self, now_ms: int) -> None:
        """Drop the windows that are past the horizon."""
        for window_ms in [start_ms for start_ms in self._windows if not is_counted(start_ms, now_ms)]:
            del self._windows[window_ms]

    def drop_weakest(self) -> dict[int, list[str]]:
        """Drop the weakest products of windows that have far too many. Returns their ids by window."""
        dropped: dict[int, list[str]] = {}
        for window_ms, window in self._windows.items():
            if len(window) > 2 * WINDOW_PRODUCTS:
                strongest = heapq.nsmallest(WINDOW_PRODUCTS, window, key=lambda product_id: (-window[product_id].weight, product_id))
                kept = {product_id: window[product_id] for product_id in strongest}
                dropped[window_ms] = [product_id for product_id in window if product_id not in kept]
                self._windows[window_ms] = kept
        return dropped

    def ranked(self, now_ms: int) -> tuple[TrendingProduct, ...]:
        """The products of a snapshot, strongest first; products of the same score by id."""
        scores: dict[str, float] = {}
        categories: dict[str, str | None] = {}
        for window_ms in sorted(self._windows):
            if not is_counted(window_ms, now_ms):
                continue
            factor = 2.0 ** (-max(0, window_of(now_ms) - window_ms) / HALF_LIFE_MS)
            for product_id, counts in self._windows[window_ms].items():
                scores[product_id] = scores.get(product_id, 0.0) + counts.weight * factor
                # The category is that of the newest window that names one.
                categories[product_id] = counts.category or categories.get(product_id)
        products = (TrendingProduct(name, categories[name], round(score, _SCORE_DECIMALS)) for name, score in scores.items())
        return select_products(product for product in products if product.score > 0)


def is_counted(window_ms: int, now_ms: int) -> bool:
    """Whether a window is within the horizon."""
    return window_of(now_ms) - window_ms < HORIZON_MS


def select_products(products: Iterable[TrendingProduct]) -> tuple[TrendingProduct, ...]:
    """The strongest products of all, and the strongest of each of the strongest categories; strongest first."""
    ordered = sorted(products, key=lambda product: (-product.score, product.product_id))
    selected = dict.fromkeys(ordered[:TOP_PRODUCTS])
    counts: dict[str, int] = {}
    for product in ordered:
        if product.category is None or (product.category not in counts and len(counts) == MAX_CATEGORIES):
            continue
        count = counts.get(product.category, 0)
        if count < TOP_OF_CATEGORY:
            counts[product.category] = count + 1
            selected[product] = None
    return tuple(sorted(selected, key=lambda product: (-product.score, product.product_id)))
