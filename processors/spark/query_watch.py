"""A running query: when it is ready, how it is stopped, and what its failures mean.

started ─▶ ready ─▶ finished        a replay reached its end
             │   └▶ QueryFailed     with cause and remedy
             └────▶ stopped         by SIGTERM or SIGINT
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from py4j.protocol import Py4JError  # type: ignore[import-untyped]
from pyspark import SparkStageInfo
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from processors.spark.session import error_text, first_line

JVM_ERRORS: Final = (PySparkException, Py4JError, OSError)
"""What a call into the JVM raises: an error of Spark, an error of Java, or a broken connection."""
_POLL_S: Final = 0.2
_LOG: Final = logging.getLogger("processors")


class QueryFailed(Exception):
    """The query failed. The text has the cause and the remedy; the JVM's log has the details."""


class StopRequested(BaseException):
    """A signal arrived while Spark was starting. As with KeyboardInterrupt, nothing in between should catch it."""


class StopSignal:
    """SIGTERM and SIGINT as a flag that the main thread polls. Until `started` is called they raise StopRequested instead."""

    def __init__(self) -> None:
        self._requested = threading.Event()
        self._started = False

    def is_set(self) -> bool:
        """Whether a signal has arrived."""
        return self._requested.is_set()

    def wait(self, seconds: float) -> bool:
        """Block until a signal arrives or the time is over; returns whether one arrived."""
        return self._requested.wait(seconds)

    def started(self) -> None:
        """From now on a signal only sets the flag. This replaces Spark's own handler of SIGINT, which kills jobs."""
        self._started = True
        self._install()

    @contextmanager
    def listening(self) -> Iterator[StopSignal]:
        """Handle the two signals within the block. Call it in the main thread."""
        previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        self._install()
        try:
            yield self
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        is_second = self._requested.is_set()
        self._requested.set()
        if not self._started and not is_second:
            raise StopRequested


def watch(spark: SparkSession, query: StreamingQuery, stop: StopSignal, on_ready: Callable[[], None], *, realtime: bool = False) -> None:
    """Block until the query ends or `stop` is set, then return with the query stopped; call `on_ready` once.

    Raises QueryFailed, including for a real-time query with too few task slots.
    """
    is_ready = False
    try:
        while query.isActive and not stop.wait(_POLL_S):
            if is_ready:
                continue
            if realtime:
                check_slots(spark)
            if is_processing(spark, query):
                is_ready = True
                on_ready()
        if stop.is_set():
            # The tasks of real-time mode run forever, so a stop interrupts them, and each one would log that as an error.
            spark.sparkContext.setLogLevel("OFF")
            query.stop()
            return
        failure = query.exception()
    except JVM_ERRORS as error:
        # A signal to the whole process group also ends the JVM: then there is nothing to stop.
        if stop.is_set():
            return
        raise QueryFailed(failure_text(error)) from error
    if failure is not None:
        raise QueryFailed(failure_text(failure))


def is_processing(spark: SparkSession, query: StreamingQuery) -> bool:
    """Whether records that are written to the source from now on are processed without further preparation.

    In real-time mode: a task runs for every source partition. In micro-batches: the first batch is running or done, or it had
    nothing to do.
    """
    if query.lastProgress is not None or query.status["message"].startswith("Waiting for"):
        return True
    return any(stage.numActiveTasks + stage.numCompletedTasks == stage.numTasks for stage in _active_stages(spark))


def check_slots(spark: SparkSession) -> None:
    """Raise QueryFailed if a local master has fewer task slots than a real-time query has source partitions.

    Spark reports nothing in that case; it never reads some of the partitions.
    """
    slots = spark.sparkContext.defaultParallelism
    too_large = next((stage for stage in _active_stages(spark) if stage.numTasks > slots), None)
    if too_large is not None and str(spark.sparkContext.master).startswith("local"):
        raise QueryFailed(
            f"real-time mode needs a task slot for each of the {too_large.numTasks} source partitions, but {spark.sparkContext.master} "
            f"has {slots}; use --master 'local[{too_large.numTasks}]' or more, or --trigger '1 second'"
        )


def _active_stages(spark: SparkSession) -> list[SparkStageInfo]:
    tracker = spark.sparkContext.statusTracker()
    return [stage for number in tracker.getActiveStageIds() if (stage := tracker.getStageInfo(number)) is not None]


_NO_ANSWER: Final = "Kafka did not answer: check --bootstrap and that the broker is running; a restart continues from the checkpoint"
_DATA_LOSS: Final = (
    "Kafka no longer has the records after the checkpoint. If the topics were re-created, raise the log epoch (--log-epoch and "
    "GATEWAY_LOG_EPOCH). Otherwise use a new --checkpoint: everything that is left is read again, and known events change nothing"
)
# A part of a failure's text, and what to do about it. The first match counts.
_REMEDIES: Final = (
    ("Failed to find data source: kafka", "pass the jars of Spark's Kafka connector with --connector-jars or SPARK_CONNECTOR_JARS"),
    ("UnknownTopicOrPartition", "create the source topics, then start again"),
    ("not present in metadata", "create the topics context_updates and dead_letters, then start again"),
    ("KAFKA_DATA_LOSS", _DATA_LOSS),
    ("Some data may have been lost", _DATA_LOSS),
    ("RecordTooLarge", "set max.message.bytes of context_updates and dead_letters to 1 MiB or more"),
    ("No resolvable bootstrap urls", "check --bootstrap: host:port, comma-separated"),
    ("CONCURRENT_STREAM_LOG_UPDATE", "another stream uses the same --checkpoint: stop it, or use another folder for this one"),
    ("TimeoutException", _NO_ANSWER),
    ("Timed out", _NO_ANSWER),
)
_OTHER_FAILURE: Final = "see Spark's log above; a restart continues from the checkpoint"


def failure_text(error: BaseException) -> str:
    """Cause and remedy of a failure, in one line."""
    text = error_text(error)
    remedy = next((remedy for part, remedy in _REMEDIES if part in text), _OTHER_FAILURE)
    return f"{first_line(error)[:500].rstrip('.;')}; {remedy}"


def end_spark(spark: SparkSession) -> None:
    """Stop Spark, even if its JVM has already ended."""
    try:
        # A query that is still running is interrupted, and each of its tasks would log that as an error.
        spark.sparkContext.setLogLevel("OFF")
        spark.stop()
    except JVM_ERRORS:
        _LOG.info("the JVM had already ended")
