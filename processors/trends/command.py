"""The command `processors trends-stream`: the trends stream in a Spark session of its own."""

from __future__ import annotations

import argparse
import logging

from processors.spark.masters import TRENDS_MASTER
from processors.spark.query_watch import QueryFailed, StopRequested, StopSignal, end_spark
from processors.spark.session import SparkCannotStart, start_spark, under_spark_submit
from processors.trends.runner import TrendsPlan, run_trends
from processors.trends.stream import trigger_of

_LOG = logging.getLogger("processors")


def run(arguments: argparse.Namespace) -> int:
    """Run the trends stream until it fails or is stopped. Call in the main thread; returns the exit code."""
    try:
        plan = plan_of(arguments, arguments.checkpoint)
    except ValueError as error:
        _LOG.error("trends stream not started: %s", error)
        return 2
    with StopSignal().listening() as stop:
        try:
            spark = start_spark(
                name="trends-stream",
                master=arguments.master or (None if under_spark_submit() else TRENDS_MASTER),
                driver_memory=arguments.driver_memory,
                connector_jars=arguments.connector_jars,
            )
            stop.started()
        except StopRequested:
            _LOG.info("trends stream stopped while Spark was starting")
            return 0
        except SparkCannotStart as error:
            _LOG.error("trends stream not started: %s", error)
            return 1
        try:
            run_trends(spark, plan, stop)
        except QueryFailed as error:
            _LOG.error("trends stream failed: %s", error)
            return 1
        finally:
            end_spark(spark)
    _LOG.info("trends stream stopped")
    return 0


def plan_of(arguments: argparse.Namespace, checkpoint: str) -> TrendsPlan:
    """What the options say. Raises ValueError."""
    return TrendsPlan(
        bootstrap=arguments.bootstrap,
        redis_url=arguments.redis_url,
        checkpoint=checkpoint,
        log_epoch=arguments.log_epoch,
        trigger=trigger_of(arguments.trends_trigger),
        snapshot_seconds=arguments.snapshot_seconds,
    )
