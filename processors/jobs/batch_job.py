"""A batch job: start Spark, run the job to its end, stop Spark, return an exit code."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable

from pyspark.sql import SparkSession

from processors.spark.masters import BATCH_MASTER
from processors.spark.query_watch import JVM_ERRORS, StopRequested, StopSignal, end_spark, failure_text
from processors.spark.session import SparkCannotStart, start_spark, under_spark_submit

_LOG = logging.getLogger("processors")

Job = Callable[[SparkSession], int]


class JobFailed(Exception):
    """A job cannot continue; the text has the cause and the remedy."""


def run_batch(name: str, arguments: argparse.Namespace, job: Job) -> int:
    """Run `job` in its own Spark session; returns its exit code, 1 after a failure, or 130 if a signal ended it.

    `arguments` are those of `processors.cli.add_spark_arguments`. Call it in the main thread. A job that is interrupted must
    leave nothing half-written: every job writes whole values, as its last step.
    """
    with StopSignal().listening():
        spark = None
        try:
            spark = start_spark(
                name=name,
                master=arguments.master or (None if under_spark_submit() else BATCH_MASTER),
                driver_memory=arguments.driver_memory,
                connector_jars=arguments.connector_jars,
                settings={"spark.sql.adaptive.enabled": "true", "spark.sql.shuffle.partitions": "16"},
            )
            return job(spark)
        except StopRequested:
            _LOG.info("%s was stopped before its end; nothing was written", name)
            return 130
        except (SparkCannotStart, JobFailed) as error:
            _LOG.error("%s: %s", name, error)
            return 1
        except JVM_ERRORS as error:
            _LOG.error("%s failed: %s", name, failure_text(error))
            return 1
        finally:
            if spark is not None:
                end_spark(spark)
