"""The command `processors`: streams that run for ever, and batch jobs over the log that end."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

CONNECTOR_JARS_VARIABLE: Final = "SPARK_CONNECTOR_JARS"
DEFAULT_MASTER: Final = "local[16]"
BATCH_MASTER: Final = "local[2]"
_LOG = logging.getLogger("processors")

Commands = argparse._SubParsersAction


def main(argv: Sequence[str] | None = None) -> int:
    """Run a processor until it ends or is stopped by SIGTERM or SIGINT.

    Returns 0 after an orderly stop, the end of a replay or of a batch job, 1 after a failure; wrong arguments exit with 2.
    """
    arguments = _parser().parse_args(argv)
    module, _, function = arguments.run.partition(":")
    if arguments.command != "context-writer":
        _configure_logging()
    try:
        # Imported late: --help does without Spark, and so does the context writer.
        run: Callable[[argparse.Namespace], int] = getattr(import_module(module), function)
    except ModuleNotFoundError as error:
        _LOG.error("%s; install the extra: pip install 'personalization-gateway[processors]'", error)
        return 1
    return run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="processors", description="Stream processors: from events in Kafka to contexts in Redis.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_context_stream(commands)
    _add_context_writer(commands)
    return parser


def _add_context_writer(commands: Commands[argparse.ArgumentParser]) -> None:
    writer = commands.add_parser(
        "context-writer",
        help="context_updates in Kafka to contexts in Redis",
        description="Write contexts from context_updates to Redis. Settings come from the environment: see 'gateway settings'.",
        epilog="example: processors context-writer --metrics-port 9100",
    )
    writer.add_argument("--metrics-port", type=int, default=0, help="serve /metrics on 127.0.0.1 at this port; 0: do not (default)")
    writer.set_defaults(run="processors.context_writer:main")


def _add_context_stream(commands: Commands[argparse.ArgumentParser]) -> None:
    stream = commands.add_parser(
        "context-stream",
        help="events in Kafka to context_updates and dead_letters (Spark)",
        description="Check and route events with Spark, from the four source topics to context_updates and dead_letters.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_EXAMPLES,
    )
    stream.add_argument("--checkpoint", required=True, metavar="DIR", help="where progress is kept: a folder, or an address Spark knows")
    stream.add_argument("--log-epoch", required=True, type=epoch, metavar="N", help=_HELP["log-epoch"])
    stream.add_argument("--trigger", default="realtime", metavar="T", help=_HELP["trigger"])
    stream.add_argument("--checkpoint-interval", default="5 minutes", metavar="T", help=_HELP["checkpoint-interval"])
    add_spark_arguments(stream, DEFAULT_MASTER, "; real-time mode holds one task slot for every source partition")
    stream.set_defaults(run="processors.stream_command:run")


def add_spark_arguments(parser: argparse.ArgumentParser, master: str, note: str = "") -> None:
    """What every Spark command takes: Kafka's address, the master, memory and the connector's jars."""
    parser.add_argument("--bootstrap", required=True, metavar="HOST:PORT", help="addresses of Kafka brokers, comma-separated")
    parser.add_argument("--master", metavar="URL", help=f"Spark master (default: {master}, or what spark-submit says){note}")
    parser.add_argument("--driver-memory", default="1g", metavar="SIZE", help="memory of the JVM (default: 1g); not under spark-submit")
    jars = os.environ.get(CONNECTOR_JARS_VARIABLE, "")
    parser.add_argument("--connector-jars", default=jars, type=paths, metavar="PATHS", help=_HELP["connector-jars"])


_HELP: Final = {
    "log-epoch": "the same as GATEWAY_LOG_EPOCH: raised when the topics are made anew",
    "trigger": "realtime (default: each event at once), an interval such as '1 second' (micro-batches), or availableNow "
    "(what is there now, then exit)",
    "checkpoint-interval": "how often real-time mode writes its progress (default: 5 minutes, at least 5 seconds); a crash "
    "repeats up to this much, each writing pauses the stream for some 200 ms",
    "connector-jars": f"jars of Spark's Kafka connector, comma-separated (default: {CONNECTOR_JARS_VARIABLE}); "
    "under spark-submit give them by --jars",
}

_EXAMPLES: Final = """examples:
  processors context-stream --bootstrap 127.0.0.1:9092 --checkpoint ./checkpoint --log-epoch 1
  processors context-stream --bootstrap 127.0.0.1:9092 --checkpoint ./checkpoint --log-epoch 1 --trigger '1 second'
  spark-submit --master spark://host:7077 --jars JARS main.py context-stream --bootstrap kafka:9092 --checkpoint DIR --log-epoch 1
    with main.py:  from processors.cli import main; raise SystemExit(main())

The same checkpoint may be used with another trigger. 'context stream ready' on standard error says that events are processed.
"""


def _configure_logging() -> None:
    form = "%(asctime)s %(levelname)s %(name)s %(message)s"
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=form, datefmt="%Y-%m-%dT%H:%M:%S", force=True)
    # py4j reports each broken connection with a traceback; what it means is said by `processors.watch`.
    logging.getLogger("py4j").setLevel(logging.CRITICAL)


def epoch(text: str) -> int:
    """A log epoch: a whole number from 0. Raises what argparse turns into a message."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be 0 or more, it is {number}")
    return number


def paths(text: str) -> list[Path]:
    """Paths of a comma-separated list."""
    return [Path(part) for part in text.split(",") if part]
