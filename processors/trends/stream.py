"""The trends stream: Spark micro-batches that count, per time window and product, the visitors who viewed, added and bought it.

    Kafka: page_views, user_actions, purchase_events ─▶ counted_lines ─▶ visitors per window ─▶ the driver (`TrendsKeeper`) ─▶ Redis

Visitors are counted approximately (HyperLogLog++, within a few percent; exact while they are few) and only once per window,
product and kind: retries, copies and a visitor who reloads change nothing, and no visitor id is stored. A batch reports whole
counts, not differences, so a repeated batch does no harm.

An event dated in the future would move the watermark into the future, and everything behind it would be dropped. Such events are
left out before they reach the watermark.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as sf
from pyspark.sql.streaming.query import StreamingQuery

from gateway.model.events.event import AHEAD_LIMIT_MS
from gateway.model.events.fields import MAX_ID_CHARACTERS
from gateway.model.events.topics import Topic
from gateway.model.times import MINUTE_MS
from gateway.model.trends.windows import HORIZON_MS, WINDOW_MS, Counts
from processors.spark.query_watch import JVM_ERRORS
from processors.spark.session import first_line

QUERY_NAME: Final = "trends-stream"
TOPICS: Final = (Topic.PAGE_VIEWS.value, Topic.USER_ACTIONS.value, Topic.PURCHASE_EVENTS.value)
WATERMARK: Final = "10 minutes"
"""How far behind the latest event another event may be dated and still count."""
MAX_RECORDS: Final = 500_000
"""The most records in one batch. While the stream catches up in several batches, events that are further behind the others than
the watermark are lost; this limit is large enough to make that rare, and a batch fits in 1 GB."""
MIN_TRIGGER_S: Final = 1
MAX_TRIGGER_S: Final = 5

_TRIGGER: Final = re.compile(r"(\d{1,3}) seconds?")
_TASKS: Final = 1
"""Source, aggregation and state in one task, without a shuffle: a batch takes as little time as possible from the real-time query
in the same session. One core counts tens of thousands of events per second."""
_PRODUCT: Final = "struct<product_id:string,category:string>"
_RECORD: Final = (
    f"type string, visitor_id string, event_time_ms bigint, payload struct<product:{_PRODUCT},order:struct<products:array<{_PRODUCT}>>>"
)
_VIEW, _CART, _PURCHASE = 0, 1, 2


class BatchFailed(Exception):
    """A batch could not be counted; the text is the cause."""


class ProductCounts(NamedTuple):
    """The counts of one kind for a product in a window, which is named by its start."""

    window_ms: int
    product_id: str
    counts: Counts


@dataclass(frozen=True, slots=True)
class TrendsKafkaSource:
    """Where events come from, and from which time on (ms) if there is no checkpoint yet."""

    bootstrap: str
    from_ms: int


def parse_trends_trigger(text: str) -> str:
    """A trigger that suits this stream. Raises ValueError, which names what is allowed."""
    match = _TRIGGER.fullmatch(text.strip())
    if match is None or not MIN_TRIGGER_S <= int(match[1]) <= MAX_TRIGGER_S:
        raise ValueError(
            f"the trigger of the trends stream must be from '{MIN_TRIGGER_S} second' to '{MAX_TRIGGER_S} seconds', not {text!r}: a "
            "shorter one takes time from the context stream, a longer one makes trends stale"
        )
    return text.strip()


def start_trends_query(
    spark: SparkSession, *, source: TrendsKafkaSource, checkpoint: str, trigger: str, on_counts: Callable[[list[ProductCounts]], None]
) -> StreamingQuery:
    """Start the query and return immediately. `on_counts` gets the counts that a batch changed, in a thread of the query.

    If `on_counts` raises, the query fails; the batch is repeated when the query is started again.
    """
    # Its own session: the other query of this process has other settings.
    session = spark.newSession()
    for name, value in _query_settings().items():
        session.conf.set(name, value)

    def hand_over(batch: DataFrame, _number: int) -> None:
        try:
            rows = batch.collect()
        except JVM_ERRORS as error:
            # Shortened: a query that is being stopped searches the text with a regular expression that recurses along it.
            raise BatchFailed(first_line(error)[:500]) from None
        on_counts([_product_counts(row) for row in rows])

    counts = visitors_per_window(counted_lines(_read_records(session, source)))
    return (
        counts.writeStream.queryName(QUERY_NAME)
        .outputMode("update")
        .foreachBatch(hand_over)
        .option("checkpointLocation", checkpoint)
        .trigger(processingTime=trigger)
        .start()
    )


def _query_settings() -> dict[str, str]:
    return {
        "spark.sql.shuffle.partitions": str(_TASKS),
        # A batch without data, which only drops windows from the state, costs as much as any: they are dropped with the next events.
        "spark.sql.streaming.noDataMicroBatches.enabled": "false",
        "spark.sql.streaming.minBatchesToRetain": "10",
    }


def _read_records(spark: SparkSession, source: TrendsKafkaSource) -> DataFrame:
    """The source topics. Records that Kafka no longer has are lost for trends; the stream continues without them."""
    return (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", source.bootstrap)
        .option("subscribe", ",".join(TOPICS))
        .option("startingTimestamp", str(source.from_ms))
        .option("startingOffsetsByTimestampStrategy", "latest")
        .option("maxOffsetsPerTrigger", str(MAX_RECORDS))
        .option("failOnDataLoss", "false")
        .option("kafka.fetch.max.wait.ms", "50")
        .option("kafka.request.timeout.ms", "5000")
        .option("kafka.default.api.timeout.ms", "6000")
        .option("fetchOffset.numRetries", "20")
        .load()
        .coalesce(_TASKS)
    )


def counted_lines(source: DataFrame) -> DataFrame:
    """(event_time, visitor_id, kind, product_id, category) of the rows of the Kafka source that count; others are skipped.

    Invalid records are not reported here: the context stream turns them into dead letters.
    """
    record = source.select(
        sf.from_json(sf.col("value").cast("string"), _RECORD).alias("record"), sf.col("key").cast("string").alias("key"), "timestamp"
    ).select("record.*", "key", "timestamp")
    products = (
        sf.when(sf.col("type") == "ORDER_COMPLETED", sf.col("payload.order.products"))
        .when(sf.col("type").isin("PRODUCT_VIEWED", "PRODUCT_ADDED"), sf.array("payload.product"))
    )  # fmt: skip
    kind = sf.when(sf.col("type") == "PRODUCT_VIEWED", _VIEW).when(sf.col("type") == "PRODUCT_ADDED", _CART).otherwise(_PURCHASE)
    counted = record.where(_has_valid_time() & (sf.col("visitor_id") == sf.col("key")) & products.isNotNull())
    lines = counted.select(
        sf.timestamp_millis("event_time_ms").alias("event_time"), "visitor_id", kind.alias("kind"), sf.explode(products).alias("product")
    )
    product_id, category = sf.col("product.product_id"), sf.col("product.category")
    return lines.where(_is_valid_id(product_id)).select(
        "event_time", "visitor_id", "kind", product_id.alias("product_id"), sf.when(_is_valid_id(category), category).alias("category")
    )


def _has_valid_time() -> Column:
    """Neither in the future nor before the horizon. A record's own time in Kafka may also be in the future, whoever wrote it."""
    # Rounded to the minute: the time is part of the generated code, which would otherwise be compiled again for every batch.
    now_ms = sf.unix_millis(sf.date_trunc("minute", sf.current_timestamp())) + MINUTE_MS
    limit_ms = sf.least(sf.unix_millis("timestamp"), now_ms) + AHEAD_LIMIT_MS
    return sf.col("event_time_ms").between(now_ms - HORIZON_MS, limit_ms)


def _is_valid_id(text: Column) -> Column:
    return sf.char_length(text).between(1, MAX_ID_CHARACTERS)


def visitors_per_window(events: DataFrame) -> DataFrame:
    """(window_ms, product_id, kind, visitors, category) from the rows of `counted_lines`."""
    window = sf.window("event_time", f"{WINDOW_MS} milliseconds")
    return (
        events.withWatermark("event_time", WATERMARK)
        .groupBy(window.alias("window"), "product_id", "kind")
        .agg(sf.approx_count_distinct("visitor_id").alias("visitors"), sf.max("category").alias("category"))
        .select(sf.unix_millis("window.start").alias("window_ms"), "product_id", "kind", "visitors", "category")
    )


def _product_counts(row: Row) -> ProductCounts:
    count: int = row.visitors
    category: str | None = row.category
    counts = {_VIEW: Counts(count, 0, 0, category), _CART: Counts(0, count, 0, category), _PURCHASE: Counts(0, 0, count, category)}
    return ProductCounts(row.window_ms, row.product_id, counts[row.kind])
