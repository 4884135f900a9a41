"""Rows of campaign statistics, their sums, how far back they are computed, and how they are printed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gateway.commands.stats import campaign_stats_text
from gateway.model.statistics.intervals import VisitorSums
from gateway.model.statistics.results import StatsRow, campaign_result, decode_rows, encode_rows
from gateway.model.times import HOUR_MS

DAY_MS = 24 * HOUR_MS
ROWS = [
    StatsRow("a", 1, 30, 6, 3, 2, 1, VisitorSums(20, 30, 6, 60, 6, 9), {"EUR": Decimal("10.50"), "USD": Decimal("-1")}),
    StatsRow("a", 2, 10, 1, 0, 0, 0, VisitorSums(10, 10, 1, 10, 1, 1), {"EUR": Decimal("0.500001")}),
    StatsRow("b", 1, 12, 12, 1, 1, 0, VisitorSums(12, 12, 12, 12, 12, 12)),
    StatsRow("holdout", 1, 9, 0, 1, 1, 0, VisitorSums(9, 9, 0, 9, 0, 0)),
    StatsRow("gone", 1, 1, 0, 0, 0, 0, VisitorSums()),
]


def test_stored_rows_are_read_back() -> None:
    """To the last decimal, in a fixed order."""
    assert decode_rows(encode_rows(ROWS)) == sorted(ROWS, key=lambda row: (row.variant, row.ruleset_version))
    assert encode_rows(ROWS) == encode_rows(ROWS[::-1])


@pytest.mark.parametrize("stored", [b"[1]", b"{", b'[["a"]]', b'[["a",1,0,0,0,0,0,[0,0,0,0,0,0],{"EUR":"much"}]]'])
def test_rows_that_cannot_be_read_are_refused(stored: bytes) -> None:
    """They are never counted in part."""
    with pytest.raises(ValueError):
        decode_rows(stored)


def test_variants_are_listed_in_the_order_of_the_ruleset_and_compared_with_the_control() -> None:
    """Those of older rulesets follow; a variant without visitors has no comparison."""
    result = campaign_result(ROWS, ["b", "a", "holdout"], "holdout", {})
    assert [variant.variant for variant in result.variants] == ["b", "a", "holdout", "gone"]
    assert (result.control, result.moved) == ("holdout", 1)
    b, a, holdout, gone = result.variants
    assert a.totals.revenue == {"EUR": Decimal("11.000001"), "USD": Decimal("-1")}
    assert (a.click_rate, a.conversion_rate) == (7 / 40, 2 / 30)
    assert (holdout.conversion_comparison, holdout.click_comparison, gone.conversion_comparison) == (None, None, None)
    assert b.conversion_comparison is not None
    assert b.conversion_comparison.difference == pytest.approx(1 / 12 - 1 / 9)


def test_without_the_control_the_first_variant_with_visitors_takes_its_place() -> None:
    """As in a period in which no visitor was held out."""
    assert campaign_result(ROWS[:3], ["b", "a"], "holdout", {}).control == "b"
    assert campaign_result([], ["b"], "b", {}).control is None


def test_only_hours_that_the_log_covers_in_full_are_counted_again() -> None:
    """A visitor who saw the campaign before is not new, so the log must reach back further than the hour itself."""
    pytest.importorskip("pyspark")
    from processors.jobs.batch_job import JobFailed
    from processors.jobs.campaign_stats import first_hour_of
    from processors.jobs.log_metadata import LogStart
    from processors.jobs.stats_rows import AttributionRule

    now_ms, rule = 1_000_000 * HOUR_MS + 5, AttributionRule(attribution_days=7, return_days=14)
    assert first_hour_of([], rule, now_ms) == 0
    assert first_hour_of([LogStart("page_views", 0, None)], rule, now_ms) == 0
    starts = [LogStart("page_views", 0, now_ms - 30 * DAY_MS), LogStart("user_actions", 1, now_ms - 20 * DAY_MS)]
    assert first_hour_of(starts, rule, now_ms) == 1_000_000 - 6 * 24 + 1
    assert first_hour_of(starts, AttributionRule(attribution_days=16, return_days=1), now_ms) == 1_000_000 - 4 * 24 + 1
    with pytest.raises(JobFailed, match=r"reaches back 20\.0 days, too few for --return-days 21"):
        first_hour_of(starts, AttributionRule(7, 21), now_ms)


def answer(**changes: Any) -> dict[str, Any]:
    """A `CampaignStats`."""
    comparison = {"control": "holdout", "difference": 0.0157, "pValue": 0.4, "interval": {"low": -0.061, "high": 0.092}}
    variant = {
        "variant": "a", "views": 1204, "clicks": 61, "conversions": 43, "visitors": 803, "converted": 40, "clickRate": 0.0507,
        "conversionRate": 0.0498, "revenue": [{"amount": "1290.00", "currency": "EUR"}], "clickRateInterval": {"low": 0.038, "high": 0.067},
        "conversionRateInterval": {"low": 0.037, "high": 0.067}, "comparison": comparison, "clickComparison": None,
    }  # fmt: skip
    holdout = {**variant, "variant": "holdout", "revenue": [], "clickRate": None, "comparison": None}
    ratio = {"mismatch": False, "pValue": 0.5, "versionsLeftOut": [], "variants": [{"variant": "a", "observed": 803, "expected": 800.4}]}
    times = {"asOf": "T3", "from": "T1", "to": "T2", "attributionDays": 7}
    return {**times, "movedVisitors": 0, "sampleRatio": ratio, "variants": [variant, holdout], **changes}


def test_an_answer_is_printed_in_columns() -> None:
    """Rates with their intervals, then the differences."""
    lines = campaign_stats_text("sale", answer()).splitlines()
    assert lines[0] == "sale, T1 to T2, as of T3"
    assert lines[3].split("  ")[-1] == "1290.00 EUR"
    assert "5.07 % (3.8 to 6.7)" in lines[3]
    assert lines[6:] == ["conversion rate, compared with holdout", "  a  +1.57 points (-6.1 to +9.2)  p = 0.400: no difference shown"]


def test_reasons_to_doubt_the_numbers_are_printed() -> None:
    """A mismatch, unknown versions, visitors who moved."""
    ratio = {**answer()["sampleRatio"], "mismatch": True, "versionsLeftOut": [3, 4]}
    text = campaign_stats_text("sale", answer(sampleRatio=ratio, movedVisitors=2))
    assert "! visitors are not split by the weights: a 803 (expected 800); do not trust any comparison" in text
    assert "! left out of the test of the split: versions 3, 4" in text
    assert "2 visitors saw more than one variant" in text
    assert campaign_stats_text("sale", answer(variants=[])) == "sale: nothing was counted in this period, as of T3"
