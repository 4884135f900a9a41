"""The batch job `processors bought-together`: for each product those that are bought with it.

    Kafka: purchase_events, user_actions, erasures ─▶ orders, each once ─▶ baskets ─▶ pairs of products ─▶ a numbered version in Redis

A basket is what one visitor bought on one day (UTC): those who order twice a day mean one purchase. Anonymous visitors count
with the person they joined; orders of erased visitors are left out. The similarity of two products is the cosine of the sets
of baskets they are in, as in item-to-item collaborative filtering (Linden, Smith, York: "Amazon.com Recommendations", IEEE
Internet Computing 7(1), 2003):

    similarity(a, b) = baskets with both / sqrt(baskets with a * baskets with b)
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import time
from collections.abc import Iterable, Iterator
from itertools import combinations
from math import sqrt
from typing import TYPE_CHECKING, Final

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

from gateway.model.events.contribution import LoggedEvent, Position
from gateway.model.events.event import EventType
from gateway.model.events.topics import Topic
from gateway.settings import InvalidSettings, load_settings
from gateway.store.connection import StoreUnavailable, connect
from gateway.store.trends import TrendsStore
from processors.jobs.batch_job import JobFailed, run_batch
from processors.jobs.event_log import events_in, read_log
from processors.jobs.log_metadata import kept_erasures
from processors.jobs.stats_facts import Erased

if TYPE_CHECKING:
    from pyspark import RDD

MAX_COMPANIONS: Final = 20
MAX_PRODUCTS: Final = 20_000
"""Products that companions are stored of, those in the most baskets: gateways hold all of them in memory."""
MAX_BASKET: Final = 50
"""Products of a basket that are paired, the first by id: who buys more is a reseller, and pairs grow with the square."""
STORE_TIMEOUT_MS: Final = 10_000
DAY_MS: Final = 24 * 3600 * 1000

_LOG = logging.getLogger("processors")

Basket = tuple[tuple[str, int], frozenset[str]]
"""Whose and of which day, and the products."""
Scored = tuple[str, tuple[float, str]]
"""A product, and (similarity, companion)."""


def run(arguments: argparse.Namespace) -> int:
    """Run the job to its end; returns the exit code."""
    if arguments.days < 1 or arguments.min_baskets < 1:
        _LOG.error("bought-together not started: --days and --min-baskets must be 1 or more")
        return 2
    try:
        settings = load_settings()
    except InvalidSettings as problem:
        _LOG.error("bought-together not started: %s", problem)
        return 2
    return run_batch("bought-together", arguments, lambda spark: _job(spark, arguments, settings.signing_key))


def _job(spark: SparkSession, arguments: argparse.Namespace, signing_key: bytes) -> int:
    started = time.time()
    since_ms = int(started * 1000) - arguments.days * DAY_MS
    erased = Erased(kept_erasures(spark, arguments.bootstrap, signing_key))
    log = read_log(spark, arguments.bootstrap, (Topic.PURCHASE_EVENTS.value, Topic.USER_ACTIONS.value), since_ms)
    found = companions(baskets(events_in(of_interest(log)), erased), arguments.min_baskets)
    version = int(started)
    is_new = asyncio.run(_store(arguments.redis_url, version, found))
    if not is_new:
        _LOG.warning("bought-together: a version as new as %d is there already; this one is not stored", version)
        return 0
    pairs = sum(map(len, found.values()))
    _LOG.info("bought-together: version %d has %d products with %d companions", version, len(found), pairs)
    return 0


def of_interest(log: DataFrame) -> DataFrame:
    """Leave out what needs no closer look: of the actions only those that join visitors count."""
    joins = sf.col("value").cast("string").contains(EventType.IDENTIFY.value)
    return log.where((sf.col("topic") == Topic.PURCHASE_EVENTS.value) | joins)


def baskets(events: RDD[LoggedEvent], erased: Erased) -> RDD[Basket]:
    """The baskets of all orders, each order counted once for its visitor."""
    events = events.cache()
    joined = events.context.broadcast(
        dict(events.filter(_is_join).map(_join_of).reduceByKey(min).mapValues(lambda join: join[1]).collect())
    )

    def orders(logged: LoggedEvent) -> Iterator[tuple[tuple[str, str], tuple[int, frozenset[str]]]]:
        event = logged.event
        if event.type is not EventType.ORDER_COMPLETED:
            return
        who = joined.value.get(event.visitor_id, event.visitor_id)
        # Both: what joined a visitor may have done so before the days that are read.
        cutoff_ms = max(erased.until_ms(who), erased.until_ms(event.visitor_id))
        if min(event.received_at_ms, event.event_time_ms) > cutoff_ms:
            products = frozenset(line["product_id"] for line in event.payload["order"].get("products", ()))
            yield (who, event.payload["order"]["order_id"]), (event.event_time_ms // DAY_MS, products)

    once = events.flatMap(orders).reduceByKey(_first)
    of_days = once.map(lambda order: ((order[0][0], order[1][0]), order[1][1]))
    return of_days.reduceByKey(lambda one, other: one | other)


def companions(found: RDD[Basket], min_baskets: int) -> dict[str, tuple[str, ...]]:
    """For each product those bought with it in at least `min_baskets` baskets, the most similar first, equal ones by id."""
    contents = found.map(lambda basket: sorted(basket[1])[:MAX_BASKET]).cache()
    in_baskets = contents.flatMap(lambda products: [(product_id, 1) for product_id in products]).reduceByKey(int.__add__)
    counts = in_baskets.filter(lambda count: count[1] >= min_baskets).takeOrdered(MAX_PRODUCTS, key=lambda count: (-count[1], count[0]))
    of = contents.context.broadcast(dict(counts))

    def pairs(products: list[str]) -> Iterator[tuple[tuple[str, str], int]]:
        for pair in combinations([product_id for product_id in products if product_id in of.value], 2):
            yield pair, 1

    def scored(pair: tuple[tuple[str, str], int]) -> Iterator[Scored]:
        (one, other), both = pair
        similarity = both / sqrt(of.value[one] * of.value[other])
        yield one, (-similarity, other)
        yield other, (-similarity, one)

    met = contents.flatMap(pairs).reduceByKey(int.__add__).filter(lambda pair: pair[1] >= min_baskets)
    strongest = met.flatMap(scored).groupByKey().mapValues(_strongest)
    return dict(strongest.collect())


def _is_join(logged: LoggedEvent) -> bool:
    event = logged.event
    return event.type is EventType.IDENTIFY and event.payload["user_id"] != event.visitor_id


def _join_of(logged: LoggedEvent) -> tuple[str, tuple[Position, str]]:
    """If an id has several joins, the first one in the log counts, as in the contexts."""
    return logged.event.visitor_id, (logged.position, logged.event.payload["user_id"])


def _first(one: tuple[int, frozenset[str]], other: tuple[int, frozenset[str]]) -> tuple[int, frozenset[str]]:
    """Of two copies of an order the earlier, of the same day the one that holds more: whatever order they are read in."""
    return min(one, other, key=lambda order: (order[0], -len(order[1]), sorted(order[1])))


def _strongest(found: Iterable[tuple[float, str]]) -> tuple[str, ...]:
    return tuple(product_id for _, product_id in sorted(found)[:MAX_COMPANIONS])


async def _store(redis_url: str, version: int, found: dict[str, tuple[str, ...]]) -> bool:
    redis = connect(redis_url, STORE_TIMEOUT_MS)
    try:
        return await TrendsStore(redis).save_together(version, found)
    except StoreUnavailable as problem:
        raise JobFailed(f"nothing was stored: {problem}; check --redis-url, then run it again") from problem
    finally:
        await redis.aclose()
