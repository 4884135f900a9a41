"""How trends are stored: counts as small JSON lists, snapshots and products bought together as compressed JSON.

counts     [views, carts, purchases, category]
snapshot   {"number", "taken_at_ms", "together", "products": [[product id, category, score], …]}
together   {product id: [product ids, …]}
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.model.trends.snapshot import TrendingProduct, Trends
from gateway.model.trends.windows import Counts

BoughtTogether = Mapping[str, tuple[str, ...]]
"""For a product id, the ids of the products bought with it, strongest first."""


class UnreadableTrends(ValueError):
    """Bytes that are in none of these forms."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot as it is stored, with the version of the products bought together (0: none)."""

    number: int
    taken_at_ms: int
    together_version: int
    products: tuple[TrendingProduct, ...]

    def trends(self, together: BoughtTogether | None) -> Trends:
        """The snapshot with its products bought together; None: that version is no longer kept."""
        is_complete = together is not None or self.together_version == 0
        return Trends(self.number, self.taken_at_ms, self.products, together or {}, self.together_version, is_complete)


def slot_of(time_ms: int, period_s: int) -> int:
    """The number of the snapshot that is taken at a moment: the unix second at which its time slot of `period_s` starts."""
    second = time_ms // 1000
    return second - second % period_s


def encode_counts(counts: Counts) -> bytes:
    """The value of a product in a window's hash."""
    return _json([counts.views, counts.carts, counts.purchases, counts.category])


def decode_counts(raw: bytes) -> Counts:
    """The inverse of `encode_counts`. Raises `UnreadableTrends`."""
    try:
        views, carts, purchases, category = json.loads(raw)
        if not all(type(number) is int for number in (views, carts, purchases)) or not isinstance(category, str | None):
            raise ValueError
    except (ValueError, TypeError) as problem:
        raise UnreadableTrends("not the counts of a product") from problem
    return Counts(views, carts, purchases, category)


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """The stored form of a snapshot."""
    products = [[product.product_id, product.category, product.score] for product in snapshot.products]
    head = {"number": snapshot.number, "taken_at_ms": snapshot.taken_at_ms, "together": snapshot.together_version}
    return zlib.compress(_json({**head, "products": products}))


def decode_snapshot(raw: bytes) -> Snapshot:
    """The inverse of `encode_snapshot`. Raises `UnreadableTrends`."""
    try:
        fields = json.loads(zlib.decompress(raw))
        products = tuple(TrendingProduct(str(product_id), category, float(score)) for product_id, category, score in fields["products"])
        return Snapshot(int(fields["number"]), int(fields["taken_at_ms"]), int(fields["together"]), products)
    except (ValueError, KeyError, TypeError, zlib.error) as problem:
        raise UnreadableTrends("not a snapshot of the trends") from problem


def encode_together(together: BoughtTogether) -> bytes:
    """The stored form of the products bought together."""
    return zlib.compress(_json({product_id: list(companions) for product_id, companions in together.items()}))


def decode_together(raw: bytes) -> BoughtTogether:
    """The inverse of `encode_together`. Raises `UnreadableTrends`."""
    try:
        return {product_id: tuple(companions) for product_id, companions in json.loads(zlib.decompress(raw)).items()}
    except (ValueError, AttributeError, TypeError, zlib.error) as problem:
        raise UnreadableTrends("not a list of products bought together") from problem


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
