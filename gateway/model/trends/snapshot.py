"""Trends: what many visitors look at and buy. A numbered snapshot, so that a decision can be repeated exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

TOP_PRODUCTS: Final = 200
"""The strongest products of all, which is what conditions see."""
TOP_OF_CATEGORY: Final = 20
"""The strongest products of a category, which a snapshot holds also where they are not among the strongest of all …"""
MAX_CATEGORIES: Final = 300
"""… for so many categories, those with the strongest products."""


@dataclass(frozen=True, slots=True)
class TrendingProduct:
    """A product and its score: visitors who viewed, added and bought it lately, weighted. Approximate and fast."""

    product_id: str
    category: str | None
    score: float


@dataclass(frozen=True)
class Trends:
    """A snapshot. `products`: strongest first. `together`: for a product, those bought with it, strongest first.

    `snapshot` is its number: the unix second at which its time slot begins; 0 before the first one. `is_complete` is false
    where the version of `together` that belongs to it is no longer kept.
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
        """What conditions see."""
        return {"products": [product.product_id for product in self.products[:TOP_PRODUCTS]], "categories": list(self.categories)}

    @cached_property
    def category_of(self) -> Mapping[str, str | None]:
        """The category of each product."""
        return {product.product_id: product.category for product in self.products}

    @cached_property
    def by_category(self) -> Mapping[str, tuple[TrendingProduct, ...]]:
        """The products of each category, strongest first."""
        found: dict[str, list[TrendingProduct]] = {}
        for product in self.products:
            if product.category is not None:
                found.setdefault(product.category, []).append(product)
        return {category: tuple(products) for category, products in found.items()}


NO_TRENDS: Final = Trends()
