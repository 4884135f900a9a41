"""The cart of a visitor: adding lines to it, and removing pieces from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_CART_LINES: Final = 200
"""More lines than this push the oldest out. The view shows less."""
MAX_QUANTITY: Final = 10**9

LineKey = tuple[str, str | None]
"""Product id and variant id of a line of the cart."""


@dataclass(slots=True)
class CartLine:
    """One line of the cart. `price`: per piece, an exact decimal string."""

    product_id: str
    variant_id: str | None
    category: str | None
    quantity: int
    price: str | None
    currency: str | None


def add_line(cart: dict[LineKey, CartLine], line: CartLine) -> None:
    """Add a line to the cart, merged with the line of the same product and variant."""
    key = (line.product_id, line.variant_id)
    known = cart.get(key)
    if known is not None:
        line = CartLine(
            line.product_id,
            line.variant_id,
            line.category or known.category,
            min(line.quantity + known.quantity, MAX_QUANTITY),
            line.price if line.price is not None else known.price,
            line.currency if line.price is not None else known.currency,
        )
    cart[key] = line
    if len(cart) > MAX_CART_LINES:
        del cart[next(iter(cart))]


def remove_pieces(cart: dict[LineKey, CartLine], product_id: str, variant_id: str | None, quantity: int | None) -> int:
    """Remove up to `quantity` pieces (None: all) from the cart; without a variant, of any variant. Returns how many were removed."""
    keys = [(product_id, variant_id)]
    if variant_id is None:
        keys += [key for key in cart if key[0] == product_id and key[1] is not None]
    removed = 0
    for key in keys:
        line = cart.get(key)
        if line is None:
            continue
        pieces = line.quantity if quantity is None else min(line.quantity, quantity - removed)
        removed += pieces
        if pieces == line.quantity:
            del cart[key]
        elif pieces:
            line.quantity -= pieces
    return removed
