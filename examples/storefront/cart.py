"""The visitor's cart, kept in a cookie: `1004856-2.1005115-1` is two of the first product and one of the second.

The server stores nothing of it, so the shop can restart, or run as many processes. The cookie's content is checked against the
catalogue every time it is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from examples.storefront.catalogue import Catalogue, Product

CART_COOKIE: Final = "cart"
CART_MAX_AGE_S: Final = 30 * 24 * 3600
MAX_LINES: Final = 50
MAX_QUANTITY: Final = 99
_LINE: Final = re.compile(r"([0-9]{1,20})-([0-9]{1,2})")


@dataclass(frozen=True, slots=True)
class CartLine:
    """One product in the cart."""

    product: Product
    quantity: int

    @property
    def total(self) -> Decimal:
        """The price of the whole line."""
        return self.product.price * self.quantity


@dataclass(frozen=True, slots=True)
class Cart:
    """Quantities by product id, in the order in which the products were added. Changes return a new cart."""

    quantities: Mapping[str, int]

    @property
    def count(self) -> int:
        """The number of pieces in the cart."""
        return sum(self.quantities.values())

    def with_added(self, product_id: str) -> Cart:
        """The cart with one more piece; the same cart if a limit is reached."""
        quantity = self.quantities.get(product_id, 0) + 1
        if quantity > MAX_QUANTITY or (quantity == 1 and len(self.quantities) >= MAX_LINES):
            return self
        return Cart({**self.quantities, product_id: quantity})

    def without(self, product_id: str) -> Cart:
        """The cart without this product, whatever its quantity."""
        return Cart({key: quantity for key, quantity in self.quantities.items() if key != product_id})

    def lines(self, catalogue: Catalogue) -> list[CartLine]:
        """The lines of the cart, with their products."""
        lines = ((catalogue.product(product_id), quantity) for product_id, quantity in self.quantities.items())
        return [CartLine(product, quantity) for product, quantity in lines if product is not None]

    def encode(self) -> str:
        """The cookie's value; empty for an empty cart."""
        return ".".join(f"{product_id}-{quantity}" for product_id, quantity in self.quantities.items())


def read_cart(cookie: str | None, catalogue: Catalogue) -> Cart:
    """The cart in a cookie's value. Parts that are malformed or not in the catalogue are left out."""
    quantities: dict[str, int] = {}
    for part in (cookie or "").split(".")[:MAX_LINES]:
        match = _LINE.fullmatch(part)
        if match and int(match[2]) > 0 and catalogue.product(match[1]) is not None:
            quantities[match[1]] = int(match[2])
    return Cart(quantities)
