"""The Spark session that streams and jobs run in, also under `spark-submit`, which has already started its JVM."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pyspark.sql import SparkSession

from processors.spark.temporary import PERF_DATA_OFF, temporary_folder

_Value = bool | float | int | str | None  # what the builder takes
_LOG_CONFIGURATION: Final = Path(__file__).with_name("log4j2.properties")


class SparkCannotStart(Exception):
    """Java or Spark did not start; the text has the remedy."""


def under_spark_submit() -> bool:
    """Whether `spark-submit` started this process; it then determines the JVM, the master and the jars."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def start_spark(
    *, name: str, master: str | None, driver_memory: str, connector_jars: Sequence[Path], settings: Mapping[str, _Value] | None = None
) -> SparkSession:
    """Start a quiet Spark session in UTC, without the web UI. Blocks for several seconds.

    `master` None leaves the choice to `spark-submit`. The JVM is a child of this process and ends with it, even if this
    process is killed. `settings` override those of streams. Raises SparkCannotStart.
    """
    missing = [str(jar) for jar in connector_jars if not jar.is_file()]
    if missing:
        raise SparkCannotStart(f"these connector jars do not exist: {', '.join(missing)}")
    builder = SparkSession.builder.appName(name).config(map={**_session_settings(), **(settings or {})})
    if master is not None:
        builder = builder.master(master)
    if not under_spark_submit():
        # Spark's launcher is a JVM too; it takes its options from this variable only.
        os.environ.setdefault("SPARK_LAUNCHER_OPTS", PERF_DATA_OFF)
        builder = builder.config(map=_driver_settings(master, driver_memory, connector_jars, temporary_folder()))
    try:
        spark = builder.getOrCreate()
    except Exception as error:  # errors of the JVM's start have no common class below Exception
        raise SparkCannotStart(f"Spark did not start: {first_line(error)}; Java 17 or newer is needed (JAVA_HOME)") from error
    spark.sparkContext.setLogLevel("WARN")
    return spark


def _session_settings() -> dict[str, _Value]:
    return {
        "spark.sql.session.timeZone": "UTC",
        "spark.ui.showConsoleProgress": "false",
        # The status tracker shows when all tasks are running, so it must see every event: there are few.
        "spark.ui.liveUpdate.period": "0",
        # Adaptive execution does not apply to streams; if it were on, each start would warn about it.
        "spark.sql.adaptive.enabled": "false",
        # A query that waits for a missing broker cannot be stopped: after this time the JVM ends with it.
        "spark.sql.streaming.stopTimeout": "4000",
        # A progress report has a line for each source partition; only the last report is used.
        "spark.sql.streaming.numRecentProgressUpdates": "5",
    }


def _driver_settings(master: str | None, driver_memory: str, connector_jars: Sequence[Path], temporary: Path) -> dict[str, _Value]:
    """Settings that can only be made before the JVM starts."""
    settings: dict[str, _Value] = {
        "spark.ui.enabled": "false",
        "spark.driver.memory": driver_memory,
        "spark.jars": ",".join(str(jar.absolute()) for jar in connector_jars),
        # A JVM without memory limps on with dead threads: better to end visibly and continue from the checkpoint.
        "spark.driver.extraJavaOptions": f"-XX:+ExitOnOutOfMemoryError {PERF_DATA_OFF} "
        f'-Dlog4j2.configurationFile={_LOG_CONFIGURATION.as_uri()} "-Djava.io.tmpdir={temporary}"',
    }
    if master is not None and master.startswith("local"):
        # Nothing else connects, and a machine need not know its own name.
        settings |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    return settings


def error_text(error: BaseException) -> str:
    """The text of an error. An error of the JVM asks the JVM for its text, and the JVM may have ended."""
    try:
        return str(error).strip() or type(error).__name__
    except Exception:  # noqa: BLE001 - whatever py4j raises on a broken connection
        return f"{type(error).__name__}: the JVM has ended"


def first_line(error: BaseException) -> str:
    """The first line of an error's text."""
    return error_text(error).splitlines()[0]


def checkpoint_of(checkpoint: str, log_epoch: int) -> str:
    """The folder of a log epoch in `checkpoint`."""
    return f"{checkpoint.rstrip('/')}/epoch-{log_epoch}"
