"""Metrics and logs. All metric names are here. Neither a metric's label nor a log line names a visitor."""

from __future__ import annotations

import gc
import logging
import sys

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The metrics of one process, in its own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.events = Counter("gateway_events_total", "Events by status", ["status"], registry=r)
        self.publish_seconds = Histogram(
            "gateway_publish_seconds", "Seconds from handing events to the producer until Kafka has answered", buckets=_SECONDS, registry=r
        )
        self.in_flight = Gauge("gateway_events_in_flight", "Events that Kafka has not acknowledged yet", registry=r)
        self.producer_restarts = Counter("gateway_producer_restarts_total", "Kafka producers replaced after a failure", registry=r)
        self.decisions = Counter("gateway_decisions_total", "Decisions by reason", ["reason"], registry=r)
        self.condition_errors = Counter(
            "gateway_condition_errors_total", "Conditions that failed at run time, which counts as false", ["campaign"], registry=r
        )
        self.context_reads = Histogram(
            "gateway_context_reads", "Contexts read by one Redis command", buckets=(1, 2, 4, 8, 16, 32, 64, 128), registry=r
        )
        self.stale = Counter("gateway_stale_answers_total", "Decisions with fresh: false", registry=r)
        self.subscriptions = Gauge("gateway_subscriptions", "Open subscriptions", registry=r)
        self.ruleset_version = Gauge("gateway_ruleset_version", "Version of the ruleset in force", registry=r)
        self.trends_snapshot = Gauge("gateway_trends_snapshot", "Number of the trends snapshot in use: a unix time in seconds", registry=r)
        self.trends_age = Gauge("gateway_trends_age_seconds", "Age of the trends snapshot in use; 0 if there is none yet", registry=r)
        self.pushes = Counter("gateway_pushes_total", "Decisions pushed to subscriptions", registry=r)
        self.notice_reconnects = Counter(
            "gateway_notice_reconnects_total", "How often the connection for change notices was lost", registry=r
        )
        self.absorbed = Counter("context_writer_messages_total", "Messages by outcome", ["outcome"], registry=r)
        self.writes = Counter("context_writer_writes_total", "Writes of contexts by outcome", ["outcome"], registry=r)
        self.purges = Counter("context_writer_purges_total", "Contexts purged after consent was withdrawn", registry=r)
        self.dead_letters = Counter(
            "context_writer_dead_letters_total", "Records that could not be processed, by error code", ["code"], registry=r
        )


def configure_logging(level: str) -> None:
    """Write one line per log record to standard error. Logs of libraries that would show addresses are off."""
    logging.basicConfig(
        level=level,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
        force=True,
    )
    # aiokafka logs each reconnect attempt at ERROR with the peer's address; our own supervisor logs what matters.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL if level != "DEBUG" else logging.DEBUG)


def settle_memory() -> None:
    """Call it after the start: objects that live as long as the process are never visited by the garbage collector again.

    A full collection over the schema and the libraries takes more than 100 ms, during which no request is served.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
