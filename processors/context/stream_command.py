"""The command `processors context-stream`: starts Spark and the query, and stops them on a signal."""

from __future__ import annotations

import argparse
import logging

from pyspark.sql import SparkSession

from processors.context.stream import KafkaSink, KafkaSource, Trigger, start_context_query
from processors.spark.masters import DEFAULT_MASTER
from processors.spark.query_watch import JVM_ERRORS, QueryFailed, StopRequested, StopSignal, end_spark, failure_text, watch
from processors.spark.session import SparkCannotStart, start_spark, under_spark_submit
from processors.trends.command import trends_plan
from processors.trends.runner import BackgroundTrendsStream, TrendsPlan

_LOG = logging.getLogger("processors")


def run_context_stream(arguments: argparse.Namespace) -> int:
    """Run the context stream until it ends, fails or is stopped; returns the exit code. Call it in the main thread."""
    try:
        trigger = Trigger.parse(arguments.trigger, arguments.checkpoint_interval)
        trends = _plan_of_trends(arguments, trigger)
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


def _plan_of_trends(arguments: argparse.Namespace, trigger: Trigger) -> TrendsPlan | None:
    if not arguments.trends:
        return None
    if trigger.kind == "available-now":
        raise ValueError("--trends needs a stream that does not end: use it without --trigger availableNow")
    return trends_plan(arguments, f"{arguments.checkpoint.rstrip('/')}/trends")


def _run_query(spark: SparkSession, arguments: argparse.Namespace, trigger: Trigger, trends: TrendsPlan | None, stop: StopSignal) -> int:
    trends_stream = BackgroundTrendsStream(spark, trends) if trends is not None else None

    def on_ready() -> None:
        _LOG.info("context stream ready")
        # Not earlier: until now the tasks of the session showed whether the context stream has the slots it needs.
        if trends_stream is not None:
            trends_stream.start()

    try:
        query = start_context_query(
            spark,
            source=KafkaSource(arguments.bootstrap),
            sink=KafkaSink(arguments.bootstrap),
            checkpoint=arguments.checkpoint,
            trigger=trigger,
            log_epoch=arguments.log_epoch,
        )
        watch(spark, query, stop, on_ready, realtime=trigger.kind == "realtime")
    except QueryFailed as error:
        _LOG.error("context stream failed: %s", error)
        return 1
    except JVM_ERRORS as error:
        if not stop.is_set():
            _LOG.error("context stream not started: %s", failure_text(error))
            return 1
    finally:
        if trends_stream is not None:
            trends_stream.stop()
    _LOG.info("context stream stopped" if stop.is_set() else "context stream finished")
    return 0
