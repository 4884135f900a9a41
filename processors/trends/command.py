"""The command `processors trends-stream`: the trends stream in its own Spark session."""

from __future__ import annotations

import argparse
import logging

from processors.spark.masters import TRENDS_MASTER
from processors.spark.query_watch import QueryFailed, StopRequested, StopSignal, end_spark
from processors.spark.session import SparkCannotStart, start_spark, under_spark_submit
from processors.trends.runner import TrendsPlan, run_trends_query
from processors.trends.stream import parse_trends_trigger

_LOG = logging.getLogger("processors")


def run_trends_stream(arguments: argparse.Namespace) -> int:
    """Run the trends stream until it fails or is stopped; returns the exit code. Call it in the main thread."""
    try:
        plan = trends_plan(arguments, arguments.checkpoint)
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
            run_trends_query(spark, plan, stop)
        except QueryFailed as error:
            _LOG.error("trends stream failed: %s", error)
            return 1
        finally:
            end_spark(spark)
    _LOG.info("trends stream stopped")
    return 0


def trends_plan(arguments: argparse.Namespace, checkpoint: str) -> TrendsPlan:
    """The plan in the command's options. Raises ValueError."""
    return TrendsPlan(
        bootstrap=arguments.bootstrap,
        redis_url=arguments.redis_url,
        checkpoint=checkpoint,
        log_epoch=arguments.log_epoch,
        trigger=parse_trends_trigger(arguments.trends_trigger),
        snapshot_seconds=arguments.snapshot_seconds,
    )
