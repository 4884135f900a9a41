"""Trends: the score of a product, the content of a snapshot, and how both are stored."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.decisions.decide import Inputs, decide
from gateway.model.decisions.decision_id import DecisionToken, open_decision_id, sign, token_of, visitor_hash
from gateway.model.trends.codec import (
    Snapshot,
    UnreadableTrends,
    decode_counts,
    decode_snapshot,
    decode_together,
    encode_counts,
    encode_snapshot,
    encode_together,
    slot_of,
)
from gateway.model.trends.snapshot import MAX_CATEGORIES, TOP_OF_CATEGORY, TOP_PRODUCTS, TrendingProduct, Trends
from gateway.model.trends.windows import HALF_LIFE_MS, HORIZON_MS, WINDOW_MS, WINDOW_PRODUCTS, Counts, Windows, window_of
from tests.support.strategies import SETTINGS, START_MS

NOW_MS = window_of(START_MS)
KEY = b"k" * 32
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
counts = st.builds(Counts, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.none() | st.sampled_from("abc"))
reports = st.lists(st.tuples(st.integers(0, 3).map(lambda n: NOW_MS - n * WINDOW_MS), st.sampled_from("pqr"), counts), max_size=20)


def windows(*reports: tuple[int, str, Counts]) -> Windows:
    merged = Windows()
    for report in reports:
        merged.merge(*report)
    return merged


def test_a_purchase_weighs_more_than_a_cart_and_a_cart_more_than_a_view() -> None:
    """Products with equal scores are in the order of their ids."""
    counted = windows(
        (NOW_MS, "viewed", Counts(views=2)),
        (NOW_MS, "added", Counts(carts=1)),
        (NOW_MS, "bought", Counts(purchases=1)),
        (NOW_MS, "all", Counts(1, 1, 1)),
        (NOW_MS, "also", Counts(views=5)),
    )
    assert [(product.product_id, product.score) for product in counted.ranked(NOW_MS)] == [
        ("all", 26.0), ("bought", 20.0), ("added", 5.0), ("also", 5.0), ("viewed", 2.0),
    ]  # fmt: skip


def test_a_score_halves_with_each_half_life_and_ends_at_the_horizon() -> None:
    """It changes when a window ends, not in between."""
    counted = windows((NOW_MS, "p", Counts(views=8, category="tv")))

    def score(after_ms: int) -> float:
        return sum(product.score for product in counted.ranked(NOW_MS + after_ms))

    assert [score(n * HALF_LIFE_MS) for n in range(4)] == [8.0, 4.0, 2.0, 1.0]
    assert score(0) == score(WINDOW_MS - 1) > score(WINDOW_MS)
    assert score(HORIZON_MS - 1) > 0 == score(HORIZON_MS)
    counted.drop_expired(NOW_MS + HORIZON_MS)
    assert len(counted) == 0


@SETTINGS
@given(reports, st.randoms())
def test_any_order_and_any_repetition_of_reports_leads_to_the_same_counts(
    drawn: list[tuple[int, str, Counts]], chance: random.Random
) -> None:
    """Counts are merged by taking the greater of each; a report without anything new changes nothing."""
    again = drawn + chance.sample(drawn, len(drawn) // 2)
    chance.shuffle(again)
    merged = windows(*drawn)
    assert windows(*again).as_dict() == merged.as_dict()
    assert all(merged.merge(*report) is None for report in drawn)


def test_the_category_is_that_of_the_newest_window_that_names_one() -> None:
    """A shop may move a product to another category."""
    old = NOW_MS - WINDOW_MS
    counted = windows((old, "p", Counts(1, category="old")), (NOW_MS, "p", Counts(1, category="new")), (NOW_MS, "q", Counts(1)))
    counted.merge(NOW_MS + WINDOW_MS, "p", Counts(views=1))
    counted.merge(old, "q", Counts(views=1, category="tv"))
    assert {product.product_id: product.category for product in counted.ranked(NOW_MS + WINDOW_MS)} == {"p": "new", "q": "tv"}


def test_a_snapshot_is_bounded() -> None:
    """It holds the strongest of all, and the strongest of each of the strongest categories."""
    reports = [(NOW_MS, f"p{n:05}", Counts(views=1 + n // 100, category=f"c{n % (MAX_CATEGORIES + 20)}")) for n in range(10_000)]
    trends = Trends(1, NOW_MS, windows(*reports).ranked(NOW_MS))
    strongest = sorted(reports, key=lambda item: (-item[2].views, item[1]))
    assert [item.product_id for item in trends.products[:TOP_PRODUCTS]] == [product_id for _, product_id, _ in strongest[:TOP_PRODUCTS]]
    assert list(trends.values["products"]) == [item.product_id for item in trends.products[:TOP_PRODUCTS]]
    assert len(trends.products) <= TOP_PRODUCTS + MAX_CATEGORIES * TOP_OF_CATEGORY
    assert len(trends.by_category["c0"]) == TOP_OF_CATEGORY
    assert sum(len(products) == TOP_OF_CATEGORY for products in trends.by_category.values()) == MAX_CATEGORIES
    assert list(trends.products) == sorted(trends.products, key=lambda item: (-item.score, item.product_id))


def test_a_window_keeps_its_strongest_products() -> None:
    """The dropped products are returned; they come back with their next report."""
    reports = [(NOW_MS, f"p{n}", Counts(views=n)) for n in range(2 * WINDOW_PRODUCTS + 1)]
    counted = windows(*reports)
    dropped = counted.drop_weakest()[NOW_MS]
    assert (len(counted), len(dropped), "p0" in dropped) == (WINDOW_PRODUCTS, WINDOW_PRODUCTS + 1, True)
    assert counted.drop_weakest() == {}
    assert counted.merge(NOW_MS, "p0", Counts(views=3)) == Counts(views=3)


@SETTINGS
@given(counts, st.lists(st.builds(TrendingProduct, texts, st.none() | texts, st.floats(0.001, 1e6)), max_size=5), st.integers(0, 2**31))
def test_what_is_stored_is_read_back(product_counts: Counts, products: list[TrendingProduct], number: int) -> None:
    """Counts, snapshots, and products bought together."""
    assert decode_counts(encode_counts(product_counts)) == product_counts
    snapshot = Snapshot(number, number * 1000 + 7, number, tuple(products))
    assert decode_snapshot(encode_snapshot(snapshot)) == snapshot
    together = {product.product_id: ("a", "b") for product in products}
    assert decode_together(encode_together(together)) == together
    assert snapshot.trends(together).is_complete
    assert snapshot.trends(None).is_complete is (number == 0)


@pytest.mark.parametrize("raw", [b"", b"x", b"[1]", b'[1,2,"3",null]', b"[1,2,3,4]", encode_together({}), b'{"a":1}'])
def test_garbage_is_unreadable(raw: bytes) -> None:
    """No other error is raised."""
    for decode in (decode_counts, decode_snapshot):
        with pytest.raises(UnreadableTrends):
            decode(raw)
    if not raw.startswith(b"x\x9c"):
        with pytest.raises(UnreadableTrends):
            decode_together(raw)


def test_a_snapshot_is_numbered_by_its_time_slot() -> None:
    """Numbers grow with time whatever the period is; all moments of a slot have the same number."""
    assert slot_of(1_790_000_029_999, 30) == 1_790_000_010
    assert slot_of(1_790_000_040_000, 30) == 1_790_000_040
    assert slot_of(1_790_000_039_999, 1) == 1_790_000_039


RULES = """version: 1
placements: {{top: {{fallback: {{headline: Hello{fallback}}}}}}}
campaigns:
- {{id: c, placement: top, when: '{when}', banner: {{headline: Hot{products}}}}}
"""


@pytest.mark.parametrize(
    ("fields", "uses"),
    [
        ({}, False),
        ({"when": '"trends" in traits'}, False),
        ({"when": '"p" in trends.products'}, True),
        ({"products": ", products: {rule: last_seen}"}, True),
        ({"fallback": ", products: {rule: trending}"}, True),
    ],
)
def test_a_ruleset_knows_whether_it_uses_trends(fields: dict[str, str], uses: bool) -> None:
    """Only then do open pages get new decisions with each snapshot."""
    assert load_ruleset(RULES.format(**{"fallback": "", "when": "true", "products": "", **fields}), 1).uses_trends is uses


def test_a_decision_id_names_the_snapshot() -> None:
    """An id of an older release, which names none, can still be read."""
    trends = Trends(1_790_000_010, NOW_MS, (TrendingProduct("p", "tv", 1.0),))
    ruleset = load_ruleset(RULES.format(fallback="", when='"p" in trends.products', products=""), 1)
    decision = decide(ruleset, "top", Inputs(None, None, NOW_MS, trends=trends))
    token = token_of(decision, "cursor", NOW_MS, visitor_hash(KEY, "u"))
    assert (decision.campaign_id, token.trends_snapshot) == ("c", 1_790_000_010)
    assert open_decision_id(KEY, sign(KEY, token)) == token
    assert open_decision_id(KEY, OLD_ID) == DecisionToken("top", "c", None, 1, "b", "cursor", 5, b"12345678", False)


OLD_ID = "mgGjdG9woWPAAaFipmN1cnNvcgXECDEyMzQ1Njc4wuHXARALoDOWiyfBkg"
