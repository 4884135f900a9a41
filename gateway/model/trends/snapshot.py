"""Trends: what many visitors view, add and buy, as numbered snapshots, so that a decision can be repeated exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

TOP_PRODUCTS: Final = 200
"""The number of strongest products of all categories. Conditions can use these."""
TOP_OF_CATEGORY: Final = 20
"""The number of strongest products of each category. A snapshot holds them even if they are not among the strongest of all …"""
MAX_CATEGORIES: Final = 300
"""… for this many categories, those with the strongest products."""


@dataclass(frozen=True, slots=True)
class TrendingProduct:
    """A product and its score: the weighted number of visitors who viewed, added and bought it recently. Approximate and fast."""

    product_id: str
    category: str | None
    score: float


@dataclass(frozen=True)
class Trends:
    """A snapshot. `products`: strongest first. `together`: for a product id, the ids of those bought with it, strongest first.

    `snapshot`: its number, the unix second at which its time slot starts; 0 before the first one. `is_complete`: false if the version
    of `together` that belongs to it is no longer kept.
    """

    snapshot: int = 0
    taken_at_ms: int = 0
    products: tuple[TrendingProduct, ...] = ()
    together: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    together_version: int = 0
    is_complete: bool = True

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """Categories by the sum of their products' scores, strongest first."""
        sums: dict[str, float] = {}
        for product in self.products:
            if product.category is not None:
                sums[product.category] = sums.get(product.category, 0.0) + product.score
        return tuple(sorted(sums, key=lambda category: (-sums[category], category)))

    @cached_property
    def values(self) -> Mapping[str, Sequence[str]]:
        """The variable `trends` of conditions."""
        return {"products": [product.product_id for product in self.products[:TOP_PRODUCTS]], "categories": list(self.categories)}

    @cached_property
    def category_of(self) -> Mapping[str, str | None]:
        """The category of each product."""
        return {product.product_id: product.category for product in self.products}

    @cached_property
    def by_category(self) -> Mapping[str, tuple[TrendingProduct, ...]]:
        """The products of each category, strongest first."""
        by_category: dict[str, list[TrendingProduct]] = {}
        for product in self.products:
            if product.category is not None:
                by_category.setdefault(product.category, []).append(product)
        return {category: tuple(products) for category, products in by_category.items()}


NO_TRENDS: Final = Trends()
