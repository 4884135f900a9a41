"""Runs the trends stream: the keeper and the query together, alone or in the Spark session of the context stream.

In the context stream's session a failure is logged and the trends stream is started again later; the context stream is not
affected.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from dataclasses import dataclass
from typing import Final, Protocol

from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from gateway.clock import system_now_ms
from gateway.model.trends.windows import HORIZON_MS, window_of
from processors.spark.query_watch import JVM_ERRORS, QueryFailed, failure_text
from processors.spark.session import checkpoint_of
from processors.trends.keeper import TrendsKeeper
from processors.trends.stream import TrendsKafkaSource, start_trends_query

FIRST_RETRY_S: Final = 5.0
LONGEST_RETRY_S: Final = 60.0
_POLL_S: Final = 0.5
_STOP_S: Final = 8.0

_LOG = logging.getLogger("processors")


@dataclass(frozen=True, slots=True)
class TrendsPlan:
    """How a trends stream is run. `trigger` comes from `parse_trends_trigger`; `checkpoint` has a folder for each log epoch."""

    bootstrap: str
    redis_url: str
    checkpoint: str
    log_epoch: int
    trigger: str
    snapshot_seconds: int


class StopFlag(Protocol):
    """Whether to stop: a `StopSignal` or a `threading.Event`."""

    def is_set(self) -> bool:
        """Whether to stop."""

    def wait(self, seconds: float) -> bool:
        """Wait until it is set or the time is over; returns whether to stop."""


def run_trends_query(spark: SparkSession, plan: TrendsPlan, stop: StopFlag) -> None:
    """Run the stream until `stop` is set. Raises QueryFailed."""
    keeper = TrendsKeeper(plan.redis_url, plan.snapshot_seconds)
    keeper.start()
    query: StreamingQuery | None = None
    try:
        while not keeper.wait_loaded(_POLL_S):
            if stop.is_set() or not keeper.is_alive:
                return
        query = start_trends_query(
            spark,
            source=TrendsKafkaSource(plan.bootstrap, window_of(system_now_ms() - HORIZON_MS)),
            checkpoint=checkpoint_of(plan.checkpoint, plan.log_epoch),
            trigger=plan.trigger,
            on_counts=keeper.add,
        )
        _watch(query, keeper, stop)
    except JVM_ERRORS as error:
        if not stop.is_set():
            raise QueryFailed(failure_text(error)) from error
    finally:
        keeper.release()
        if query is not None:
            with contextlib.suppress(*JVM_ERRORS):
                query.stop()
        keeper.stop()


def _watch(query: StreamingQuery, keeper: TrendsKeeper, stop: StopFlag) -> None:
    is_ready = False
    while query.isActive and not stop.wait(_POLL_S):
        if not keeper.is_alive:
            raise QueryFailed("trends are no longer stored; see the log above")
        if not is_ready and (query.lastProgress is not None or query.status["message"].startswith("Waiting for")):
            is_ready = True
            _LOG.info("trends stream ready")
    failure = None if stop.is_set() else query.exception()
    if failure is not None:
        raise QueryFailed(failure_text(failure))


class BackgroundTrendsStream:
    """The trends stream in its own thread, which starts it again after each failure."""

    def __init__(self, spark: SparkSession, plan: TrendsPlan) -> None:
        self._spark = spark
        self._plan = plan
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run_until_stopped, name="trends-stream", daemon=True)

    def start(self) -> None:
        """Start; returns immediately."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the stream; returns when it has ended, or after `_STOP_S`. Does nothing if it was not started."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(_STOP_S)

    def _run_until_stopped(self) -> None:
        pause_s = FIRST_RETRY_S
        while not self._stop.is_set():
            try:
                run_trends_query(self._spark, self._plan, self._stop)
            except QueryFailed as error:
                _LOG.error("trends stream failed, starting it again in %.0f s: %s", pause_s, error)
            except Exception:  # noqa: BLE001 - the next try may succeed, and nothing else would report it
                _LOG.exception("trends stream failed, starting it again in %.0f s", pause_s)
            self._stop.wait(pause_s)
            pause_s = min(2 * pause_s, LONGEST_RETRY_S)
