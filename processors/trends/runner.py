"""Runs the trends stream: the keeper and the query together, alone or beside the context stream in one Spark session.

Beside it, whatever fails here is logged and tried again later, and the context stream does not notice.
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
from processors.spark.query_watch import JVM_ERRORS, QueryFailed, explain
from processors.spark.session import checkpoint_of
from processors.trends.keeper import TrendsKeeper
from processors.trends.stream import TrendsSource, run_trends_stream

FIRST_RETRY_S: Final = 5.0
LONGEST_RETRY_S: Final = 60.0
_POLL_S: Final = 0.5
_STOP_S: Final = 8.0

_LOG = logging.getLogger("processors")


@dataclass(frozen=True, slots=True)
class TrendsPlan:
    """How a trends stream is run. `trigger` is one that `trigger_of` gave; `checkpoint` holds a folder for each log epoch."""

    bootstrap: str
    redis_url: str
    checkpoint: str
    log_epoch: int
    trigger: str
    snapshot_seconds: int


class Stop(Protocol):
    """Tells when to stop: a `StopSignal` or a `threading.Event`."""

    def is_set(self) -> bool:
        """Whether to stop."""

    def wait(self, seconds: float) -> bool:
        """Wait for that, or until the time is over; whether to stop."""


def run_trends(spark: SparkSession, plan: TrendsPlan, stop: Stop) -> None:
    """Run the stream until `stop` is set. Raises QueryFailed."""
    keeper = TrendsKeeper(plan.redis_url, plan.snapshot_seconds)
    keeper.start()
    query: StreamingQuery | None = None
    try:
        while not keeper.wait_loaded(_POLL_S):
            if stop.is_set() or not keeper.is_alive:
                return
        query = run_trends_stream(
            spark,
            source=TrendsSource(plan.bootstrap, window_of(system_now_ms() - HORIZON_MS)),
            checkpoint=checkpoint_of(plan.checkpoint, plan.log_epoch),
            trigger=plan.trigger,
            take=keeper.take,
        )
        _watch(query, keeper, stop)
    except JVM_ERRORS as error:
        if not stop.is_set():
            raise QueryFailed(explain(error)) from error
    finally:
        keeper.release()
        if query is not None:
            with contextlib.suppress(*JVM_ERRORS):
                query.stop()
        keeper.stop()


def _watch(query: StreamingQuery, keeper: TrendsKeeper, stop: Stop) -> None:
    ready = False
    while query.isActive and not stop.wait(_POLL_S):
        if not keeper.is_alive:
            raise QueryFailed("the trends are not kept any more; see the log above")
        if not ready and (query.lastProgress is not None or query.status["message"].startswith("Waiting for")):
            ready = True
            _LOG.info("trends stream ready")
    failure = None if stop.is_set() else query.exception()
    if failure is not None:
        raise QueryFailed(explain(failure))


class TrendsBeside:
    """The trends stream in a thread of its own, started anew after each failure."""

    def __init__(self, spark: SparkSession, plan: TrendsPlan) -> None:
        self._spark = spark
        self._plan = plan
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trends-stream", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """End the stream; returns when it has ended, or took too long to. Harmless when it was not started."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(_STOP_S)

    def _run(self) -> None:
        pause_s = FIRST_RETRY_S
        while not self._stop.is_set():
            try:
                run_trends(self._spark, self._plan, self._stop)
            except QueryFailed as error:
                _LOG.error("trends stream failed, starting it again in %.0f s: %s", pause_s, error)
            except Exception:  # noqa: BLE001 - the next try may do better, and nobody else would hear of it
                _LOG.exception("trends stream failed, starting it again in %.0f s", pause_s)
            self._stop.wait(pause_s)
            pause_s = min(2 * pause_s, LONGEST_RETRY_S)
