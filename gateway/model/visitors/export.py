"""Everything held of a visitor, as plain JSON. docs/privacy.md describes the form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any, Final

from gateway.model.events.contribution import Contribution, Kind
from gateway.model.times import format_time_ms
from gateway.model.visitors.context_view import view
from gateway.model.visitors.state import Part, State

FORMAT: Final = 1

_LINE: Final = ("product_id", "variant_id", "category", "quantity", "price", "currency")
_FIELDS: Final[Mapping[int, tuple[str, ...]]] = {
    Kind.OTHER: (),
    Kind.VIEW: ("product_id", "variant_id", "category"),
    Kind.CLICK: ("product_id", "variant_id", "category"),
    Kind.LIST: ("category",),
    Kind.SEARCH: ("search",),
    Kind.ADD: _LINE,
    Kind.REMOVE: ("product_id", "variant_id", "quantity"),
    Kind.CART: ("products",),
    Kind.ORDER: ("order_id", "value", "currency", "products"),
    Kind.REFUND: ("order_id", "value", "currency"),
    Kind.BANNER_VIEW: ("campaign_id",),
    Kind.BANNER_CLICK: ("campaign_id",),
    Kind.BANNER_DISMISS: ("campaign_id",),
    Kind.IDENTIFY: ("user_id", "traits"),
    Kind.CONSENT: ("personalization", "measurement"),
}


def export_of(state: State, aliases: Mapping[str, State], exported_at_ms: int) -> dict[str, Any]:
    """Everything held of a visitor; `aliases`: what is still held under the anonymous ids that joined."""
    return {
        "format": FORMAT,
        "user_id": state.visitor_id,
        "exported_at": format_time_ms(exported_at_ms),
        "context": view(state),
        "state": _state(state),
        "aliases": {visitor_id: _state(alias) for visitor_id, alias in sorted(aliases.items())},
    }


def _state(state: State) -> dict[str, Any]:
    return {
        "alias_of": state.alias_of,
        "erased_until": None if state.cutoff_ms is None else format_time_ms(state.cutoff_ms),
        "positions": {f"{topic}/{partition}": offset for (topic, partition), offset in sorted(state.positions.items())},
        "log_epoch": state.log_epoch,
        "parts_erased_until": {visitor_id: format_time_ms(ms) for visitor_id, ms in sorted(state.part_cutoffs.items())},
        "parts": {visitor_id: _part(part) for visitor_id, part in sorted(state.parts.items())},
    }


def _part(part: Part) -> dict[str, Any]:
    return {
        "events": [_event(c) for c in sorted(part.contributions.values(), key=lambda c: c.order)],
        "purged_until": None if part.purged_ms is None else format_time_ms(part.purged_ms),
        "sealed_until": None if part.seal is None else format_time_ms(part.seal[0]),
        "sealed": None if part.base is None else _plain({**asdict(part.base), "cart": [asdict(line) for line in part.base.cart.values()]}),
    }


def _event(c: Contribution) -> dict[str, Any]:
    return {
        "message_id": c.message_id,
        "kind": Kind(c.kind).name,
        "occurred_at": format_time_ms(c.event_time_ms),
        "received_at": format_time_ms(c.received_at_ms),
        "sequence": c.sequence,
        "position": {"topic": c.position.topic, "partition": c.position.partition, "offset": c.position.offset},
        **_data(c),
    }


def _data(c: Contribution) -> dict[str, Any]:
    found = dict(zip(_FIELDS[c.kind], c.data, strict=True))
    if "products" in found:
        found["products"] = [dict(zip(_LINE, line, strict=True)) for line in found["products"]]
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return format(value, "f") if isinstance(value, Decimal) else value
