"""What the contexts must be after a replay of the recorded events, computed from the file alone.

This is deliberately independent of the gateway's model: it reads the file in order, one event after the other, and keeps plain totals.
It knows only what the recorded data contains: views, additions to the cart, removals, and orders of one product.
"""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

DAY_SECONDS = 86_400
WEIGHTS = {"view": 1, "cart": 3, "purchase": 5}


@dataclass
class Shopper:
    """The totals of a visitor of the file."""

    seconds: list[float] = field(default_factory=list)
    interests: list[tuple[str, float, int]] = field(default_factory=list)
    category: str | None = None
    products: list[str] = field(default_factory=list)
    cart: dict[str, int] = field(default_factory=dict)
    orders: int = 0
    spent: Decimal = Decimal(0)

    def apply(self, row: dict[str, str]) -> None:
        """Add a row of the file."""
        moment = datetime.fromisoformat(row["event_time"].replace(" UTC", "+00:00")).timestamp()
        self.seconds.append(moment)
        product, kind = row["product_id"], row["event_type"]
        category = row["category_code"].split(".")[-1]
        if category and kind in WEIGHTS:
            self.category = category
            self.interests.append((category, moment, WEIGHTS[kind]))
        self.products = [product, *(p for p in self.products if p != product)]
        if kind == "cart":
            self.cart[product] = self.cart.get(product, 0) + 1
        elif kind == "remove_from_cart":
            self.cart.pop(product, None)
        elif kind == "purchase":
            self.orders += 1
            self.spent += Decimal(row["price"])
            if product in self.cart:
                self.cart[product] -= 1
                if not self.cart[product]:
                    del self.cart[product]

    def scores(self) -> dict[str, float]:
        """Interest by category as of the last event; the half-life is one day."""
        scores: dict[str, float] = {}
        for category, moment, weight in self.interests:
            scores[category] = scores.get(category, 0.0) + weight * 0.5 ** ((self.seconds[-1] - moment) / DAY_SECONDS)
        return scores


def read_shoppers(file: Path, limit: int | None = None) -> dict[str, Shopper]:
    """All visitors of the file, or of its first `limit` events, by user id."""
    shoppers: dict[str, Shopper] = {}
    with gzip.open(file, "rt", encoding="utf-8", newline="") as lines:
        for row in islice(csv.DictReader(lines), limit):
            shoppers.setdefault(row["user_id"], Shopper()).apply(row)
    return shoppers


def differences(shopper: Shopper, context: dict[str, Any] | None) -> list[str]:
    """How a context differs from the file, in words; empty if it does not."""
    if context is None:
        return ["there is no context"]
    scores = shopper.scores()
    expected: dict[str, Any] = {
        "version": len(shopper.seconds),
        "interested_category": shopper.category,
        "recent_products": shopper.products[:50],
        "cart": shopper.cart,
        "purchases": (shopper.orders, shopper.spent if shopper.orders else None),
        "interests": sorted(scores),
    }
    total = context["purchases"]["totals"].get("USD")
    actual: dict[str, Any] = {
        "version": context["version"],
        "interested_category": context["interested_category"],
        "recent_products": context["recent_products"],
        "cart": {line["product_id"]: line["quantity"] for line in context["cart"]},
        "purchases": (context["purchases"]["count"], None if total is None else Decimal(total)),
        "interests": sorted(context["interests"]),
    }
    problems = [f"{name} is {actual[name]!r}, must be {expected[name]!r}" for name in expected if actual[name] != expected[name]]
    for category, score in scores.items():
        if abs(context["interests"].get(category, 0.0) - score) > 1e-5:
            problems.append(f"interest in {category} is {context['interests'].get(category)}, must be {score:.6f}")
    return problems
