"""The event log as a batch: what the topics hold now, in full, for jobs that end.

    Kafka ─▶ read_log: rows ─▶ events_in: checked events with their places, by the checks that the context writer uses

A job sees the log as it is at its start: what is written meanwhile is left to the next run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import orjson
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as sf

from gateway.model.events.contribution import Position
from gateway.model.events.event import Event, check_record
from gateway.model.events.fields import InvalidEvent
from gateway.model.events.topics import SOURCE_TOPICS

if TYPE_CHECKING:
    from pyspark import RDD

SOURCES: Final = tuple(topic.value for topic in SOURCE_TOPICS)


def read_log(spark: SparkSession, bootstrap: str, topics: Sequence[str] = SOURCES, from_ms: int | None = None) -> DataFrame:
    """The records of some topics: topic, partition, offset, timestamp_ms (when Kafka took it), key and value (both binary).

    `from_ms`: only what Kafka took from that moment on; a partition without any such record gives none.
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


def events_in(log: DataFrame) -> RDD[tuple[Position, Event]]:
    """The events of `read_log`'s rows, those that the context writer accepts; the others are dead letters and left out.

    A message may be in it several times: see `counted_once`.
    """
    return log.rdd.mapPartitions(_checked)


def counted_once(events: RDD[tuple[Position, Event]]) -> RDD[tuple[Position, Event]]:
    """Each message of a visitor id once: of copies the one with the smallest (received_at_ms, position), as in `absorb`."""
    return events.keyBy(_message_of).reduceByKey(_first_copy).values()


def _message_of(found: tuple[Position, Event]) -> tuple[str, str]:
    return found[1].visitor_id, found[1].message_id


def _first_copy(one: tuple[Position, Event], other: tuple[Position, Event]) -> tuple[Position, Event]:
    return min(one, other, key=lambda found: (found[1].received_at_ms, found[0]))


def _checked(rows: Iterable[Row]) -> Iterator[tuple[Position, Event]]:
    for row in rows:
        try:
            event = check_record(orjson.loads(row.value or b""))
        except (InvalidEvent, orjson.JSONDecodeError):
            continue
        if row.key is not None and bytes(row.key) == event.visitor_id.encode():
            yield Position(row.topic, row.partition, row.offset), event
