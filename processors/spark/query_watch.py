"""A running query: when it is ready, how it is stopped, and what its failures mean.

started ─▶ ready ─▶ finished        a replay came to its end
             │   └▶ QueryFailed     cause and remedy
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

from processors.spark.session import first_line, text_of

JVM_ERRORS: Final = (PySparkException, Py4JError, OSError)
"""What a call into the JVM raises: an answer of Spark, an error of Java, a connection that broke."""
_POLL_S: Final = 0.2
_LOG: Final = logging.getLogger("processors")


class QueryFailed(Exception):
    """The query died. The text has the cause and the remedy; the JVM's log has the rest."""


class StopRequested(BaseException):
    """A signal came while Spark was still starting. Like KeyboardInterrupt, nothing should catch it on the way."""


class StopSignal:
    """SIGTERM and SIGINT as a flag that the main thread polls; until `started`, as StopRequested."""

    def __init__(self) -> None:
        self._requested = threading.Event()
        self._started = False

    def is_set(self) -> bool:
        """Whether a signal came."""
        return self._requested.is_set()

    def wait(self, seconds: float) -> bool:
        """Block until a signal comes or the time is over; whether one came."""
        return self._requested.wait(seconds)

    def started(self) -> None:
        """From now on a signal only sets the flag. Spark's own handler of SIGINT, which kills jobs, is replaced."""
        self._started = True
        self._install()

    @contextmanager
    def listening(self) -> Iterator[StopSignal]:
        """Handle the two signals within the block. Call in the main thread."""
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        self._install()
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        again = self._requested.is_set()
        self._requested.set()
        if not self._started and not again:
            raise StopRequested


def watch(spark: SparkSession, query: StreamingQuery, stop: StopSignal, on_ready: Callable[[], None], *, realtime: bool = False) -> None:
    """Block until the query ends or `stop` is set, then return with the query stopped; call `on_ready` once.

    Raises QueryFailed, also for a real-time query that has too few task slots.
    """
    ready = False
    try:
        while query.isActive and not stop.wait(_POLL_S):
            if ready:
                continue
            if realtime:
                check_slots(spark)
            if is_processing(spark, query):
                ready = True
                on_ready()
        if stop.is_set():
            # The tasks of real-time mode run for ever, so a stop interrupts them; each would log that as an error.
            spark.sparkContext.setLogLevel("OFF")
            query.stop()
            return
        failure = query.exception()
    except JVM_ERRORS as error:
        # A signal to the whole process group ends the JVM too: then there is nothing left to stop.
        if stop.is_set():
            return
        raise QueryFailed(explain(error)) from error
    if failure is not None:
        raise QueryFailed(explain(failure))


def is_processing(spark: SparkSession, query: StreamingQuery) -> bool:
    """Whether what is now written to the source will be processed without further preparation.

    In real-time mode: a task runs for every source partition. In micro-batches: the first batch runs or is done, or there
    was nothing for it to do.
    """
    if query.lastProgress is not None or query.status["message"].startswith("Waiting for"):
        return True
    return any(stage.numActiveTasks + stage.numCompletedTasks == stage.numTasks for stage in _active_stages(spark))


def check_slots(spark: SparkSession) -> None:
    """Raise QueryFailed when a local master has fewer task slots than a real-time query has source partitions.

    Spark says nothing then: some partitions are never read.
    """
    slots = spark.sparkContext.defaultParallelism
    short = next((stage for stage in _active_stages(spark) if stage.numTasks > slots), None)
    if short is not None and str(spark.sparkContext.master).startswith("local"):
        raise QueryFailed(
            f"real-time mode needs a task slot for each of the {short.numTasks} source partitions, {spark.sparkContext.master} has "
            f"{slots}; give --master 'local[{short.numTasks}]' or more, or --trigger '1 second'"
        )


def _active_stages(spark: SparkSession) -> list[SparkStageInfo]:
    tracker = spark.sparkContext.statusTracker()
    return [stage for number in tracker.getActiveStageIds() if (stage := tracker.getStageInfo(number)) is not None]


_NO_ANSWER: Final = "Kafka did not answer: check --bootstrap and that the broker runs; a restart goes on from the checkpoint"
_DATA_LOSS: Final = (
    "Kafka no longer has what the checkpoint goes on from. If the topics were made anew, raise the log epoch (--log-epoch and "
    "GATEWAY_LOG_EPOCH). Else give a new --checkpoint: all that is left is read again, and what is known already changes nothing"
)
# What a failure's text contains, and what to do about it. The first that matches counts.
_REMEDIES: Final = (
    ("Failed to find data source: kafka", "give the jars of Spark's Kafka connector by --connector-jars or SPARK_CONNECTOR_JARS"),
    ("UnknownTopicOrPartition", "create the source topics, then start again"),
    ("not present in metadata", "create the topics context_updates and dead_letters, then start again"),
    ("KAFKA_DATA_LOSS", _DATA_LOSS),
    ("Some data may have been lost", _DATA_LOSS),
    ("RecordTooLarge", "set max.message.bytes of context_updates and dead_letters to 1 MiB or more"),
    ("No resolvable bootstrap urls", "check --bootstrap: host:port, comma-separated"),
    ("CONCURRENT_STREAM_LOG_UPDATE", "another stream uses the same --checkpoint: stop it, or give this one a folder of its own"),
    ("TimeoutException", _NO_ANSWER),
    ("Timed out", _NO_ANSWER),
)
_OTHERWISE: Final = "see Spark's log above; a restart goes on from the checkpoint"


def explain(error: BaseException) -> str:
    """Cause and remedy of a failure, in one line."""
    text = text_of(error)
    remedy = next((remedy for mark, remedy in _REMEDIES if mark in text), _OTHERWISE)
    return f"{first_line(error)[:500].rstrip('.;')}; {remedy}"


def end_spark(spark: SparkSession) -> None:
    """Stop Spark, also where its JVM has ended already."""
    try:
        # A query that still runs is interrupted, and each of its tasks would log that as an error.
        spark.sparkContext.setLogLevel("OFF")
        spark.stop()
    except JVM_ERRORS:
        _LOG.info("the JVM had ended before")
