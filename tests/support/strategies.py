"""Hypothesis strategies that the unit tests share: JSON, events, and logs of a visitor with copies, erasures and gaps.

All times of a log lie within a day, so that nothing is sealed for its age. `SETTINGS` is what every property test uses; how many
examples each is tried with depends on `scripts/test --long` (tests/conftest.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from gateway.model.events.contribution import Position
from gateway.model.events.event import Event, check_record
from gateway.model.events.event_kinds import EventType, topic_of
from gateway.model.visitors.state import Update

T = TypeVar("T")

SETTINGS: Final = settings(deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
START_MS: Final = 1_790_000_000_000
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
VISITOR: Final = "visitor-1"

CATEGORIES: Final = ("smartphones", "headphones", "tv")
PRODUCTS: Final = ("p1", "p2", "p3", "p4")

finite_floats = st.floats(allow_nan=False, allow_infinity=False)
json_leaves = st.none() | st.booleans() | st.integers() | finite_floats | st.text(max_size=8)
json_values = st.recursive(
    json_leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
"""Whatever a JSON parser can give; lone surrogates are left to `wild_values`."""

wild_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**400), 2**53, 2**53 + 1, 2**63, 2**64, 1_790_000_000_000])
    | st.floats()
    | st.text(st.characters(), max_size=12)
    | st.sampled_from(["", "\ud800", "\x00", "x" * 5000, "NaN", "1e400", "0E-999999", "0e-60", "19.90", "2026-01-31T12:00:00Z"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=6), inner, max_size=4),
    max_leaves=12,
)
"""JSON and what is nearly JSON: not a number, numbers of any length, lone surrogates, control characters."""


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


categories = st.none() | st.sampled_from(CATEGORIES)
amounts = st.none() | st.integers(0, 10_000_000).map(lambda thousandths: f"{thousandths // 1000}.{thousandths % 1000:03d}")
currencies = st.sampled_from(["EUR", "USD"])
products: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "product_id": st.sampled_from(PRODUCTS),
        "variant_id": st.none() | st.sampled_from(["red", "blue"]),
        "category": categories,
        "quantity": st.none() | st.integers(1, 5),
        "price": amounts,
        "currency": st.none() | currencies,
    }
).map(_without_none)
product_lists = st.lists(products, max_size=3)
orders: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "order_id": st.sampled_from(["o1", "o2", "o3"]),
        "value": amounts,
        "currency": currencies,
        "products": product_lists,
    }
).map(_without_none)
traits = st.dictionaries(st.sampled_from(["plan", "city", "tags"]), st.sampled_from(["a", None, 3, [1, 2], {"x": None}]), max_size=3)

SHOPPING: Final = (
    EventType.PRODUCT_VIEWED,
    EventType.PRODUCT_CLICKED,
    EventType.PRODUCT_LIST_VIEWED,
    EventType.PRODUCT_ADDED,
    EventType.PRODUCT_REMOVED,
    EventType.CART_UPDATED,
    EventType.ORDER_COMPLETED,
)
CONTRIBUTING: Final = (
    *SHOPPING,
    EventType.PAGE_VIEWED,
    EventType.PRODUCTS_SEARCHED,
    EventType.ORDER_REFUNDED,
    EventType.BANNER_VIEWED,
    EventType.BANNER_CLICKED,
    EventType.BANNER_DISMISSED,
    EventType.CONSENT,
    EventType.IDENTIFY,
)


def payloads(event_type: EventType, user_id: str = VISITOR) -> st.SearchStrategy[dict[str, Any]]:
    """A payload that the gateway accepts."""
    match event_type:
        case EventType.PRODUCT_VIEWED | EventType.PRODUCT_CLICKED | EventType.PRODUCT_ADDED | EventType.PRODUCT_REMOVED:
            return st.fixed_dictionaries({"product": products})
        case EventType.PRODUCT_LIST_VIEWED:
            return st.fixed_dictionaries({"category": categories}).map(_without_none)
        case EventType.CART_UPDATED:
            return st.fixed_dictionaries({"products": product_lists})
        case EventType.ORDER_COMPLETED | EventType.ORDER_REFUNDED:
            return st.fixed_dictionaries({"order": orders})
        case EventType.PRODUCTS_SEARCHED:
            return st.fixed_dictionaries({"search": st.sampled_from(["usb-c", "cable"])})
        case EventType.BANNER_VIEWED | EventType.BANNER_CLICKED | EventType.BANNER_DISMISSED:
            campaigns = st.sampled_from(["sale", "spring"])
            return st.fixed_dictionaries({"decision": st.fixed_dictionaries({"placement": st.just("top"), "campaign_id": campaigns})})
        case EventType.CONSENT:
            return st.fixed_dictionaries({"personalization": st.booleans(), "measurement": st.none() | st.booleans()})
        case EventType.IDENTIFY:
            return st.fixed_dictionaries({"user_id": st.just(user_id), "traits": traits})
        case EventType.CUSTOM:
            return st.just({"name": "wished"})
        case _:
            return st.just({})


def event_at(
    minute: float,
    type_name: str,
    payload: dict[str, Any] | None = None,
    *,
    message_id: str | None = None,
    received: float | None = None,
    visitor_id: str = VISITOR,
    sequence: int | None = None,
) -> Event:
    """A checked event, dated `minute` minutes after the start, received then or at minute `received`."""
    return check_record(
        {
            "message_id": message_id or f"{type_name}@{minute}",
            "type": type_name,
            "visitor_id": visitor_id,
            "event_time_ms": START_MS + int(minute * MINUTE_MS),
            "received_at_ms": START_MS + int((minute if received is None else received) * MINUTE_MS),
            "sequence": sequence,
            "payload": payload or {},
        }
    )


@st.composite
def events(
    draw: st.DrawFn,
    message_id: str,
    visitor_id: str = VISITOR,
    types: Sequence[EventType] = CONTRIBUTING,
    *,
    received_at_once: bool = False,
) -> Event:
    """One checked event: dated within 20 hours, received up to 30 s before and up to 3 hours after it happened."""
    event_type = draw(st.sampled_from(types))
    event_time_ms = START_MS + draw(st.integers(0, 60)) * 20 * MINUTE_MS + draw(st.integers(0, 2))
    lag_ms = 0 if received_at_once else draw(st.sampled_from([-30_000, -1, 0, 1, 900, MINUTE_MS, 25 * MINUTE_MS, 3 * HOUR_MS]))
    return check_record(
        {
            "message_id": message_id,
            "type": event_type.value,
            "visitor_id": visitor_id,
            "event_time_ms": event_time_ms,
            "received_at_ms": event_time_ms + lag_ms,
            "sequence": draw(st.none() | st.integers(0, 3)),
            "session_id": None,
            "payload": draw(payloads(event_type, visitor_id)),
        }
    )


def logged(messages: Sequence[Event | None], visitor_id: str = VISITOR, log_epoch: int = 1, first_offset: int = 0) -> list[Update]:
    """The updates of a log, each at a position of its own."""
    found = []
    for offset, event in enumerate(messages, first_offset):
        topic = topic_of(event.type).value if event else "user_actions"
        found.append(Update(event.visitor_id if event else visitor_id, Position(topic, 0, offset), log_epoch, event))
    return found


@st.composite
def logs(
    draw: st.DrawFn, visitor_id: str = VISITOR, types: Sequence[EventType] = CONTRIBUTING, max_messages: int = 14, prefix: str = "m"
) -> list[Update]:
    """A visitor's log: messages, copies of them (some changed), erasures, dead letters, and two epochs of the log."""
    count = draw(st.integers(1, max_messages))
    messages: list[Event | None] = [draw(events(f"{prefix}{index}", visitor_id, types)) for index in range(count)]
    for index in draw(st.lists(st.integers(0, count - 1), max_size=5)):
        changed = draw(st.booleans())
        messages.append(draw(events(f"{prefix}{index}", visitor_id, types)) if changed else messages[index])
    messages += [None] * draw(st.integers(0, 2))
    updates = logged(draw(st.permutations(messages)), visitor_id)
    newer = draw(st.integers(0, len(updates)))
    return updates[:newer] + [Update(u.visitor_id, u.position, 2, u.event) for u in updates[newer:]]


@st.composite
def erasures(draw: st.DrawFn, visitor_id: str = VISITOR) -> Event:
    """A DELETE somewhere within the time of a log."""
    received_at_ms = START_MS + draw(st.integers(0, 60)) * 20 * MINUTE_MS + draw(st.integers(-1, 2))
    return check_record(
        {
            "message_id": f"delete-{received_at_ms}",
            "type": "DELETE",
            "visitor_id": visitor_id,
            "event_time_ms": received_at_ms,
            "received_at_ms": received_at_ms,
        }
    )


@st.composite
def deliveries(draw: st.DrawFn, log: Sequence[T]) -> list[list[T]]:
    """The same records in any order, some of them again, in batches of any size."""
    order = draw(st.permutations(log))
    order += draw(st.lists(st.sampled_from(log), max_size=6)) if log else []
    batches: list[list[T]] = [[]]
    for record in order:
        batches[-1].append(record)
        if draw(st.booleans()):
            batches.append([])
    return batches
