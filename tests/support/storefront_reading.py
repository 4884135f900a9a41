"""The recorded events and the storefront's rules, read by hand: written apart from the gateway's model, for tests to compare with."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from local_stack.check.replay import DATA

HOME: Final = {"type": "home"}


@dataclass(frozen=True)
class Row:
    """A row of the file. `number` counts from 1."""

    number: int
    user_id: str
    kind: str
    product_id: str
    category: str | None


@dataclass(frozen=True)
class Known:
    """What is known of a visitor after some rows. `category_from`: the row that showed the latest interest."""

    cart: dict[str, int]
    orders: int
    category: str | None
    category_from: int | None


def read_rows() -> dict[str, list[Row]]:
    """The rows of the file by user, in its order."""
    found: dict[str, list[Row]] = {}
    with gzip.open(DATA, "rt", encoding="utf-8", newline="") as lines:
        for number, row in enumerate(csv.DictReader(lines), start=1):
            category = row["category_code"].split(".")[-1] or None
            found.setdefault(row["user_id"], []).append(Row(number, row["user_id"], row["event_type"], row["product_id"], category))
    return found


def reading(rows: Iterable[Row]) -> Known:
    """What some rows say, in the order of the file. No visitor in it puts a product into the cart after having bought it."""
    cart: Counter[str] = Counter()
    orders, category, category_from = 0, None, None
    for row in rows:
        if row.category is not None:
            category, category_from = row.category, row.number
        if row.kind == "cart":
            cart[row.product_id] += 1
        elif row.kind == "purchase":
            orders += 1
            cart[row.product_id] -= 1
            cart = +cart
    return Known(dict(cart), orders, category, category_from)


def shown(cart: dict[str, str | None], orders: int, category: str | None, page: dict[str, str] | None) -> str | None:
    """The campaign of the storefront's file, read by hand; `cart`: the categories of its products."""
    if page == HOME and orders >= 1 and not cart:
        return "returning-buyer"
    if page == HOME and len(cart) >= 3:
        return "cart-abundance"
    if page == HOME and {"smartphones", "headphones"} <= set(cart.values()):
        return "phone-with-headphones"
    return "interest-deals" if category else None


HEADLINES: Final = {
    "returning-buyer": "Welcome back! Thank you for your order",
    "cart-abundance": "Free shipping for your full cart",
    "interest-deals": "Exclusive deals on {} and accessories!",
    None: "Welcome! Fresh deals every day",
}
