"""How a state is stored: msgpack behind a random write id.

    16 bytes   write id: changes with every write; compare-and-set compares it (a version number could repeat after a failover)
    1 byte     format, 4; format 3 is read too: it does not hold when a sealed part first became known, or joined
    msgpack    [visitor_id, alias_of, cutoff_ms, log_epoch, positions, parts, link, part_cutoffs]

Topics are stored by their index in `SOURCE_TOPICS` if they have one.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import msgpack

from gateway.model.events.contribution import Contribution, Position, stored_data
from gateway.model.events.positions import Positions
from gateway.model.events.topics import SOURCE_TOPICS
from gateway.model.visitors.cart import CartLine
from gateway.model.visitors.state import Link, Part, State
from gateway.model.visitors.totals import BannerCounts, BoughtLine, Totals

WRITE_ID_BYTES: Final = 16
FORMAT: Final = 4
READABLE: Final = frozenset({3, FORMAT})

_INDEX_OF: Final = {topic.value: index for index, topic in enumerate(SOURCE_TOPICS)}
_TOPICS: Final = [topic.value for topic in SOURCE_TOPICS]


class UnreadableState(Exception):
    """Stored bytes in none of the readable formats. The remedy is to rebuild the context from the log."""


def encode_state(state: State, write_id: bytes) -> bytes:
    """The bytes to store, starting with `write_id` (16 random bytes)."""
    positions = [(_INDEX_OF.get(topic, topic), partition, offset) for (topic, partition), offset in state.positions.offsets.items()]
    parts = [
        (visitor_id, [_pack(c) for c in part.contributions.values()], _pack_totals(part.base), part.seal, part.purged_ms)
        for visitor_id, part in state.parts.items()
    ]
    body = (
        state.visitor_id,
        state.alias_of,
        state.cutoff_ms,
        state.positions.log_epoch,
        positions,
        parts,
        _pack_link(state.link),
        state.part_cutoffs,
    )
    return write_id + bytes((FORMAT,)) + bytes(msgpack.packb(body))


def decode_state(stored: bytes) -> State:
    """The inverse of `encode_state`. Raises `UnreadableState`."""
    if len(stored) <= WRITE_ID_BYTES or stored[WRITE_ID_BYTES] not in READABLE:
        raise UnreadableState(f"the stored state has format {stored[WRITE_ID_BYTES : WRITE_ID_BYTES + 1].hex() or 'none'}, not {FORMAT}")
    try:
        body = msgpack.unpackb(memoryview(stored)[WRITE_ID_BYTES + 1 :], use_list=False, strict_map_key=False)
        visitor_id, alias_of, cutoff_ms, log_epoch, positions, parts, link, part_cutoffs = body
        return State(
            visitor_id=visitor_id,
            parts={part[0]: _unpack_part(part) for part in parts},
            positions=Positions(log_epoch, {(_topic(index), partition): offset for index, partition, offset in positions}),
            alias_of=alias_of,
            cutoff_ms=cutoff_ms,
            link=_unpack_link(link),
            part_cutoffs=part_cutoffs,
        )
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, msgpack.exceptions.UnpackException) as problem:
        raise UnreadableState(f"the stored state cannot be read: {problem}") from problem


def _topic(index: int | str) -> str:
    return _TOPICS[index] if isinstance(index, int) else index


def _pack_link(link: Link | None) -> tuple[Any, ...] | None:
    return None if link is None else (_INDEX_OF.get(link.position.topic, link.position.topic), *link.position[1:], *link[1:])


def _unpack_link(stored: tuple[Any, ...] | None) -> Link | None:
    if stored is None:
        return None
    topic, partition, offset, user_id, received_at_ms = stored
    return Link(Position(_topic(topic), partition, offset), user_id, received_at_ms)


def _pack(c: Contribution) -> tuple[Any, ...]:
    topic, partition, offset = c.position
    return (
        c.message_id,
        c.event_time_ms,
        c.sequence,
        c.received_at_ms,
        c.kind,
        _INDEX_OF.get(topic, topic),
        partition,
        offset,
        c.data,
    )


def _unpack_part(stored: tuple[Any, ...]) -> Part:
    _, contributions, totals, seal, purged_ms = stored
    by_id = {}
    for message_id, event_time_ms, sequence, received_at_ms, kind, topic, partition, offset, data in contributions:
        position = Position(_topic(topic), partition, offset)
        by_id[message_id] = Contribution(message_id, event_time_ms, sequence, received_at_ms, kind, position, stored_data(kind, data))
    return Part(by_id, _unpack_totals(totals), seal, purged_ms)


def _pack_totals(totals: Totals | None) -> dict[str, Any] | None:
    if totals is None:
        return None
    return {
        "messages": totals.messages,
        "updated_ms": totals.updated_ms,
        "first": totals.first_key,
        "known_ms": totals.known_since_ms,
        "joined_ms": totals.joined_at_ms,
        "intent": totals.intent,
        "search": totals.search,
        "interests": totals.interests,
        "recent": totals.recent,
        "cart": [
            (line.product_id, line.variant_id, line.category, line.quantity, line.price, line.currency) for line in totals.cart.values()
        ],
        "bought": [(b.received_at_ms, b.product_id, b.variant_id, b.quantity, b.outstanding) for b in totals.bought],
        "orders": totals.orders,
        "refunds": {currency: format(amount, "f") for currency, amount in totals.refunds.items()},
        "bought_products": totals.bought_products,
        "banners": {name: (b.views, b.clicks, b.dismissals, b.views_since_click, b.recent_views_ms) for name, b in totals.banners.items()},
        "traits": totals.traits,
        "consents": totals.consents,
        "withdrawn_since_ms": totals.withdrawn_since_ms,
        "answered_ms": totals.answered_ms,
        "forgotten_ms": totals.forgotten_ms,
    }


def _unpack_totals(stored: dict[str, Any] | None) -> Totals | None:
    if stored is None:
        return None
    lines = [CartLine(*line) for line in stored["cart"]]
    # In format 3 the time of the first event stands in: stable ids were chosen by it.
    first_ms = stored["first"][0] if stored["first"] else None
    return Totals(
        messages=stored["messages"],
        updated_ms=stored["updated_ms"],
        first_key=stored["first"],
        known_since_ms=stored.get("known_ms", first_ms),
        joined_at_ms=stored.get("joined_ms", first_ms),
        intent=stored["intent"],
        search=stored["search"],
        interests=stored["interests"],
        recent=stored["recent"],
        cart={(line.product_id, line.variant_id): line for line in lines},
        bought=[BoughtLine(*item) for item in stored["bought"]],
        orders=stored["orders"],
        refunds={currency: Decimal(amount) for currency, amount in stored["refunds"].items()},
        bought_products=stored["bought_products"],
        banners={name: BannerCounts(*item) for name, item in stored["banners"].items()},
        traits=stored["traits"],
        consents=stored["consents"],
        withdrawn_since_ms=stored["withdrawn_since_ms"],
        answered_ms=stored["answered_ms"],
        forgotten_ms=stored["forgotten_ms"],
    )
