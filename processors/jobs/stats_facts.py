"""What campaign statistics need from the log, as tables: facts of visitors, merged into persons who may be measured.

events ─▶ facts_of: one row for each event that matters and is not erased ─▶ facts_of_persons: anonymous ids joined to their person
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as sf
from pyspark.sql.types import BooleanType, IntegerType, LongType, StringType, StructField, StructType

from gateway.model.events.contribution import LoggedEvent, Order, Position, Refund, contribution_of
from gateway.model.events.event import Event
from gateway.model.events.event_kinds import EventType
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
_COLUMNS_OF_KINDS: Final = tuple(_COLUMNS)[9:]
"""The columns that only some kinds have."""
MAX_CACHED: Final = 100_000


class ErasureCutoffs:
    """Up to when visitors are erased. Remembers up to `MAX_CACHED` visitors, because each look-up costs a keyed hash."""

    def __init__(self, erasures: Erasures) -> None:
        self._erasures = erasures
        self._cached: dict[str, int] = {}

    def until_ms(self, visitor_id: str) -> int:
        """The last millisecond that is erased for this visitor; -1: nothing is erased."""
        until_ms = self._cached.get(visitor_id)
        if until_ms is None:
            if len(self._cached) >= MAX_CACHED:
                self._cached.clear()
            cutoff_ms = self._erasures.cutoff_of(visitor_id)
            until_ms = self._cached[visitor_id] = -1 if cutoff_ms is None else cutoff_ms
        return until_ms

    def remaining(self, events: Iterable[LoggedEvent]) -> Iterator[LoggedEvent]:
        """The events that are not erased, reduced to what statistics need."""
        for position, event in events:
            if min(event.event_time_ms, event.received_at_ms) > self.until_ms(event.visitor_id):
                # Every event is kept at this stage: the first copy of a message counts, whatever its type is.
                yield LoggedEvent(position, event if event.type in _KINDS else replace(event, payload={}))


def facts_of(spark: SparkSession, log: DataFrame, cutoffs: ErasureCutoffs) -> DataFrame:
    """One row for each event that matters."""
    remaining: RDD[LoggedEvent] = events_in(log).mapPartitions(cutoffs.remaining)
    rows = counted_once(remaining).mapPartitions(lambda events: _fact_rows(events, cutoffs))
    return spark.createDataFrame(rows, _SCHEMA, verifySchema=False)


def _fact_rows(events: Iterable[LoggedEvent], cutoffs: ErasureCutoffs) -> Iterator[FactRow]:
    for position, event in events:
        columns = _columns_of_kind(position, event, cutoffs) if event.type in _KINDS else None
        if columns is not None:
            yield (
                _KINDS[event.type], event.visitor_id, event.message_id, event.event_time_ms, event.sequence or 0, event.received_at_ms,
                *position, *(columns.get(name) for name in _COLUMNS_OF_KINDS),
            )  # fmt: skip


def _columns_of_kind(position: Position, event: Event, cutoffs: ErasureCutoffs) -> dict[str, Any] | None:
    """The columns of the event's kind; None if the event does not count."""
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
                # Without a decision id each message counts as its own decision.
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
            return {"user": user_id, "user_erased_ms": cutoffs.until_ms(user_id)}


HISTORY_ORDER: Final = ("time_ms", "sequence", "message")
"""The columns that sort the events of a visitor, as `HistoryKey` does."""


def history_key() -> Column:
    """The sort key of an event among the events of its visitor."""
    return sf.struct(*HISTORY_ORDER)


def facts_of_persons(facts: DataFrame) -> DataFrame:
    """The facts, with `person`, of persons who may be measured. An anonymous id belongs to the user of its partition's first identify."""
    # An erasure of the user also erases the events of an anonymous visitor up to that time, including the identify.
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
    return merged.where(sf.col("kind") != CONSENT).join(_opted_out(merged), "person", "left_anti")


def _opted_out(merged: DataFrame) -> DataFrame:
    """Persons who may not be measured: the latest consent of any of their visitor ids refuses it.

    A consent about personalization alone does not change the one about measurement. If there is none about measurement, a person
    who refused personalization is not measured either.
    """
    key = history_key()
    latest = [
        sf.max_by("measurement", sf.when(sf.col("measurement").isNotNull(), key)).alias("measurement"),
        sf.max_by("personalization", key).alias("personalization"),
    ]
    parts = merged.where(sf.col("kind") == CONSENT).groupBy("person", "visitor").agg(*latest)
    return parts.where(~sf.coalesce("measurement", "personalization")).select("person").distinct()
