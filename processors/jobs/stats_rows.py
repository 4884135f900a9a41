"""From facts of persons to the rows of campaign statistics.

    facts ─▶ decisions: one view, at most one click each ─▶ visits: a person's decisions of a campaign, until a long absence
    orders, one of a person and order id ─▶ attributed to the visits that were seen or clicked shortly before
    all of it ─▶ rows by campaign, hour, variant and version of the ruleset

A "visit" here is a person's time with one campaign: it begins with a view and ends when the campaign was not seen for
`return_days`. What a visit brings counts to the variant it began with.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as sf

from gateway.model.statistics.intervals import VisitorSums
from gateway.model.statistics.results import HOUR_MS, StatsRow
from gateway.model.visitors.totals import EXACT
from processors.jobs.stats_facts import CLICK, ORDER, REFUND, VIEW, in_order

DAY_MS: Final = 24 * HOUR_MS
_ROW: Final = ("campaign", "hour", "variant", "version")
_VISIT: Final = ("person", "campaign", "visit")
_MONEY: Final = "decimal(38,6)"
_COUNTS: Final = ("views", "clicks", "conversions", "converted", "moved", "visitors", "v", "c", "vv", "cc", "vc")

Hours = dict[str, dict[int, list[StatsRow]]]


@dataclass(frozen=True, slots=True)
class Rule:
    """For how many days after a view or click an order counts, and after how many days without a view a visitor is a new one."""

    attribution_days: int
    return_days: int


def rows_of(persons: DataFrame, rule: Rule) -> Hours:
    """The rows of every campaign, by hour. Runs the Spark job."""
    decisions = _in_visits(_decisions(persons), rule.return_days).persist(StorageLevel.MEMORY_AND_DISK)
    attributed = _attributed(persons, decisions, rule.attribution_days).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        counted = _happened(decisions, attributed).unionByName(_visitors(decisions, attributed), allowMissingColumns=True)
        counts = counted.groupBy(*_ROW).agg(*(sf.sum(name).alias(name) for name in _COUNTS)).collect()
        revenue = attributed.groupBy(*_ROW, "currency").agg(sf.sum("amount").alias("amount"))
        refunds = _refunded(persons, attributed)
        money = revenue.unionByName(refunds).where("amount is not null and currency is not null")
        sums = money.groupBy(*_ROW, "currency").agg(sf.sum("amount").alias("amount")).collect()
    finally:
        attributed.unpersist()
        decisions.unpersist()
    return _hours(counts, sums)


def _decisions(persons: DataFrame) -> DataFrame:
    """Decisions that were seen: when, and when clicked. A click tells of a view that was lost."""
    place = in_order()
    seen = persons.where(sf.col("kind").isin(VIEW, CLICK))
    first = {kind: sf.min(sf.when(sf.col("kind") == kind, place)) for kind in (VIEW, CLICK)}
    # One decision has one variant and version: its id is signed over them.
    found = seen.groupBy("person", "campaign", "decision").agg(
        sf.min("variant").alias("variant"), sf.min("version").alias("version"), first[VIEW].alias("view"), first[CLICK].alias("click")
    )
    return found.withColumn("view", sf.coalesce("view", "click"))


def _in_visits(decisions: DataFrame, return_days: int) -> DataFrame:
    """Each decision with the number of its visit, and the hour, variant and version that this visit began with."""
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
    """Orders, each with every campaign whose view or click came at most the window before; the latest one says which visit."""
    orders = persons.where(sf.col("kind") == ORDER).groupBy("person", "order_id")
    first = sf.min_by(sf.struct("time_ms", "amount", "currency"), in_order()).alias("order")
    found = orders.agg(first).select("person", "order_id", "order.*")
    visit = ("campaign", "visit", "first_variant", "first_version")
    views = decisions.select("person", *visit, sf.col("view_ms").alias("touch_ms"))
    clicks = decisions.where("click_ms is not null").select("person", *visit, sf.col("click_ms").alias("touch_ms"))
    since_ms = sf.col("time_ms") - sf.col("touch_ms")
    touched = found.join(views.unionByName(clicks), "person").where(since_ms.between(0, attribution_days * DAY_MS))
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
    """What was given back of the attributed orders, negative, in the rows of these orders."""
    refunds = persons.where(sf.col("kind") == REFUND).groupBy("person", "message")
    first = sf.min_by(sf.struct("order_id", "amount", "currency"), sf.struct("received_ms", "topic", "partition", "offset"))
    once = refunds.agg(first.alias("refund")).select("person", "refund.*").withColumn("amount", -sf.col("amount").cast(_MONEY))
    return attributed.drop("amount", "currency").join(once, ["person", "order_id"]).select(*_ROW, "currency", "amount")


def _happened(decisions: DataFrame, attributed: DataFrame) -> DataFrame:
    """Views, clicks and conversions, one row each, in the hour in which they happened."""
    views = decisions.select("campaign", _hour(sf.col("view_ms")).alias("hour"), "variant", "version", _ones("views"))
    clicked = decisions.where("click_ms is not null")
    clicks = clicked.select("campaign", _hour(sf.col("click_ms")).alias("hour"), "variant", "version", _ones("clicks"))
    conversions = attributed.select(*_ROW, _ones("conversions"))
    return views.unionByName(clicks, allowMissingColumns=True).unionByName(conversions, allowMissingColumns=True)


def _visitors(decisions: DataFrame, attributed: DataFrame) -> DataFrame:
    """Visits, one row each, in the hour in which they began."""
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


def _hours(counts: list[Any], sums: list[Any]) -> Hours:
    money: dict[tuple[Any, ...], dict[str, Decimal]] = {}
    for one in sums:
        # Two refunds of an order can leave a sum that is written with an exponent.
        money.setdefault(tuple(one[:4]), {})[one.currency] = _plain(one.amount)
    found: Hours = {}
    for one in counts:
        n = {name: one[name] or 0 for name in _COUNTS}
        row = StatsRow(
            one.variant, one.version, n["views"], n["clicks"], n["conversions"], n["converted"], n["moved"],
            VisitorSums(n["visitors"], n["v"], n["c"], n["vv"], n["cc"], n["vc"]),
            money.get((one.campaign, one.hour, one.variant, one.version), {}),
        )  # fmt: skip
        found.setdefault(one.campaign, {}).setdefault(one.hour, []).append(row)
    return found


def _plain(amount: Decimal) -> Decimal:
    """Without trailing zeros past the cents."""
    whole = amount.normalize(EXACT)
    return whole if whole.as_tuple().exponent < -2 else whole.quantize(Decimal("0.01"))  # type: ignore[operator]
