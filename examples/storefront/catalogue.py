"""The shop's catalogue: every product in the events file, the most visited first."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from examples.storefront.categories import Category, category_of, slug_of
from personalization_gateway import ProductInput

DATA_FILE: Final = Path(__file__).parent / "data" / "rees46-2019-10-01.csv.gz"
CURRENCY: Final = "USD"
_SHORT_BRAND_LETTERS: Final = 3


@dataclass(frozen=True, slots=True)
class Product:
    """A product. `price` is in `CURRENCY`, for one piece."""

    product_id: str
    name: str
    price: Decimal
    brand: str | None
    category: Category | None

    def as_event(self) -> ProductInput:
        """The product as it is sent in events; the category is its readable plural name."""
        product: ProductInput = {"productId": self.product_id, "name": self.name, "price": str(self.price), "currency": CURRENCY}
        if self.brand:
            product["brand"] = self.brand
        if self.category:
            product["category"] = self.category.name
        return product


class Catalogue:
    """All products, by id and by category."""

    def __init__(self, products: Iterable[Product]) -> None:
        """`products` in the order in which the shop shows them."""
        self._by_id = {product.product_id: product for product in products}
        self._by_category: dict[str, list[Product]] = {}
        self._categories: dict[str, Category] = {}
        for product in self._by_id.values():
            if product.category is not None:
                self._categories.setdefault(product.category.slug, product.category)
                self._by_category.setdefault(product.category.slug, []).append(product)

    @property
    def categories(self) -> list[Category]:
        """All categories, the largest first."""
        return sorted(self._categories.values(), key=lambda category: (-len(self._by_category[category.slug]), category.name))

    def product(self, product_id: str) -> Product | None:
        """The product with this id, or None."""
        return self._by_id.get(product_id)

    def category(self, name_or_slug: str) -> Category | None:
        """The category with this slug or readable name ("air heaters"), which banners use in links, or None."""
        return self._categories.get(slug_of(name_or_slug))

    def products_in(self, category: Category) -> list[Product]:
        """Products of a category in the shop's order."""
        return self._by_category.get(category.slug, [])

    def featured(self, first: int, per_category: int = 3) -> list[Product]:
        """Up to `first` products for the homepage, at most `per_category` of one category."""
        featured: list[Product] = []
        taken: Counter[str] = Counter()
        for product in self._by_id.values():
            if product.category is None or taken[product.category.slug] >= per_category or not product.price:
                continue
            taken[product.category.slug] += 1
            featured.append(product)
            if len(featured) == first:
                break
        return featured


def load_catalogue(path: Path = DATA_FILE) -> Catalogue:
    """Read the products from an events file (gzipped CSV, see data/README.md). Raises OSError."""
    visits: Counter[str] = Counter()
    rows: dict[str, Mapping[str, str]] = {}
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            visits[row["product_id"]] += 1
            rows[row["product_id"]] = row
    return Catalogue(_product(rows[product_id]) for product_id, _ in visits.most_common())


def _product(row: Mapping[str, str]) -> Product:
    category = category_of(row["category_code"])
    brand = _readable_brand(row["brand"])
    words = [brand, category.singular if category else "product", row["product_id"]]
    name = " ".join(word for word in words if word)
    return Product(row["product_id"], name[:1].upper() + name[1:], Decimal(row["price"]), brand, category)


def _readable_brand(brand: str) -> str | None:
    if not brand:
        return None
    return brand.upper() if len(brand) <= _SHORT_BRAND_LETTERS else "-".join(part.capitalize() for part in brand.split("-"))
