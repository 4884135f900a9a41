"""The command `processors campaign-stats`: views, clicks, conversions and revenue of every campaign, by hour, from the log.

    Kafka ─▶ facts ─▶ persons ─▶ rows (Spark) ─▶ Redis: {campaign_stats:<campaign>}:hours

Hours that the log still covers completely are counted again and replaced as a whole: a repeated run, or one that overtakes
another, changes nothing. Hours that it no longer covers completely keep the counts of an earlier run.
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
from gateway.model.statistics.results import Coverage
from gateway.model.times import DAY_MS, HOUR_MS, format_time_ms
from gateway.settings import InvalidSettings, Settings, load_settings
from gateway.store.connection import StoreUnavailable, connect
from gateway.store.stats import CampaignStatsStore
from processors.jobs.batch_job import JobFailed, run_batch
from processors.jobs.event_log import read_log
from processors.jobs.log_metadata import LogStart, all_erasures, log_starts
from processors.jobs.stats_facts import ErasureCutoffs, facts_of, facts_of_persons
from processors.jobs.stats_rows import AttributionRule, Hours, rows_of

STORE_TIMEOUT_MS: Final = 10_000
"""The timeout of a write: one year of rows of a campaign is a few megabytes."""
_LOG = logging.getLogger("processors")


def compute_campaign_stats(arguments: argparse.Namespace) -> int:
    """Count and store; returns the exit code, 2 for invalid settings. Call it in the main thread."""
    try:
        settings = load_settings()
    except InvalidSettings as problem:
        _LOG.error("campaign statistics not computed: %s", problem)
        return 2
    rule = AttributionRule(arguments.attribution_days, arguments.return_days)
    return run_batch(
        "campaign-stats", arguments, lambda spark: count_and_store(spark, arguments.bootstrap, arguments.redis_url, settings, rule)
    )


def count_and_store(spark: SparkSession, bootstrap: str, redis_url: str, settings: Settings, rule: AttributionRule) -> int:
    """Read the log, count, and store the rows. Raises JobFailed."""
    as_of_ms = time.time_ns() // 1_000_000
    first_hour = first_hour_of(log_starts(bootstrap), rule, as_of_ms)
    erasures = all_erasures(spark, bootstrap, settings.signing_key)
    # Read once: a second read would see a later end of the log.
    facts = facts_of(spark, read_log(spark, bootstrap), ErasureCutoffs(erasures)).persist(StorageLevel.MEMORY_AND_DISK)
    began_ms = facts.agg(sf.min("received_ms")).collect()[0][0]
    persons = facts_of_persons(facts).persist(StorageLevel.MEMORY_AND_DISK)
    campaigns = rows_of(persons, rule)
    coverage = Coverage(as_of_ms, rule.attribution_days, rule.return_days, settings.log_epoch, first_hour)
    written = asyncio.run(_store(redis_url, campaigns, coverage, (as_of_ms if began_ms is None else began_ms) // HOUR_MS))
    _LOG.info("%d campaigns in %.1f s, as of %s", written, time.time() - as_of_ms / 1000, format_time_ms(as_of_ms))
    return 0


def first_hour_of(starts: list[LogStart], rule: AttributionRule, as_of_ms: int) -> int:
    """The first hour for which the log has everything that its rows depend on; 0 if nothing was deleted from the log.

    A visitor who saw a campaign in the return days before is not a new visitor of it, and an order counts for what was seen in the
    attribution days before it: the log must reach back that far. Raises JobFailed if it does not do so even for the current hour.
    """
    log_start_ms = max((start.timestamp_ms for start in starts if start.timestamp_ms is not None), default=None)
    if log_start_ms is None:
        return 0
    # An event can be dated ahead of its receipt.
    needed_ms = max(rule.return_days, rule.attribution_days) * DAY_MS + AHEAD_LIMIT_MS
    first_hour = -(-(log_start_ms + needed_ms) // HOUR_MS)
    log_days = (as_of_ms - log_start_ms) / DAY_MS
    if first_hour > as_of_ms // HOUR_MS:
        message = f"the log reaches back {log_days:.1f} days, too few for --return-days {rule.return_days}"
        raise JobFailed(f"{message} and --attribution-days {rule.attribution_days}: use fewer days, or keep the topics longer")
    _LOG.info("the log reaches back %.1f days: hours from %s on are counted again", log_days, format_time_ms(first_hour * HOUR_MS))
    return first_hour


async def _store(redis_url: str, campaigns: Hours, coverage: Coverage, log_start_hour: int) -> int:
    redis = connect(redis_url, STORE_TIMEOUT_MS)
    try:
        return await CampaignStatsStore(redis).save(campaigns, coverage, log_start_hour)
    except StoreUnavailable as problem:
        raise JobFailed(f"{problem}; is Redis running?") from problem
    finally:
        await redis.aclose()
