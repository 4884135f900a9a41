"""What batch jobs read beside events: rulesets, erasures, and how far back the log reaches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

from aiokafka.errors import KafkaError
from pyspark.sql import SparkSession

from gateway.kafka.consumers import open_consumer
from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.events.topics import Topic
from gateway.model.rulesets.ruleset import InvalidRuleset, Ruleset
from gateway.model.rulesets.versions import InvalidRecord, PublishedVersion, RulesetLog
from gateway.model.times import format_time_ms
from gateway.model.visitors.erasure import Erasures
from processors.jobs.batch_job import JobFailed
from processors.jobs.event_log import SOURCES, read_log

KAFKA_SECONDS: Final = 15.0


class Start(NamedTuple):
    """Where a partition that lost its first records begins now. `timestamp_ms` None: nothing is left in it."""

    topic: str
    partition: int
    timestamp_ms: int | None


def published_rulesets(spark: SparkSession, bootstrap: str) -> list[PublishedVersion]:
    """All versions of the ruleset, oldest first. Raises JobFailed when there is none."""
    found = RulesetLog()
    versions = []
    for row in sorted(read_log(spark, bootstrap, (Topic.RULESETS.value,)).collect(), key=lambda row: row.offset):
        try:
            version = found.absorb(row.offset, None if row.value is None else bytes(row.value))
        except InvalidRecord:
            continue
        if version is not None:
            versions.append(version)
    if not versions:
        raise JobFailed(f"the topic {Topic.RULESETS.value} holds no ruleset; publish one (gateway rules publish)")
    return versions


def ruleset_at(versions: Sequence[PublishedVersion], at_ms: int | None = None) -> tuple[Ruleset, list[str]]:
    """The version that was in force at a moment (None: now), and what is to be noted. Raises JobFailed when none can be loaded."""
    found: Ruleset | None = None
    for one in reversed(versions):
        try:
            found = load_ruleset(one.yaml, one.version)
        except InvalidRuleset:
            # A version that cannot be loaded never came into force.
            continue
        if at_ms is None or one.published_at_ms <= at_ms:
            return found, []
    if found is None:
        raise JobFailed(f"none of the {len(versions)} versions of the ruleset can be loaded by this release")
    return found, [f"no version of the ruleset was published by then; this is what version {found.version} decides"]


def kept_erasures(spark: SparkSession, bootstrap: str, signing_key: bytes) -> Erasures:
    """All erasures."""
    erasures = Erasures(signing_key)
    for row in read_log(spark, bootstrap, (Topic.ERASURES.value,)).collect():
        try:
            erasures.learn(None if row.key is None else bytes(row.key), None if row.value is None else bytes(row.value))
        except (ValueError, UnicodeDecodeError):
            continue
    return erasures


def log_starts(bootstrap: str) -> list[Start]:
    """The partitions of the event log whose first records are gone. Raises JobFailed when Kafka does not answer."""
    try:
        return asyncio.run(_log_starts(bootstrap))
    except (KafkaError, TimeoutError, OSError) as problem:
        raise JobFailed(f"Kafka at {bootstrap} does not answer ({type(problem).__name__}); is it up?") from problem


def reach(starts: Sequence[Start], at_ms: int) -> tuple[str | None, list[str]]:
    """Why the log does not reach back to a moment (None: it does), and what is to be noted of what was before it."""
    for start in starts:
        if start.timestamp_ms is None or start.timestamp_ms > at_ms:
            begins = "is empty now" if start.timestamp_ms is None else f"begins at {format_time_ms(start.timestamp_ms)}"
            return f"the log no longer reaches back: {start.topic}/{start.partition} {begins}, older records were deleted", []
    latest_ms = max((start.timestamp_ms or 0 for start in starts), default=None)
    if latest_ms is None:
        return None, []
    return None, [f"the log begins at {format_time_ms(latest_ms)}: what the visitor did before is not in it"]


async def _log_starts(bootstrap: str) -> list[Start]:
    # Subscribed, not asked for each topic: without a subscription the consumer knows of no topic at all.
    async with asyncio.timeout(KAFKA_SECONDS), open_consumer(bootstrap, *SOURCES) as consumer:
        places = sorted(consumer.assignment())
        begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        starts = []
        for place in (place for place in places if begins[place] > 0):
            timestamp_ms = None
            if begins[place] < ends[place]:
                consumer.seek(place, begins[place])
                timestamp_ms = (await consumer.getone(place)).timestamp
            starts.append(Start(place.topic, place.partition, timestamp_ms))
        return starts
