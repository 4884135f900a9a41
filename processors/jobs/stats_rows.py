"""From facts of persons to the rows of campaign statistics.

    facts ─▶ decisions: one view and at most one click each ─▶ visits: a person's decisions of a campaign, up to a long absence
    orders, one for each person and order id ─▶ attributed to the visits with a view or click shortly before
    both ─▶ rows by campaign, hour, variant and version of the ruleset

A "visit" here is a person's time with one campaign: it starts with a view and ends when the campaign was not seen for
`return_days`. The results of a visit count for the variant that it started with.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as sf

from gateway.model.statistics.intervals import VisitorSums
from gateway.model.statistics.results import StatsRow
from gateway.model.times import DAY_MS, HOUR_MS
from gateway.model.visitors.totals import EXACT
from processors.jobs.stats_facts import CLICK, ORDER, REFUND, VIEW, history_key

_ROW: Final = ("campaign", "hour", "variant", "version")
_VISIT: Final = ("person", "campaign", "visit")
_MONEY: Final = "decimal(38,6)"
_COUNTS: Final = ("views", "clicks", "conversions", "converted", "moved", "visitors", "v", "c", "vv", "cc", "vc")

Hours = dict[str, dict[int, list[StatsRow]]]


@dataclass(frozen=True, slots=True)
class AttributionRule:
    """How many days after a view or click an order counts, and after how many days without a view a visitor counts as new."""

    attribution_days: int
    return_days: int


def rows_of(persons: DataFrame, rule: AttributionRule) -> Hours:
    """The rows of every campaign, by hour. Runs the Spark job."""
    decisions = _in_visits(_decisions(persons), rule.return_days).persist(StorageLevel.MEMORY_AND_DISK)
    attributed = _attributed(persons, decisions, rule.attribution_days).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        counted = _happenings(decisions, attributed).unionByName(_visitors(decisions, attributed), allowMissingColumns=True)
        counts = counted.groupBy(*_ROW).agg(*(sf.sum(name).alias(name) for name in _COUNTS)).collect()
        revenue = attributed.groupBy(*_ROW, "currency").agg(sf.sum("amount").alias("amount"))
        refunds = _refunded(persons, attributed)
        money = revenue.unionByName(refunds).where("amount is not null and currency is not null")
        sums = money.groupBy(*_ROW, "currency").agg(sf.sum("amount").alias("amount")).collect()
    finally:
        attributed.unpersist()
        decisions.unpersist()
    return _rows_by_hour(counts, sums)


def _decisions(persons: DataFrame) -> DataFrame:
    """Decisions that were seen, with the times of view and click. A click without a view means that the view was lost."""
    key = history_key()
    seen = persons.where(sf.col("kind").isin(VIEW, CLICK))
    first = {kind: sf.min(sf.when(sf.col("kind") == kind, key)) for kind in (VIEW, CLICK)}
    # A decision has one variant and one version: its id is signed over them.
    decisions = seen.groupBy("person", "campaign", "decision").agg(
        sf.min("variant").alias("variant"), sf.min("version").alias("version"), first[VIEW].alias("view"), first[CLICK].alias("click")
    )
    return decisions.withColumn("view", sf.coalesce("view", "click"))


def _in_visits(decisions: DataFrame, return_days: int) -> DataFrame:
    """Each decision with the number of its visit, and the hour, variant and version that the visit started with."""
    ordered = Window.partitionBy("person", "campaign").orderBy("view", "decision")
    absence = sf.col("view.time_ms") - sf.lag("view.time_ms").over(ordered)
    numbered = decisions.withColumn("begins", sf.coalesce(absence > return_days * DAY_MS, sf.lit(True)).cast("int"))
    numbered = numbered.withColumn("visit", sf.sum("begins").over(ordered.rowsBetween(Window.unboundedPreceding, Window.currentRow)))
    visit = Window.partitionBy(*_VISIT).orderBy("view", "decision")
    first = {name: sf.first(name).over(visit) for name in ("variant", "version")}
    return numbered.select(
        *_VISIT, "variant", "version",
        sf.col("view.time_ms").alias("view_ms"),
        sf.col("click.time_ms").alias("click_ms"),
        first["variant"].alias("first_variant"),
        first["version"].alias("first_version"),
        _hour(sf.first("view.time_ms").over(visit)).alias("first_hour"),
    )  # fmt: skip


def _attributed(persons: DataFrame, decisions: DataFrame, attribution_days: int) -> DataFrame:
    """Orders, once for each campaign with a view or click at most `attribution_days` before; the latest of them names the visit."""
    orders = persons.where(sf.col("kind") == ORDER).groupBy("person", "order_id")
    first = sf.min_by(sf.struct("time_ms", "amount", "currency"), history_key()).alias("order")
    first_orders = orders.agg(first).select("person", "order_id", "order.*")
    visit = ("campaign", "visit", "first_variant", "first_version")
    views = decisions.select("person", *visit, sf.col("view_ms").alias("touch_ms"))
    clicks = decisions.where("click_ms is not null").select("person", *visit, sf.col("click_ms").alias("touch_ms"))
    since_ms = sf.col("time_ms") - sf.col("touch_ms")
    touched = first_orders.join(views.unionByName(clicks), "person").where(since_ms.between(0, attribution_days * DAY_MS))
    latest = touched.groupBy("person", "campaign", "order_id").agg(
        sf.max_by(sf.struct(*visit[1:]), sf.struct("touch_ms", "visit")).alias("visit"),
        *(sf.first(name).alias(name) for name in ("time_ms", "amount", "currency")),
    )
    return latest.select(
        "person", "campaign", "order_id", "visit.visit", _hour(sf.col("time_ms")).alias("hour"), "currency",
        sf.col("visit.first_variant").alias("variant"),
        sf.col("visit.first_version").alias("version"),
        sf.col("amount").cast(_MONEY).alias("amount"),
    )  # fmt: skip


def _refunded(persons: DataFrame, attributed: DataFrame) -> DataFrame:
    """Refunds of the attributed orders as negative amounts, in the rows of these orders."""
    refunds = persons.where(sf.col("kind") == REFUND).groupBy("person", "message")
    first = sf.min_by(sf.struct("order_id", "amount", "currency"), sf.struct("received_ms", "topic", "partition", "offset"))
    once = refunds.agg(first.alias("refund")).select("person", "refund.*").withColumn("amount", -sf.col("amount").cast(_MONEY))
    return attributed.drop("amount", "currency").join(once, ["person", "order_id"]).select(*_ROW, "currency", "amount")


def _happenings(decisions: DataFrame, attributed: DataFrame) -> DataFrame:
    """Views, clicks and conversions, one row each, in the hour when they happened."""
    views = decisions.select("campaign", _hour(sf.col("view_ms")).alias("hour"), "variant", "version", _ones("views"))
    clicked = decisions.where("click_ms is not null")
    clicks = clicked.select("campaign", _hour(sf.col("click_ms")).alias("hour"), "variant", "version", _ones("clicks"))
    conversions = attributed.select(*_ROW, _ones("conversions"))
    return views.unionByName(clicks, allowMissingColumns=True).unionByName(conversions, allowMissingColumns=True)


def _visitors(decisions: DataFrame, attributed: DataFrame) -> DataFrame:
    """Visits, one row each, in the hour when they started."""
    visits = decisions.groupBy(
        *_VISIT, sf.col("first_hour").alias("hour"), sf.col("first_variant").alias("variant"), sf.col("first_version").alias("version")
    ).agg(
        sf.count(sf.lit(1)).alias("v"),
        sf.count("click_ms").alias("c"),
        sf.max((sf.col("variant") != sf.col("first_variant")).cast("int")).alias("moved"),
    )
    converted = attributed.select(*_VISIT).distinct().withColumn("converted", sf.lit(1))
    v, c = sf.col("v"), sf.col("c")
    squares = {"vv": v * v, "cc": c * c, "vc": v * c}
    return visits.join(converted, list(_VISIT), "left").withColumns(squares).withColumn("visitors", sf.lit(1)).drop("person", "visit")


def _hour(time_ms: Column) -> Column:
    return sf.floor(time_ms / HOUR_MS)


def _ones(name: str) -> Column:
    return sf.lit(1).alias(name)


def _rows_by_hour(counts: list[Any], sums: list[Any]) -> Hours:
    money: dict[tuple[Any, ...], dict[str, Decimal]] = {}
    for total in sums:
        # Two refunds of an order can leave a sum that is written with an exponent.
        money.setdefault(tuple(total[:4]), {})[total.currency] = _without_trailing_zeros(total.amount)
    hours: Hours = {}
    for count in counts:
        n = {name: count[name] or 0 for name in _COUNTS}
        row = StatsRow(
            count.variant, count.version, n["views"], n["clicks"], n["conversions"], n["converted"], n["moved"],
            VisitorSums(n["visitors"], n["v"], n["c"], n["vv"], n["cc"], n["vc"]),
            money.get((count.campaign, count.hour, count.variant, count.version), {}),
        )  # fmt: skip
        hours.setdefault(count.campaign, {}).setdefault(count.hour, []).append(row)
    return hours


def _without_trailing_zeros(amount: Decimal) -> Decimal:
    """The same amount with at least two decimals, and no zeros after them."""
    whole = amount.normalize(EXACT)
    return whole if whole.as_tuple().exponent < -2 else whole.quantize(Decimal("0.01"))  # type: ignore[operator]
