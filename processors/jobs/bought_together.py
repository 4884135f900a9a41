"""The batch job `processors bought-together`: for each product, the products that are bought with it.

    Kafka: purchase_events, user_actions, erasures ─▶ orders, each once ─▶ baskets ─▶ pairs of products ─▶ a numbered version in Redis

A basket is what one visitor bought on one day (UTC): two orders on the same day count as one purchase. Anonymous visitors count
as the person they joined; orders of erased visitors are left out. The similarity of two products is the cosine of the sets of
baskets that contain them, as in item-to-item collaborative filtering (Linden, Smith, York: "Amazon.com Recommendations", IEEE
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
from typing import TYPE_CHECKING, Final, NamedTuple

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

from gateway.model.events.contribution import LoggedEvent, Position
from gateway.model.events.event_kinds import EventType
from gateway.model.events.topics import Topic
from gateway.model.times import DAY_MS
from gateway.settings import InvalidSettings, load_settings
from gateway.store.connection import StoreUnavailable, connect
from gateway.store.trends import TrendsStore
from processors.jobs.batch_job import JobFailed, run_batch
from processors.jobs.event_log import events_in, read_log
from processors.jobs.log_metadata import all_erasures
from processors.jobs.stats_facts import ErasureCutoffs

if TYPE_CHECKING:
    from pyspark import RDD

MAX_COMPANIONS: Final = 20
MAX_PRODUCTS: Final = 20_000
"""The most products with companions: those in the most baskets. Gateways keep all of them in memory."""
MAX_BASKET: Final = 50
"""The most products of a basket that are paired, the first ones by id. Larger baskets belong to resellers, and the number of
pairs grows with the square."""
STORE_TIMEOUT_MS: Final = 10_000

_LOG = logging.getLogger("processors")


class OrderKey(NamedTuple):
    """An order: its id is unique for its visitor."""

    visitor_id: str
    order_id: str


class OrderedProducts(NamedTuple):
    """The products of an order, and its day (since the epoch)."""

    day: int
    product_ids: frozenset[str]


class BasketKey(NamedTuple):
    """A basket: a visitor and a day (since the epoch)."""

    visitor_id: str
    day: int


class Companion(NamedTuple):
    """A product that is bought with another. The most similar one sorts first, equal ones by id."""

    negative_similarity: float
    product_id: str


Basket = tuple[BasketKey, frozenset[str]]


def find_bought_together(arguments: argparse.Namespace) -> int:
    """Run the job to its end; returns the exit code. Call it in the main thread."""
    if arguments.days < 1 or arguments.min_baskets < 1:
        _LOG.error("bought-together not started: --days and --min-baskets must be at least 1")
        return 2
    try:
        settings = load_settings()
    except InvalidSettings as problem:
        _LOG.error("bought-together not started: %s", problem)
        return 2
    return run_batch("bought-together", arguments, lambda spark: _find_and_store(spark, arguments, settings.signing_key))


def _find_and_store(spark: SparkSession, arguments: argparse.Namespace, signing_key: bytes) -> int:
    started = time.time()
    since_ms = int(started * 1000) - arguments.days * DAY_MS
    cutoffs = ErasureCutoffs(all_erasures(spark, arguments.bootstrap, signing_key))
    log = read_log(spark, arguments.bootstrap, (Topic.PURCHASE_EVENTS.value, Topic.USER_ACTIONS.value), since_ms)
    companions = find_companions(baskets(events_in(orders_and_joins(log)), cutoffs), arguments.min_baskets)
    version = int(started)
    is_new = asyncio.run(_store(arguments.redis_url, version, companions))
    if not is_new:
        _LOG.warning("bought-together: version %d or a newer one is already stored; this one is discarded", version)
        return 0
    pairs = sum(map(len, companions.values()))
    _LOG.info("bought-together: version %d has %d products with %d companions", version, len(companions), pairs)
    return 0


def orders_and_joins(log: DataFrame) -> DataFrame:
    """The records that can matter: purchases, and the actions that may join visitors."""
    joins = sf.col("value").cast("string").contains(EventType.IDENTIFY.value)
    return log.where((sf.col("topic") == Topic.PURCHASE_EVENTS.value) | joins)


def baskets(events: RDD[LoggedEvent], cutoffs: ErasureCutoffs) -> RDD[Basket]:
    """The baskets of all orders; each order counts once for its visitor."""
    events = events.cache()
    joined = events.context.broadcast(
        dict(events.filter(_is_join).map(_join_of).reduceByKey(min).mapValues(lambda join: join[1]).collect())
    )

    def orders(logged: LoggedEvent) -> Iterator[tuple[OrderKey, OrderedProducts]]:
        event = logged.event
        if event.type is not EventType.ORDER_COMPLETED:
            return
        owner = joined.value.get(event.visitor_id, event.visitor_id)
        # Both: the join may be older than the days that are read.
        cutoff_ms = max(cutoffs.until_ms(owner), cutoffs.until_ms(event.visitor_id))
        if min(event.received_at_ms, event.event_time_ms) > cutoff_ms:
            order = event.payload["order"]
            product_ids = frozenset(line["product_id"] for line in order.get("products", ()))
            yield OrderKey(owner, order["order_id"]), OrderedProducts(event.event_time_ms // DAY_MS, product_ids)

    once = events.flatMap(orders).reduceByKey(_first_order)
    by_day = once.map(lambda pair: (BasketKey(pair[0].visitor_id, pair[1].day), pair[1].product_ids))
    return by_day.reduceByKey(lambda one, other: one | other)


def find_companions(all_baskets: RDD[Basket], min_baskets: int) -> dict[str, tuple[str, ...]]:
    """For each product, the products in at least `min_baskets` baskets with it: the most similar first, equal ones by id."""
    contents = all_baskets.values().map(lambda product_ids: sorted(product_ids)[:MAX_BASKET]).cache()
    in_baskets = contents.flatMap(lambda products: [(product_id, 1) for product_id in products]).reduceByKey(int.__add__)
    counts = in_baskets.filter(lambda count: count[1] >= min_baskets).takeOrdered(MAX_PRODUCTS, key=lambda count: (-count[1], count[0]))
    baskets_of = contents.context.broadcast(dict(counts))

    def pairs(products: list[str]) -> Iterator[tuple[tuple[str, str], int]]:
        for pair in combinations([product_id for product_id in products if product_id in baskets_of.value], 2):
            yield pair, 1

    def scored(pair: tuple[tuple[str, str], int]) -> Iterator[tuple[str, Companion]]:
        (one, other), baskets_of_both = pair
        similarity = baskets_of_both / sqrt(baskets_of.value[one] * baskets_of.value[other])
        yield one, Companion(-similarity, other)
        yield other, Companion(-similarity, one)

    paired = contents.flatMap(pairs).reduceByKey(int.__add__).filter(lambda pair: pair[1] >= min_baskets)
    strongest = paired.flatMap(scored).groupByKey().mapValues(_strongest)
    return dict(strongest.collect())


def _is_join(logged: LoggedEvent) -> bool:
    event = logged.event
    return event.type is EventType.IDENTIFY and event.payload["user_id"] != event.visitor_id


def _join_of(logged: LoggedEvent) -> tuple[str, tuple[Position, str]]:
    """If an id has several joins, the first one in the log counts, as in the contexts."""
    return logged.event.visitor_id, (logged.position, logged.event.payload["user_id"])


def _first_order(one: OrderedProducts, other: OrderedProducts) -> OrderedProducts:
    """The earlier of two copies of an order, or on the same day the one with more products: independent of the reading order."""
    return min(one, other, key=lambda order: (order.day, -len(order.product_ids), sorted(order.product_ids)))


def _strongest(companions: Iterable[Companion]) -> tuple[str, ...]:
    return tuple(companion.product_id for companion in sorted(companions)[:MAX_COMPANIONS])


async def _store(redis_url: str, version: int, companions: dict[str, tuple[str, ...]]) -> bool:
    redis = connect(redis_url, STORE_TIMEOUT_MS)
    try:
        return await TrendsStore(redis).save_together(version, companions)
    except StoreUnavailable as problem:
        raise JobFailed(f"nothing was stored: {problem}; check --redis-url and run the job again") from problem
    finally:
        await redis.aclose()
