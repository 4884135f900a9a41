"""The context stream: one Spark query from the source topics to `context_updates` and `dead_letters`.

    Kafka: page_views, user_clicks, user_actions, purchase_events ─▶ reshape ─▶ Kafka: context_updates, dead_letters

The sink writes at least once: after a crash the records since the last checkpoint (in real-time mode, up to a whole checkpoint
interval) are written again, with the same content but not always in the same order. The context writer ignores the copies.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from gateway.model.events.topics import SOURCE_TOPICS
from processors.context.reshape import reshape
from processors.spark.session import checkpoint_of

QUERY_NAME: Final = "context-stream"
MIN_CHECKPOINT_INTERVAL_S: Final = 5
_UNITS_S: Final = {"second": 1, "minute": 60, "hour": 3600}
_INTERVAL: Final = re.compile(r"(\d{1,6}) (second|minute|hour)s?")


@dataclass(frozen=True, slots=True)
class KafkaSource:
    """Topics to read, from their start if there is no checkpoint. `bootstrap` is `host:port`, comma-separated."""

    bootstrap: str
    topics: tuple[str, ...] = tuple(topic.value for topic in SOURCE_TOPICS)


@dataclass(frozen=True, slots=True)
class KafkaSink:
    """Where rows are written; each row names its topic."""

    bootstrap: str


@dataclass(frozen=True, slots=True)
class Trigger:
    """When records are processed.

    `realtime`: each one immediately; `interval` is how often progress is written to the checkpoint.
    `interval`: in micro-batches, one every `interval`.  `available-now`: all records that exist now; then the query ends.
    """

    kind: str
    interval: str = ""

    @classmethod
    def parse(cls, text: str, checkpoint_interval: str = "5 minutes") -> Trigger:
        """A trigger from `realtime`, `availableNow` or an interval such as `1 second`. Raises ValueError, which names what is allowed."""
        if text == "realtime":
            if interval_s(checkpoint_interval) < MIN_CHECKPOINT_INTERVAL_S:
                raise ValueError(
                    f"the checkpoint interval must be at least {MIN_CHECKPOINT_INTERVAL_S} seconds, not {checkpoint_interval!r}"
                )
            return cls("realtime", checkpoint_interval)
        if text == "availableNow":
            return cls("available-now")
        try:
            interval_s(text)
        except ValueError:
            raise ValueError(f"the trigger must be realtime, availableNow or an interval such as '1 second', not {text!r}") from None
        return cls("interval", text)


def interval_s(text: str) -> int:
    """The seconds in an interval such as `5 minutes`. Raises ValueError."""
    match = _INTERVAL.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"an interval must be a number and a unit, such as '5 minutes' or '10 seconds', not {text!r}")
    return int(match[1]) * _UNITS_S[match[2]]


def start_context_query(
    spark: SparkSession, *, source: KafkaSource, sink: KafkaSink, checkpoint: str, trigger: Trigger, log_epoch: int
) -> StreamingQuery:
    """Start the query and return immediately; `processors.spark.query_watch` knows when it is ready and how it ended.

    `checkpoint` is a folder, or an address that Spark's file systems understand. Each log epoch has its own folder in it,
    because the offsets of re-created topics mean other records.
    """
    writer = (
        reshape(read_records(spark, source), log_epoch)
        .writeStream.queryName(QUERY_NAME)
        .outputMode("update")
        .format("kafka")
        .options(**_sink_options(sink))
        .option("checkpointLocation", checkpoint_of(checkpoint, log_epoch))
    )
    if trigger.kind == "realtime":
        writer = writer.trigger(realTime=trigger.interval)  # type: ignore[call-overload]  # missing in the stubs of 4.2.0
    elif trigger.kind == "available-now":
        writer = writer.trigger(availableNow=True)
    else:
        writer = writer.trigger(processingTime=trigger.interval)
    return writer.start()


def read_records(spark: SparkSession, source: KafkaSource) -> DataFrame:
    """The source topics as a stream, headers included.

    If Kafka no longer has the next offsets (the stream was down for longer than the retention), the query fails instead of
    skipping them silently. With a new checkpoint it reads what is left; updates that were already absorbed do no harm.
    """
    return (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", source.bootstrap)
        .option("subscribe", ",".join(source.topics))
        .option("startingOffsets", "earliest")
        .option("includeHeaders", "true")
        .option("failOnDataLoss", "true")
        # Short calls and many tries: a broker may be away for two minutes, and a stop still does not wait for a long call.
        .option("kafka.request.timeout.ms", "5000")
        .option("kafka.default.api.timeout.ms", "6000")
        .option("fetchOffset.numRetries", "20")
        .load()
    )


def _sink_options(sink: KafkaSink) -> dict[str, str]:
    """Do not wait to fill a batch, and allow no copies from the producer's own retries. Compression is off: records are small
    and are sent one by one, so it would save nothing and cost time.
    """
    return {
        "kafka.bootstrap.servers": sink.bootstrap,
        "kafka.acks": "all",
        "kafka.enable.idempotence": "true",
        "kafka.linger.ms": "0",
        "kafka.compression.type": "none",
    }
