"""Metrics and logs. Every metric name stands here; no metric has a label that names a visitor, and no log line does."""

from __future__ import annotations

import gc
import logging
import sys

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The metrics of one process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.events = Counter("gateway_events_total", "Events by answer", ["status"], registry=r)
        self.publish_seconds = Histogram("gateway_publish_seconds", "From admission to Kafka's answer", buckets=_SECONDS, registry=r)
        self.in_flight = Gauge("gateway_events_in_flight", "Events handed to Kafka, not yet acknowledged", registry=r)
        self.producer_restarts = Counter("gateway_producer_restarts_total", "Kafka producers made anew after a failure", registry=r)
        self.decisions = Counter("gateway_decisions_total", "Decisions by reason", ["reason"], registry=r)
        self.condition_errors = Counter(
            "gateway_condition_errors_total", "Conditions that failed while running, which counts as false", ["campaign"], registry=r
        )
        self.context_reads = Histogram(
            "gateway_context_reads", "Contexts read by one command", buckets=(1, 2, 4, 8, 16, 32, 64, 128), registry=r
        )
        self.stale = Counter("gateway_stale_answers_total", "Answers with fresh: false", registry=r)
        self.subscriptions = Gauge("gateway_subscriptions", "Open subscriptions", registry=r)
        self.ruleset_version = Gauge("gateway_ruleset_version", "Version of the ruleset in force", registry=r)
        self.trends_snapshot = Gauge("gateway_trends_snapshot", "Number of the trends snapshot in use, a unix second", registry=r)
        self.trends_age = Gauge("gateway_trends_age_seconds", "Age of the trends snapshot in use; 0: there is none yet", registry=r)
        self.pushes = Counter("gateway_pushes_total", "Decisions pushed to subscriptions", registry=r)
        self.notice_reconnects = Counter("gateway_notice_reconnects_total", "Times the notice connection was lost", registry=r)
        self.absorbed = Counter("context_writer_messages_total", "Messages by what became of them", ["outcome"], registry=r)
        self.writes = Counter("context_writer_writes_total", "Context writes", ["outcome"], registry=r)
        self.purges = Counter("context_writer_purges_total", "Contexts purged after consent was withdrawn", registry=r)
        self.dead_letters = Counter("context_writer_dead_letters_total", "Records that could not be processed", ["code"], registry=r)


def configure_logging(level: str) -> None:
    """One line an event on standard error. Access logs of libraries that would show addresses are off."""
    logging.basicConfig(
        level=level,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
        force=True,
    )
    # aiokafka logs each reconnect attempt at ERROR with the peer's address; our supervisor says what matters.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL if level != "DEBUG" else logging.DEBUG)


def settle_memory() -> None:
    """After the start: what lives as long as the process is never looked at again by the garbage collector.

    A full collection over schema and libraries takes more than 100 ms, in which nobody is served.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
