"""The export of a visitor: everything that is stored about them, as plain JSON. docs/privacy.md describes the form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any, Final

from gateway.model.events.contribution import CartSnapshot, Contribution, Order, by_history
from gateway.model.events.event_kinds import Kind
from gateway.model.times import format_time_ms
from gateway.model.visitors.context_view import view
from gateway.model.visitors.state import Part, State
from gateway.model.visitors.totals import Totals

FORMAT: Final = 1

_EXPORTED_NAMES: Final = {
    "lines": "products",
    "text": "search",
    "first_key": "first",
    "known_since_ms": "known_ms",
    "joined_at_ms": "joined_ms",
}
"""The names of some fields in format 1 of the export."""


def export_of(state: State, aliases: Mapping[str, State], exported_at_ms: int) -> dict[str, Any]:
    """Everything that is stored about a visitor. `aliases`: what is still stored under the anonymous ids that joined."""
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
        "positions": state.positions.as_json(),
        "log_epoch": state.positions.log_epoch,
        "parts_erased_until": {visitor_id: format_time_ms(ms) for visitor_id, ms in sorted(state.part_cutoffs.items())},
        "parts": {visitor_id: _part(part) for visitor_id, part in sorted(state.parts.items())},
    }


def _part(part: Part) -> dict[str, Any]:
    return {
        "events": [_event(c) for c in sorted(part.contributions.values(), key=by_history)],
        "purged_until": None if part.purged_ms is None else format_time_ms(part.purged_ms),
        "sealed_until": None if part.seal is None else format_time_ms(part.seal[0]),
        "sealed": None if part.base is None else _sealed(part.base),
    }


def _sealed(base: Totals) -> dict[str, Any]:
    totals = {_EXPORTED_NAMES.get(name, name): value for name, value in asdict(base).items()}
    return {name: _as_json(value) for name, value in {**totals, "cart": [asdict(line) for line in base.cart.values()]}.items()}


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
    fields = {_EXPORTED_NAMES.get(name, name): value for name, value in c.data._asdict().items()}
    if isinstance(c.data, CartSnapshot | Order):
        fields["products"] = [line._asdict() for line in c.data.lines]
    return fields


def _as_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _as_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(inner) for inner in value]
    return format(value, "f") if isinstance(value, Decimal) else value
