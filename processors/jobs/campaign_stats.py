"""The command `processors campaign-stats`: views, clicks, conversions and revenue of every campaign, by hour, from the log.

    Kafka ─▶ facts ─▶ persons ─▶ rows (Spark) ─▶ Redis: {campaign_stats:<campaign>}:hours

Hours that the log still tells all of are computed anew and replaced as a whole: a run that is repeated, or that overtakes
another, changes nothing. Hours that it no longer tells all of stay as an earlier run counted them.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import time
from typing import Final

from pyspark import StorageLevel
from pyspark.sql import SparkSession
from pyspark.sql import functions as sf

from gateway.model.events.event import AHEAD_LIMIT_MS
from gateway.model.statistics.results import HOUR_MS, Coverage
from gateway.model.times import format_time_ms
from gateway.settings import InvalidSettings, Settings, load_settings
from gateway.store.connection import StoreUnavailable, connect
from gateway.store.stats import CampaignStatsStore
from processors.jobs.batch_job import JobFailed, run_batch
from processors.jobs.event_log import read_log
from processors.jobs.log_metadata import Start, kept_erasures, log_starts
from processors.jobs.stats_facts import Erased, facts_of, of_persons
from processors.jobs.stats_rows import DAY_MS, Hours, Rule, rows_of

WRITE_MS: Final = 10_000
"""A campaign's rows of a year are some megabytes."""
_LOG = logging.getLogger("processors")


def run(arguments: argparse.Namespace) -> int:
    """Compute and store; returns the exit code, 2 for settings that cannot be used. Call in the main thread."""
    try:
        settings = load_settings()
    except InvalidSettings as problem:
        _LOG.error("campaign statistics not computed: %s", problem)
        return 2
    rule = Rule(arguments.attribution_days, arguments.return_days)
    return run_batch("campaign-stats", arguments, lambda spark: compute(spark, arguments.bootstrap, arguments.redis_url, settings, rule))


def compute(spark: SparkSession, bootstrap: str, redis_url: str, settings: Settings, rule: Rule) -> int:
    """Read the log, count, store. Raises JobFailed."""
    as_of_ms = time.time_ns() // 1_000_000
    first_hour = first_hour_of(log_starts(bootstrap), rule, as_of_ms)
    erasures = kept_erasures(spark, bootstrap, settings.signing_key)
    # Read once: each reading would see another end of the log.
    facts = facts_of(spark, read_log(spark, bootstrap), Erased(erasures)).persist(StorageLevel.MEMORY_AND_DISK)
    began_ms = facts.agg(sf.min("received_ms")).collect()[0][0]
    persons = of_persons(facts).persist(StorageLevel.MEMORY_AND_DISK)
    campaigns = rows_of(persons, rule)
    coverage = Coverage(as_of_ms, rule.attribution_days, rule.return_days, settings.log_epoch, first_hour)
    written = asyncio.run(_store(redis_url, campaigns, coverage, (as_of_ms if began_ms is None else began_ms) // HOUR_MS))
    _LOG.info("%d campaigns in %.1f s, as of %s", written, time.time() - as_of_ms / 1000, format_time_ms(as_of_ms))
    return 0


def first_hour_of(starts: list[Start], rule: Rule, as_of_ms: int) -> int:
    """The first hour of which the log holds all that its rows are made of; 0 where nothing was deleted from it.

    Who saw a campaign within the return days before is no new visitor, and an order counts for what was seen within the
    attribution days before: so far back the log must reach. Raises JobFailed when it reaches back less than that from now.
    """
    held_from_ms = max((start.timestamp_ms for start in starts if start.timestamp_ms is not None), default=None)
    if held_from_ms is None:
        return 0
    # An event can be dated ahead of its receipt.
    needed_ms = max(rule.return_days, rule.attribution_days) * DAY_MS + AHEAD_LIMIT_MS
    first_hour = -(-(held_from_ms + needed_ms) // HOUR_MS)
    held_days = (as_of_ms - held_from_ms) / DAY_MS
    if first_hour > as_of_ms // HOUR_MS:
        message = f"the log reaches back {held_days:.1f} days; no hour can be counted by --return-days {rule.return_days}"
        raise JobFailed(f"{message} and --attribution-days {rule.attribution_days}: choose fewer, or keep the topics longer")
    _LOG.info("the log reaches back %.1f days: hours from %s on are counted anew", held_days, format_time_ms(first_hour * HOUR_MS))
    return first_hour


async def _store(redis_url: str, campaigns: Hours, coverage: Coverage, began_hour: int) -> int:
    redis = connect(redis_url, WRITE_MS)
    try:
        return await CampaignStatsStore(redis).save(campaigns, coverage, began_hour)
    except StoreUnavailable as problem:
        raise JobFailed(f"{problem}; is Redis up?") from problem
    finally:
        await redis.aclose()
