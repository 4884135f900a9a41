"""The event log as a batch: everything that the topics hold now, for jobs that end.

    Kafka ─▶ read_log: rows ─▶ events_in: events with their positions, checked as the context writer checks them

A job reads the log up to its end at the start of the job; the next run reads what was written since.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import orjson
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as sf

from gateway.model.events.contribution import LoggedEvent, Position
from gateway.model.events.event import check_record
from gateway.model.events.fields import InvalidEvent
from gateway.model.events.topics import SOURCE_TOPICS

if TYPE_CHECKING:
    from pyspark import RDD

SOURCES: Final = tuple(topic.value for topic in SOURCE_TOPICS)


def read_log(spark: SparkSession, bootstrap: str, topics: Sequence[str] = SOURCES, from_ms: int | None = None) -> DataFrame:
    """The records of some topics: topic, partition, offset, timestamp_ms (when Kafka stored it), key and value (both binary).

    `from_ms`: only what Kafka stored from that time on; a partition without such a record adds none.
    """
    reader = (
        spark.read.format("kafka")
        .option("kafka.bootstrap.servers", bootstrap)
        .option("subscribe", ",".join(topics))
        .option("endingOffsets", "latest")
        .option("failOnDataLoss", "true")
    )
    if from_ms is None:
        reader = reader.option("startingOffsets", "earliest")
    else:
        reader = reader.option("startingTimestamp", str(from_ms)).option("startingOffsetsByTimestampStrategy", "latest")
    return reader.load().select(
        "topic", "partition", "offset", sf.unix_millis("timestamp").alias("timestamp_ms"), sf.col("key"), sf.col("value")
    )


def events_in(log: DataFrame) -> RDD[LoggedEvent]:
    """The events in `read_log`'s rows that the context writer accepts; the others are dead letters and are left out.

    The same message may occur more than once: see `counted_once`.
    """
    return log.rdd.mapPartitions(_valid_events)


def counted_once(events: RDD[LoggedEvent]) -> RDD[LoggedEvent]:
    """Each message of a visitor id once: the copy with the smallest (received_at_ms, position), as in `absorb`."""
    return events.keyBy(_message_key).reduceByKey(_first_copy).values()


def _message_key(logged: LoggedEvent) -> tuple[str, str]:
    return logged.event.visitor_id, logged.event.message_id


def _first_copy(one: LoggedEvent, other: LoggedEvent) -> LoggedEvent:
    return min(one, other, key=lambda logged: (logged.event.received_at_ms, logged.position))


def _valid_events(rows: Iterable[Row]) -> Iterator[LoggedEvent]:
    for row in rows:
        try:
            event = check_record(orjson.loads(row.value or b""))
        except (InvalidEvent, orjson.JSONDecodeError):
            continue
        if row.key is not None and bytes(row.key) == event.visitor_id.encode():
            yield LoggedEvent(Position(row.topic, row.partition, row.offset), event)
