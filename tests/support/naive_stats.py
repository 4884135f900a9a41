"""Campaign statistics by the rules of docs/statistics.md, read naively from records of the log: one person, one order at a time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from tests.support.stack_site import Logged

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS


@dataclass
class Numbers:
    """Counts and revenue of one row. A count that is missing is zero."""

    counts: Counter[str] = field(default_factory=Counter)
    revenue: dict[str, Decimal] = field(default_factory=dict)

    def pay(self, currency: str, amount: Decimal) -> None:
        """Add to the revenue; nothing stays where it is zero."""
        self.revenue[currency] = self.revenue.get(currency, Decimal()) + amount
        if not self.revenue[currency]:
            del self.revenue[currency]

    def only(self, names: Iterable[str]) -> Numbers:
        """Without the other counts."""
        return Numbers(Counter({name: self.counts[name] for name in names}), {c: a for c, a in self.revenue.items() if a})


Key = tuple[int, str, int]
Stats = dict[str, dict[Key, Numbers]]


def totals(
    rows: dict[Key, Numbers], names: Sequence[str] = ("views", "clicks", "conversions", "visitors", "converted", "moved")
) -> dict[str, Numbers]:
    """Rows added up by variant."""
    found: dict[str, Numbers] = {}
    for (_, variant, _), one in rows.items():
        total = found.setdefault(variant, Numbers())
        total.counts.update(one.counts)
        for currency, amount in one.revenue.items():
            total.pay(currency, amount)
    return {variant: one.only(names) for variant, one in found.items()}


def naive_stats(log: Sequence[Logged], *, attribution_days: int, return_days: int) -> Stats:
    """All campaigns of the log."""
    stats: Stats = defaultdict(lambda: defaultdict(Numbers))
    for events in _people(log).values():
        if not _refuses(events):
            orders = _orders(events)
            for campaign in {_campaign(one) for one in events} - {None}:
                _count(stats[str(campaign)], str(campaign), events, orders, attribution_days * DAY_MS, return_days * DAY_MS)
    return {
        campaign: {key: one for key, one in rows.items() if any(one.counts.values()) or one.revenue} for campaign, rows in stats.items()
    }


def _people(log: Sequence[Logged]) -> dict[str, list[dict[str, Any]]]:
    records = [{**one.body, "place": (one.topic, one.partition, one.offset)} for one in log]
    erased: dict[str, int] = {}
    for one in records:
        if one["type"] == "DELETE":
            user, until = one["visitor_id"], one["received_at_ms"]
            joined = {r["visitor_id"] for r in records if r["type"] == "IDENTIFY" and r["payload"]["user_id"] == user}
            for visitor in {user, *joined}:
                erased[visitor] = max(until, erased.get(visitor, 0))
    kept = [r for r in records if min(r["event_time_ms"], r["received_at_ms"]) > erased.get(r["visitor_id"], -1)]
    once: dict[tuple[str, str], dict[str, Any]] = {}
    for one in sorted(kept, key=lambda r: (r["received_at_ms"], r["place"])):
        once.setdefault((one["visitor_id"], one["message_id"]), one)
    owner: dict[str, str] = {}
    for one in sorted(once.values(), key=lambda r: r["place"]):
        if one["type"] == "IDENTIFY" and one["payload"]["user_id"] != one["visitor_id"]:
            owner.setdefault(one["visitor_id"], one["payload"]["user_id"])
    people: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in sorted(once.values(), key=_order_key):
        people[owner.get(one["visitor_id"], one["visitor_id"])].append(one)
    return people


def _order_key(record: dict[str, Any]) -> tuple[int, int, str]:
    return (record["event_time_ms"], record["sequence"] or 0, record["message_id"])


def _refuses(events: list[dict[str, Any]]) -> bool:
    measurement: dict[str, bool] = {}
    personalization: dict[str, bool] = {}
    for one in events:
        if one["type"] == "CONSENT":
            personalization[one["visitor_id"]] = one["payload"]["personalization"]
            if one["payload"].get("measurement") is not None:
                measurement[one["visitor_id"]] = one["payload"]["measurement"]
    return not all(measurement.get(visitor, wanted) for visitor, wanted in personalization.items())


def _campaign(event: dict[str, Any]) -> str | None:
    return event["payload"].get("decision", {}).get("campaign_id") if event["type"] in ("BANNER_VIEWED", "BANNER_CLICKED") else None


def _orders(events: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By order id: when it was, and what is left of it after refunds."""
    orders: dict[str, dict[str, Any]] = {}
    for one in events:
        if one["type"] == "ORDER_COMPLETED":
            order = one["payload"]["order"]
            orders.setdefault(order["order_id"], {"at": one["event_time_ms"], "money": [(order["currency"], Decimal(order["value"]))]})
    refunded = set()
    for one in events:
        if one["type"] == "ORDER_REFUNDED" and one["message_id"] not in refunded:
            refunded.add(one["message_id"])
            order = one["payload"]["order"]
            if order["order_id"] in orders:
                orders[order["order_id"]]["money"].append((order["currency"], -Decimal(order["value"])))
    return orders


def _count(
    rows: dict[Key, Numbers],
    campaign: str,
    events: list[dict[str, Any]],
    orders: dict[str, dict[str, Any]],
    window_ms: int,
    absence_ms: int,
) -> None:
    decisions: dict[str, dict[str, Any]] = {}
    for one in events:
        if _campaign(one) == campaign:
            about = one["payload"]["decision"]
            known = decisions.setdefault(about["id"], {"variant": about.get("variant", ""), "version": about["ruleset_version"]})
            known.setdefault("seen" if one["type"] == "BANNER_VIEWED" else "clicked", one)
    shown = sorted(decisions.values(), key=lambda d: _order_key(d.get("seen") or d["clicked"]))
    visits: list[list[dict[str, Any]]] = []
    for one in shown:
        one["at"] = (one.get("seen") or one["clicked"])["event_time_ms"]
        rows[one["at"] // HOUR_MS, one["variant"], one["version"]].counts["views"] += 1
        if "clicked" in one:
            rows[one["clicked"]["event_time_ms"] // HOUR_MS, one["variant"], one["version"]].counts["clicks"] += 1
        if not visits or one["at"] - visits[-1][-1]["at"] > absence_ms:
            visits.append([])
        visits[-1].append(one)
    converted = set()
    for order in orders.values():
        touches = [
            (touch, number)
            for number, visit in enumerate(visits)
            for one in visit
            for touch in (one["at"], one.get("clicked", {}).get("event_time_ms"))
            if touch is not None and 0 <= order["at"] - touch <= window_ms
        ]
        if touches:
            number = max(touches)[1]
            converted.add(number)
            first = visits[number][0]
            row = rows[order["at"] // HOUR_MS, first["variant"], first["version"]]
            row.counts["conversions"] += 1
            for currency, amount in order["money"]:
                row.pay(currency, amount)
    for number, visit in enumerate(visits):
        first = visit[0]
        v, c = len(visit), sum("clicked" in one for one in visit)
        moved = any(one["variant"] != first["variant"] for one in visit)
        row = rows[first["at"] // HOUR_MS, first["variant"], first["version"]]
        row.counts.update(
            {"visitors": 1, "converted": number in converted, "moved": moved, "v": v, "c": c, "vv": v * v, "cc": c * c, "vc": v * c}
        )
