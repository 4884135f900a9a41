"""What batch jobs read in addition to events: rulesets, erasures, and how far back the log reaches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

from pyspark.sql import SparkSession

from gateway.kafka.consumers import KAFKA_ERRORS, open_consumer
from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.events.topics import Topic
from gateway.model.rulesets.ruleset import InvalidRuleset, Ruleset
from gateway.model.rulesets.versions import InvalidRecord, PublishedVersion, RulesetLog
from gateway.model.times import format_time_ms
from gateway.model.visitors.erasure import Erasures
from processors.jobs.batch_job import JobFailed
from processors.jobs.event_log import SOURCES, read_log

KAFKA_SECONDS: Final = 15.0


class LogStart(NamedTuple):
    """The current start of a partition whose first records were deleted. `timestamp_ms` None: the partition is empty."""

    topic: str
    partition: int
    timestamp_ms: int | None


def published_rulesets(spark: SparkSession, bootstrap: str) -> list[PublishedVersion]:
    """All versions of the ruleset, oldest first. Raises JobFailed if there are none."""
    log = RulesetLog()
    versions = []
    for row in sorted(read_log(spark, bootstrap, (Topic.RULESETS.value,)).collect(), key=lambda row: row.offset):
        try:
            version = log.absorb(row.offset, None if row.value is None else bytes(row.value))
        except InvalidRecord:
            continue
        if version is not None:
            versions.append(version)
    if not versions:
        raise JobFailed(f"the topic {Topic.RULESETS.value} has no ruleset; publish one (gateway rules publish)")
    return versions


def ruleset_at(versions: Sequence[PublishedVersion], at_ms: int | None = None) -> tuple[Ruleset, list[str]]:
    """The version that was in force at a time (None: now), and notes for the report. Raises JobFailed if none can be loaded."""
    ruleset: Ruleset | None = None
    for version in reversed(versions):
        try:
            ruleset = load_ruleset(version.yaml, version.version, version.text_format)
        except InvalidRuleset:
            # A version that cannot be loaded was never in force.
            continue
        if at_ms is None or version.published_at_ms <= at_ms:
            return ruleset, []
    if ruleset is None:
        raise JobFailed(f"this release can load none of the {len(versions)} versions of the ruleset")
    return ruleset, [f"no ruleset was published yet at that time; this is the decision of version {ruleset.version}"]


def all_erasures(spark: SparkSession, bootstrap: str, signing_key: bytes) -> Erasures:
    """All erasures in the topic `erasures`."""
    erasures = Erasures(signing_key)
    for row in read_log(spark, bootstrap, (Topic.ERASURES.value,)).collect():
        try:
            erasures.learn(None if row.key is None else bytes(row.key), None if row.value is None else bytes(row.value))
        except (ValueError, UnicodeDecodeError):
            continue
    return erasures


def log_starts(bootstrap: str) -> list[LogStart]:
    """The partitions of the event log whose first records were deleted. Raises JobFailed if Kafka does not answer."""
    try:
        return asyncio.run(_log_starts(bootstrap))
    except KAFKA_ERRORS as problem:
        raise JobFailed(f"Kafka at {bootstrap} does not answer ({type(problem).__name__}); is it running?") from problem


def reach_problem(starts: Sequence[LogStart], at_ms: int) -> tuple[str | None, list[str]]:
    """Why the log does not reach back to a time (None: it does), and notes on the time before it."""
    for start in starts:
        if start.timestamp_ms is None or start.timestamp_ms > at_ms:
            state = "is empty now" if start.timestamp_ms is None else f"starts at {format_time_ms(start.timestamp_ms)}"
            return f"the log no longer reaches back that far: {start.topic}/{start.partition} {state}; older records were deleted", []
    latest_ms = max((start.timestamp_ms or 0 for start in starts), default=None)
    if latest_ms is None:
        return None, []
    return None, [f"the log starts at {format_time_ms(latest_ms)}: what the visitor did before that is not in it"]


async def _log_starts(bootstrap: str) -> list[LogStart]:
    # With a subscription: without one the consumer has no metadata of any topic.
    async with asyncio.timeout(KAFKA_SECONDS), open_consumer(bootstrap, *SOURCES) as consumer:
        partitions = sorted(consumer.assignment())
        first_offsets, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        starts = []
        for partition in (partition for partition in partitions if first_offsets[partition] > 0):
            timestamp_ms = None
            if first_offsets[partition] < ends[partition]:
                consumer.seek(partition, first_offsets[partition])
                timestamp_ms = (await consumer.getone(partition)).timestamp
            starts.append(LogStart(partition.topic, partition.partition, timestamp_ms))
        return starts
