"""The command `processors`: streams that run until they are stopped, and batch jobs on the log, which end."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from processors.spark.masters import BATCH_MASTER, DEFAULT_MASTER, TRENDS_MASTER

CONNECTOR_JARS_VARIABLE: Final = "SPARK_CONNECTOR_JARS"
REDIS_VARIABLE: Final = "GATEWAY_REDIS_URL"
MAX_SNAPSHOT_SECONDS: Final = 3600
MAX_DAYS: Final = 90
_LOG = logging.getLogger("processors")

Commands = argparse._SubParsersAction


def main(argv: Sequence[str] | None = None) -> int:
    """Run a processor until it ends or is stopped by SIGTERM or SIGINT.

    Returns 0 after a stop, or at the end of a replay or batch job; 1 after a failure. Wrong arguments exit with 2.
    """
    arguments = _parser().parse_args(argv)
    module, _, function = arguments.run.partition(":")
    if arguments.command != "context-writer":
        _configure_logging()
    try:
        # Imported late: --help works without Spark, and so does the context writer.
        run: Callable[[argparse.Namespace], int] = getattr(import_module(module), function)
    except ModuleNotFoundError as error:
        _LOG.error("%s; install the extra: pip install 'personalization-gateway[processors]'", error)
        return 1
    return run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="processors",
        description="Stream processors, from events in Kafka to contexts in Redis, and batch jobs on the event log.",
        epilog="example: processors context-writer --metrics-port 9100; 'processors COMMAND --help' has an example of each command",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_context_stream(commands)
    _add_context_writer(commands)
    _add_trends_stream(commands)
    _add_bought_together(commands)
    _add_explain(commands)
    _add_dry_run(commands)
    _add_campaign_stats(commands)
    return parser


def _add_context_writer(commands: Commands[argparse.ArgumentParser]) -> None:
    writer = commands.add_parser(
        "context-writer",
        help="context_updates in Kafka to contexts in Redis",
        description="Write contexts from context_updates to Redis. Settings are environment variables: see 'gateway settings'.",
        epilog="example: processors context-writer --metrics-port 9100",
    )
    writer.add_argument("--metrics-port", type=int, default=0, help="serve /metrics at this port of 127.0.0.1; 0: not at all (default)")
    writer.set_defaults(run="processors.context.writer:run_context_writer")


def _add_context_stream(commands: Commands[argparse.ArgumentParser]) -> None:
    stream = commands.add_parser(
        "context-stream",
        help="events in Kafka to context_updates and dead_letters (Spark)",
        description="Check events with Spark and route them from the four source topics to context_updates and dead_letters.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_CONTEXT_STREAM_EXAMPLES,
    )
    stream.add_argument("--checkpoint", required=True, metavar="DIR", help=_HELP["checkpoint"])
    stream.add_argument("--log-epoch", required=True, type=epoch, metavar="N", help=_HELP["log-epoch"])
    stream.add_argument("--trigger", default="realtime", metavar="T", help=_HELP["trigger"])
    stream.add_argument("--checkpoint-interval", default="5 minutes", metavar="T", help=_HELP["checkpoint-interval"])
    stream.add_argument("--trends", action=argparse.BooleanOptionalAction, default=False, help=_HELP["trends"])
    _add_trends_arguments(stream, "--trends-trigger")
    add_spark_arguments(stream, DEFAULT_MASTER, "; real-time mode occupies one task slot for each source partition")
    stream.set_defaults(run="processors.context.stream_command:run_context_stream")


def _add_trends_stream(commands: Commands[argparse.ArgumentParser]) -> None:
    stream = commands.add_parser(
        "trends-stream",
        help="events in Kafka to trends in Redis (Spark)",
        description="Count in time windows what visitors view, add to carts and buy, and take numbered snapshots of the trends.",
        epilog="example: processors trends-stream --bootstrap 127.0.0.1:9092 --checkpoint ./trends --log-epoch 1; "
        "'processors context-stream --trends' runs it in the Spark session of the context stream",
    )
    stream.add_argument("--checkpoint", required=True, metavar="DIR", help=_HELP["checkpoint"])
    stream.add_argument("--log-epoch", required=True, type=epoch, metavar="N", help=_HELP["log-epoch"])
    _add_trends_arguments(stream, "--trigger")
    add_spark_arguments(stream, TRENDS_MASTER)
    stream.set_defaults(run="processors.trends.command:run_trends_stream")


def _add_trends_arguments(parser: argparse.ArgumentParser, trigger: str) -> None:
    parser.add_argument(trigger, dest="trends_trigger", default="5 seconds", metavar="T", help=_HELP["trends-trigger"])
    parser.add_argument("--snapshot-seconds", type=snapshot_seconds, default=30, metavar="N", help=_HELP["snapshot-seconds"])
    add_redis_argument(parser)


def _add_bought_together(commands: Commands[argparse.ArgumentParser]) -> None:
    batch = commands.add_parser(
        "bought-together",
        help="find products that are bought together, in the orders of the last days (Spark batch)",
        description="Find, for each product, what the same visitors buy on the same day; the next snapshot of the trends includes it. "
        "Reads GATEWAY_TOKEN_SECRET (for erasures) from the environment.",
        epilog="example: processors bought-together --bootstrap 127.0.0.1:9092; run it once a day, or once an hour",
    )
    batch.add_argument("--days", type=int, default=30, metavar="N", help=_HELP["days"])
    batch.add_argument("--min-baskets", type=int, default=2, metavar="N", help=_HELP["min-baskets"])
    add_redis_argument(batch)
    add_spark_arguments(batch, BATCH_MASTER)
    batch.set_defaults(run="processors.jobs.bought_together:find_bought_together")


def _add_explain(commands: Commands[argparse.ArgumentParser]) -> None:
    batch = commands.add_parser(
        "explain",
        help="explain why a visitor saw a banner at a past moment, from the log (Spark batch)",
        description="Explain, from the log, a past moment that the state no longer reaches back to. " + _SETTINGS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_EXPLAIN_EXAMPLES,
    )
    batch.add_argument("--visitor", metavar="ID", help="visitor id, known or anonymous")
    batch.add_argument("--placement", metavar="ID", help="placement id")
    batch.add_argument("--at", metavar="TIME", help="the decision at that time, from what had been received (RFC 3339)")
    batch.add_argument("--page", action="append", default=[], metavar="PAGE", help=_HELP["page"])
    batch.add_argument("--pairs", metavar="FILE", help=_HELP["pairs"])
    batch.add_argument("--json", action="store_true", help="print JSON in the shape of the API's Explanation, one per line")
    add_spark_arguments(batch, BATCH_MASTER)
    batch.set_defaults(run="processors.jobs.explain:explain_past_moments")


def _add_dry_run(commands: Commands[argparse.ArgumentParser]) -> None:
    batch = commands.add_parser(
        "dry-run",
        help="show what a ruleset would have changed in the past, from the log (Spark batch)",
        description="Decide with two rulesets for every time that a visitor looked at a page or a banner. " + _SETTINGS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_DRY_RUN_EXAMPLES,
    )
    batch.add_argument("file", type=Path, metavar="NEW")
    old = batch.add_mutually_exclusive_group(required=True)
    old.add_argument("--against", type=Path, metavar="OLD", help="compare with this file")
    old.add_argument("--in-force", action="store_true", help="compare with the ruleset in force, from the topic rulesets")
    batch.add_argument("--placement", action="append", default=[], help="only this placement; repeatable (default: all)")
    batch.add_argument("--from", dest="from_time", metavar="TIME", help="only what was received at or after this time (RFC 3339)")
    batch.add_argument("--to", dest="to_time", metavar="TIME", help="only what was received before this time (RFC 3339)")
    batch.add_argument("--moments", choices=("both", "pages", "banners"), default="both", help=_HELP["moments"])
    batch.add_argument("--page", action="append", default=[], metavar="PAGE", help=f"the page of events that name none: {_HELP['page']}")
    batch.add_argument("--show-ids", action="store_true", help=_HELP["show-ids"])
    batch.add_argument("--json", action="store_true", help="print JSON")
    add_spark_arguments(batch, BATCH_MASTER)
    batch.set_defaults(run="processors.jobs.dry_run:dry_run_over_log")


def _add_campaign_stats(commands: Commands[argparse.ArgumentParser]) -> None:
    batch = commands.add_parser(
        "campaign-stats",
        help="count views, clicks, conversions and revenue of campaigns, from the log to Redis (Spark batch)",
        description="Count the results of every campaign by hour, variant and version of the ruleset, as docs/statistics.md explains. "
        "Settings are environment variables, as for the gateway: see 'gateway settings'.",
        epilog="example: processors campaign-stats --bootstrap 127.0.0.1:9092; run it once an hour: it counts whole hours again",
    )
    batch.add_argument("--attribution-days", type=days, default=7, metavar="N", help=_HELP["attribution-days"])
    batch.add_argument("--return-days", type=days, default=14, metavar="N", help=_HELP["return-days"])
    add_redis_argument(batch)
    add_spark_arguments(batch, BATCH_MASTER)
    batch.set_defaults(run="processors.jobs.campaign_stats:compute_campaign_stats")


def add_redis_argument(parser: argparse.ArgumentParser) -> None:
    """The address of Redis. An address with a password belongs in the environment: other users of a machine can see arguments."""
    url = os.environ.get(REDIS_VARIABLE, "redis://127.0.0.1:6379/0")
    parser.add_argument(
        "--redis-url", default=url, metavar="URL", help=f"address of Redis (default: {REDIS_VARIABLE}, or redis://127.0.0.1:6379/0)"
    )


def add_spark_arguments(parser: argparse.ArgumentParser, master: str, note: str = "") -> None:
    """The options of every Spark command: Kafka's address, the master, memory and the connector's jars."""
    parser.add_argument("--bootstrap", required=True, metavar="HOST:PORT", help="addresses of Kafka brokers, comma-separated")
    parser.add_argument("--master", metavar="URL", help=f"Spark master (default: {master}, or that of spark-submit){note}")
    parser.add_argument("--driver-memory", default="1g", metavar="SIZE", help="memory of the JVM (default: 1g); ignored under spark-submit")
    jars = os.environ.get(CONNECTOR_JARS_VARIABLE, "")
    parser.add_argument("--connector-jars", default=jars, type=paths, metavar="PATHS", help=_HELP["connector-jars"])


_HELP: Final = {
    "checkpoint": "where progress is stored: a folder, or an address that Spark supports",
    "show-ids": "print visitor ids in the examples instead of their hashes; ids are personal data",
    "min-baskets": "two products must be together in at least this many baskets (default: 2)",
    "days": "orders of this many days count, by the time when Kafka stored them (default: 30)",
    "attribution-days": "an order counts for a campaign up to this many days after its last view or click (default: 7)",
    "return-days": "a visitor who did not see a campaign for this many days counts as new (default: 14)",
    "page": 'JSON such as \'{"type": "home"}\', or NAME=VALUE; repeatable',
    "pairs": "file of many moments, one JSON object per line: visitor, placement, at, page; - is standard input",
    "moments": "which events count: PAGE_VIEWED (for all placements), BANNER_VIEWED (for its placement), or both (default)",
    "trends": "also run the trends stream, in the same Spark session; its failures do not affect the context stream",
    "trends-trigger": "interval at which trends are counted, from '1 second' to '5 seconds' (default)",
    "snapshot-seconds": "interval in seconds at which gateways get a new snapshot of the trends (default: 30)",
    "log-epoch": "the same number as GATEWAY_LOG_EPOCH: raise it when the topics are re-created",
    "trigger": "realtime (default: each event immediately), an interval such as '1 second' (micro-batches), or availableNow "
    "(the events that exist now, then exit)",
    "checkpoint-interval": "interval at which real-time mode writes its progress (default: 5 minutes, at least 5 seconds); "
    "after a crash up to this much is repeated, and each write pauses the stream for about 200 ms",
    "connector-jars": f"jars of Spark's Kafka connector, comma-separated (default: {CONNECTOR_JARS_VARIABLE}); "
    "under spark-submit use its --jars instead",
}

_SETTINGS: Final = "Reads GATEWAY_TOKEN_SECRET (for erasures), GATEWAY_CONSENT_DEFAULT and GATEWAY_LOG_EPOCH from the environment."

_EXPLAIN_EXAMPLES: Final = """examples:
  processors explain --visitor 12345 --placement homepage-hero --at 2026-01-31T12:00:00Z --page type=home --bootstrap 127.0.0.1:9092
  processors explain --pairs moments.jsonl --json --bootstrap 127.0.0.1:9092
"""

_DRY_RUN_EXAMPLES: Final = """examples:
  processors dry-run new.yaml --in-force --from 2026-01-01T00:00:00Z --bootstrap 127.0.0.1:9092
  processors dry-run new.yaml --against old.yaml --moments banners --json --bootstrap 127.0.0.1:9092
"""

_CONTEXT_STREAM_EXAMPLES: Final = """examples:
  processors context-stream --bootstrap 127.0.0.1:9092 --checkpoint ./checkpoint --log-epoch 1
  processors context-stream --bootstrap 127.0.0.1:9092 --checkpoint ./checkpoint --log-epoch 1 --trigger '1 second'
  spark-submit --master spark://host:7077 --jars JARS main.py context-stream --bootstrap kafka:9092 --checkpoint DIR --log-epoch 1
    with main.py:  from processors.cli import main; raise SystemExit(main())

The same checkpoint can be used with another trigger. 'context stream ready' on standard error means that events are processed.
"""


def _configure_logging() -> None:
    form = "%(asctime)s %(levelname)s %(name)s %(message)s"
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=form, datefmt="%Y-%m-%dT%H:%M:%S", force=True)
    # py4j logs each broken connection with a traceback; `processors.spark.query_watch` reports what it means.
    logging.getLogger("py4j").setLevel(logging.CRITICAL)


def epoch(text: str) -> int:
    """A log epoch: an integer from 0. Raises what argparse turns into a message."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be 0 or more, not {number}")
    return number


def days(text: str) -> int:
    """A number of days, from 1 to `MAX_DAYS`. Raises what argparse turns into a message."""
    number = int(text)
    if not 1 <= number <= MAX_DAYS:
        raise argparse.ArgumentTypeError(f"must be from 1 to {MAX_DAYS}, not {number}")
    return number


def snapshot_seconds(text: str) -> int:
    """Seconds between two snapshots, from 1 to `MAX_SNAPSHOT_SECONDS`. Raises what argparse turns into a message."""
    number = int(text)
    if not 1 <= number <= MAX_SNAPSHOT_SECONDS:
        raise argparse.ArgumentTypeError(f"must be from 1 to {MAX_SNAPSHOT_SECONDS}, not {number}")
    return number


def paths(text: str) -> list[Path]:
    """The paths in a comma-separated list."""
    return [Path(part) for part in text.split(",") if part]
