"""Trends: what many visitors look at and buy. A numbered snapshot, so that a decision can be repeated exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final


@dataclass(frozen=True, slots=True)
class TrendingProduct:
    """A product and its score: views, carts and purchases of the last windows, weighted. Approximate and fast."""

    product_id: str
    category: str | None
    score: float


@dataclass(frozen=True)
class Trends:
    """A snapshot. `products`: strongest first. `together`: for a product, those bought with it, strongest first."""

    snapshot: int = 0
    taken_at_ms: int = 0
    products: tuple[TrendingProduct, ...] = ()
    together: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """Categories by the sum of their products' scores, strongest first."""
        sums: dict[str, float] = {}
        for product in self.products:
            if product.category is not None:
                sums[product.category] = sums.get(product.category, 0.0) + product.score
        return tuple(sorted(sums, key=lambda category: (-sums[category], category)))


NO_TRENDS: Final = Trends()
