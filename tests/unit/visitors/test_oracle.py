"""The view compared with a second implementation of the same rules: plain loops over records in order, sharing no code.

Here everything is received when it happens; `test_context_view` has examples for two clocks that disagree.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.visitors.context_view import view
from gateway.model.visitors.state import State, absorb
from tests.support.strategies import DAY_MS, SETTINGS, SHOPPING, VISITOR, events, logged

Record = dict[str, Any]
WEIGHTS = {"PRODUCT_LIST_VIEWED": 0.5, "PRODUCT_VIEWED": 1, "PRODUCT_CLICKED": 1, "PRODUCT_ADDED": 3, "ORDER_COMPLETED": 5}


def touched_products(record: Record) -> list[Record]:
    """The products of a record, if it shows an interest in them."""
    payload = record["payload"]
    if record["type"] == "ORDER_COMPLETED":
        products: list[Record] = payload["order"].get("products", [])
        return products
    return [payload["product"]] if "product" in payload else []


def recent_products(records: list[Record]) -> list[str]:
    seen: list[str] = []
    for record in reversed(records):
        for product in reversed(touched_products(record)):
            if product["product_id"] not in seen:
                seen.append(product["product_id"])
    return seen


def touches(records: list[Record]) -> list[tuple[str, float, int]]:
    """Category, weight and time of everything that shows interest."""
    interests_shown = []
    for record in records:
        weight = WEIGHTS.get(record["type"])
        if weight is None:
            continue
        subjects = [record["payload"]] if record["type"] == "PRODUCT_LIST_VIEWED" else touched_products(record)
        interests_shown += [(s["category"], weight, record["event_time_ms"]) for s in subjects if s.get("category")]
    return interests_shown


def interests(records: list[Record]) -> dict[str, float]:
    """A sum of weights, each halved for every day since."""
    now_ms = max((record["event_time_ms"] for record in records), default=0)
    scores: dict[str, float] = {}
    for category, weight, at_ms in touches(records):
        scores[category] = scores.get(category, 0) + weight * 0.5 ** ((now_ms - at_ms) / DAY_MS)
    return scores


def cart(records: list[Record]) -> list[tuple[str, str | None, int]]:
    """Every piece in the cart is one entry of a list; an order or a removal removes entries."""
    pieces: list[tuple[str, str | None]] = []
    orders = set()
    for record in records:
        payload = record["payload"]
        match record["type"]:
            case "PRODUCT_ADDED":
                pieces += pieces_of(payload["product"])
            case "CART_UPDATED":
                pieces = [piece for product in payload["products"] for piece in pieces_of(product)]
            case "PRODUCT_REMOVED":
                product = payload["product"]
                take(pieces, product, product.get("quantity", len(pieces)))
            case "ORDER_COMPLETED" if payload["order"]["order_id"] not in orders:
                orders.add(payload["order"]["order_id"])
                for product in payload["order"].get("products", []):
                    take(pieces, product, product.get("quantity", 1))
    lines = list(dict.fromkeys(pieces))
    return [(product_id, variant_id, pieces.count((product_id, variant_id))) for product_id, variant_id in lines]


def pieces_of(product: Record) -> list[tuple[str, str | None]]:
    return [(product["product_id"], product.get("variant_id"))] * product.get("quantity", 1)


def take(pieces: list[tuple[str, str | None]], product: Record, count: int) -> None:
    """Remove pieces of exactly this variant first; if none is named, then of any, in the order in which they were added."""
    exact = (product["product_id"], product.get("variant_id"))
    variants = [exact]
    if exact[1] is None:
        variants += [piece for piece in dict.fromkeys(pieces) if piece[0] == exact[0] and piece != exact]
    for variant in variants:
        while count and variant in pieces:
            pieces.remove(variant)
            count -= 1


@st.composite
def histories(draw: st.DrawFn) -> list[Any]:
    count = draw(st.integers(1, 16))
    return [draw(events(f"m{index:02d}", types=SHOPPING, received_at_once=True)) for index in range(count)]


@SETTINGS
@given(histories())
def test_carts_interests_and_recent_products_are_those_of_the_oracle(drawn: list[Any]) -> None:
    """Whatever a visitor does, the context is what a reader of the log in order would compute."""
    context = view(absorb(State(VISITOR), logged(drawn))[0])
    records = [event.record() for event in sorted(drawn, key=lambda e: (e.event_time_ms, e.sequence or 0, e.message_id))]
    assert sorted((line["product_id"], line["variant_id"] or "", line["quantity"]) for line in context["cart"]) == sorted(
        (product_id, variant_id or "", quantity) for product_id, variant_id, quantity in cart(records)
    )
    assert context["recent_products"] == recent_products(records)
    assert context["interests"] == pytest.approx(interests(records), abs=2e-6)
    latest = touches(records)
    assert context["interested_category"] == (latest[-1][0] if latest else None)
