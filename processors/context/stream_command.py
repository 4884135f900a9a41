"""The command `processors context-stream`: Spark, the query and the signals brought together."""

from __future__ import annotations

import argparse
import logging

from pyspark.sql import SparkSession

from processors.context.stream import KafkaSink, KafkaSource, Trigger, run_context_stream
from processors.spark.masters import DEFAULT_MASTER
from processors.spark.query_watch import JVM_ERRORS, QueryFailed, StopRequested, StopSignal, end_spark, explain, watch
from processors.spark.session import SparkCannotStart, start_spark, under_spark_submit
from processors.trends.command import plan_of
from processors.trends.runner import TrendsBeside, TrendsPlan

_LOG = logging.getLogger("processors")


def run(arguments: argparse.Namespace) -> int:
    """Run the context stream until it ends, fails or is stopped. Call in the main thread; returns the exit code."""
    try:
        trigger = Trigger.parse(arguments.trigger, arguments.checkpoint_interval)
        trends = _trends(arguments, trigger)
    except ValueError as error:
        _LOG.error("context stream not started: %s", error)
        return 2
    with StopSignal().listening() as stop:
        try:
            spark = start_spark(
                name="context-stream",
                master=arguments.master or (None if under_spark_submit() else DEFAULT_MASTER),
                driver_memory=arguments.driver_memory,
                connector_jars=arguments.connector_jars,
            )
            stop.started()
        except StopRequested:
            _LOG.info("context stream stopped while Spark was starting")
            return 0
        except SparkCannotStart as error:
            _LOG.error("context stream not started: %s", error)
            return 1
        try:
            return _run_query(spark, arguments, trigger, trends, stop)
        finally:
            end_spark(spark)


def _trends(arguments: argparse.Namespace, trigger: Trigger) -> TrendsPlan | None:
    if not arguments.trends:
        return None
    if trigger.kind == "available-now":
        raise ValueError("--trends runs beside a stream that goes on, not with --trigger availableNow")
    return plan_of(arguments, f"{arguments.checkpoint.rstrip('/')}/trends")


def _run_query(spark: SparkSession, arguments: argparse.Namespace, trigger: Trigger, trends: TrendsPlan | None, stop: StopSignal) -> int:
    beside = TrendsBeside(spark, trends) if trends is not None else None

    def ready() -> None:
        _LOG.info("context stream ready")
        # Not before: until then the tasks of the session tell whether the context stream has the slots it needs.
        if beside is not None:
            beside.start()

    try:
        query = run_context_stream(
            spark,
            source=KafkaSource(arguments.bootstrap),
            sink=KafkaSink(arguments.bootstrap),
            checkpoint=arguments.checkpoint,
            trigger=trigger,
            log_epoch=arguments.log_epoch,
        )
        watch(spark, query, stop, ready, realtime=trigger.kind == "realtime")
    except QueryFailed as error:
        _LOG.error("context stream failed: %s", error)
        return 1
    except JVM_ERRORS as error:
        if not stop.is_set():
            _LOG.error("context stream not started: %s", explain(error))
            return 1
    finally:
        if beside is not None:
            beside.stop()
    _LOG.info("context stream stopped" if stop.is_set() else "context stream finished")
    return 0
