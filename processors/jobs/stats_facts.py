"""What campaign statistics need of the log, as tables: facts of visitors, merged into persons, without those left out.

events ─▶ facts (one row an event that matters, erased ones left out) ─▶ of_persons: anonymous ids joined to who they are
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as sf
from pyspark.sql.types import BooleanType, IntegerType, LongType, StringType, StructField, StructType

from gateway.model.events.contribution import LoggedEvent, Order, Position, Refund, contribution_of
from gateway.model.events.event import Event, EventType
from gateway.model.statistics.sample_ratio import NO_VARIANT
from gateway.model.visitors.erasure import Erasures
from processors.jobs.event_log import counted_once, events_in

if TYPE_CHECKING:
    from pyspark import RDD

FactRow = tuple[Any, ...]

VIEW, CLICK, ORDER, REFUND, CONSENT, LINK = "view", "click", "order", "refund", "consent", "link"
_KINDS: Final = {
    EventType.BANNER_VIEWED: VIEW,
    EventType.BANNER_CLICKED: CLICK,
    EventType.ORDER_COMPLETED: ORDER,
    EventType.ORDER_REFUNDED: REFUND,
    EventType.CONSENT: CONSENT,
    EventType.IDENTIFY: LINK,
}
_TEXT, _LONG, _FLAG = StringType(), LongType(), BooleanType()
_COLUMNS: Final = {
    "kind": _TEXT, "visitor": _TEXT, "message": _TEXT, "time_ms": _LONG, "sequence": _LONG, "received_ms": _LONG,
    "topic": _TEXT, "partition": IntegerType(), "offset": _LONG,
    "campaign": _TEXT, "variant": _TEXT, "version": _LONG, "decision": _TEXT,
    "order_id": _TEXT, "amount": _TEXT, "currency": _TEXT,
    "user": _TEXT, "user_erased_ms": _LONG, "personalization": _FLAG, "measurement": _FLAG,
}  # fmt: skip
_SCHEMA: Final = StructType([StructField(name, kind) for name, kind in _COLUMNS.items()])
_OWN: Final = tuple(_COLUMNS)[9:]
MAX_KNOWN: Final = 100_000


class Erased:
    """Which events an erasure took away. Remembers the visitors it was asked about: each costs a keyed hash."""

    def __init__(self, erasures: Erasures) -> None:
        self._erasures = erasures
        self._known: dict[str, int] = {}

    def until_ms(self, visitor_id: str) -> int:
        """Up to when this visitor is erased; -1: never."""
        found = self._known.get(visitor_id)
        if found is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            cutoff_ms = self._erasures.cutoff_of(visitor_id)
            found = self._known[visitor_id] = -1 if cutoff_ms is None else cutoff_ms
        return found

    def remaining(self, events: Iterable[LoggedEvent]) -> Iterator[LoggedEvent]:
        """The events that are not erased, reduced to what statistics need."""
        for position, event in events:
            if min(event.event_time_ms, event.received_at_ms) > self.until_ms(event.visitor_id):
                # Every event is kept for now: the first copy of a message counts, whatever it is.
                yield LoggedEvent(position, event if event.type in _KINDS else replace(event, payload={}))


def facts_of(spark: SparkSession, log: DataFrame, erased: Erased) -> DataFrame:
    """One row for each event that matters."""
    remaining: RDD[LoggedEvent] = events_in(log).mapPartitions(erased.remaining)
    rows = counted_once(remaining).mapPartitions(lambda events: _rows(events, erased))
    return spark.createDataFrame(rows, _SCHEMA, verifySchema=False)


def _rows(events: Iterable[LoggedEvent], erased: Erased) -> Iterator[FactRow]:
    for position, event in events:
        own = _own(position, event, erased) if event.type in _KINDS else None
        if own is not None:
            yield (
                _KINDS[event.type], event.visitor_id, event.message_id, event.event_time_ms, event.sequence or 0, event.received_at_ms,
                *position, *(own.get(name) for name in _OWN),
            )  # fmt: skip


def _own(position: Position, event: Event, erased: Erased) -> dict[str, Any] | None:
    """The columns of its kind; None for what does not count."""
    payload = event.payload
    match _KINDS[event.type]:
        case "view" | "click":
            decision = payload["decision"]
            if "campaign_id" not in decision:
                return None
            return {
                "campaign": decision["campaign_id"],
                "variant": decision.get("variant", NO_VARIANT),
                "version": decision.get("ruleset_version", 0),
                # Without an id of the decision each message is one of its own.
                "decision": decision.get("id") or f"message:{event.message_id}",
            }
        case "order" | "refund":
            data = contribution_of(event, position).data
            if not isinstance(data, Order | Refund):
                return None
            return {"order_id": data.order_id, "amount": data.value, "currency": data.currency}
        case "consent":
            return {"personalization": payload["personalization"], "measurement": payload.get("measurement")}
        case _:
            user_id = payload["user_id"]
            if user_id == event.visitor_id:
                return None
            return {"user": user_id, "user_erased_ms": erased.until_ms(user_id)}


ORDERED: Final = ("time_ms", "sequence", "message")
"""What sorts the events of a visitor, as everywhere."""


def in_order() -> Column:
    """The place of an event among those of its visitor."""
    return sf.struct(*ORDERED)


def of_persons(facts: DataFrame) -> DataFrame:
    """The facts with `person`, of those who may be measured. An anonymous id is the user of the first identify in its partition."""
    # An erasure of the user takes along what was said of an anonymous visitor up to then, the identify included.
    identifies = facts.where((sf.col("kind") == LINK) & (sf.least("time_ms", "received_ms") > sf.col("user_erased_ms")))
    owner = sf.min_by(sf.struct("user", "user_erased_ms"), sf.struct("topic", "partition", "offset")).alias("owner")
    links = identifies.groupBy("visitor").agg(owner).select("visitor", "owner.user", "owner.user_erased_ms")
    merged = (
        facts.where(sf.col("kind") != LINK)
        .drop("user", "user_erased_ms")
        .join(links, "visitor", "left")
        .where(sf.least("time_ms", "received_ms") > sf.coalesce("user_erased_ms", sf.lit(-1)))
        .withColumn("person", sf.coalesce("user", "visitor"))
        .drop("user", "user_erased_ms")
    )
    return merged.where(sf.col("kind") != CONSENT).join(_refusing(merged), "person", "left_anti")


def _refusing(merged: DataFrame) -> DataFrame:
    """Persons who may not be measured: the latest answer of any of their parts says so.

    An answer about personalization alone leaves the one about measurement as it was; where that was never given, whoever
    does not want to be personalized is not measured either.
    """
    place = in_order()
    latest = [
        sf.max_by("measurement", sf.when(sf.col("measurement").isNotNull(), place)).alias("measurement"),
        sf.max_by("personalization", place).alias("personalization"),
    ]
    parts = merged.where(sf.col("kind") == CONSENT).groupBy("person", "visitor").agg(*latest)
    return parts.where(~sf.coalesce("measurement", "personalization")).select("person").distinct()
