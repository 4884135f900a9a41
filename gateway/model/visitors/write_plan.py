"""What is to be stored for one visitor, and the state that it leads to. Pure: the store reads, asks and writes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from gateway.model.events.event import EventType
from gateway.model.visitors.context_view import totals_of
from gateway.model.visitors.purge import purge, purge_withdrawn
from gateway.model.visitors.state import AbsorbCounts, State, Update, absorb, erase, screen_identifies, unite


@dataclass(frozen=True, slots=True)
class RefusedUpdate:
    """An update that is well-formed but cannot take effect: it belongs in the dead letters."""

    update: Update
    code: str
    message: str


@dataclass(slots=True)
class VisitorWork:
    """What is still to be stored for one visitor."""

    updates: list[Update] = field(default_factory=list)
    arrivals: list[State] = field(default_factory=list)
    """States of anonymous ids that joined this visitor."""
    erased_ms: int | None = None
    """An erasure that reached this anonymous id through the visitor it had joined."""
    purge: bool = False
    """Drop what may be dropped by now of a visitor who withdrew consent."""
    purged_of: tuple[str, int] | None = None
    """The known visitor whose purge concerns this alias, too, and up to when."""


@dataclass(frozen=True, slots=True)
class PlannedWrite:
    """A state to store where the stored one still begins with `expected` (empty: where there is none)."""

    visitor_id: str
    expected: bytes
    state: State
    outcome: AbsorbCounts
    refused: tuple[RefusedUpdate, ...]
    purged: bool = False


def plan_write(visitor_id: str, write_id: bytes, state: State, todo: VisitorWork, now_ms: int) -> PlannedWrite:
    """The state after `todo`. Its `state` is equal to the given one when nothing is to be stored."""
    new = state if todo.erased_ms is None else erase(state, todo.erased_ms)
    for arrival in todo.arrivals:
        new = unite(new, arrival)
    updates, conflicting = screen_identifies(new, todo.updates)
    new, outcome = absorb(new, updates)
    if new.link is not None and new.alias_of is None and new.link.user_id != visitor_id:
        new = replace(new, alias_of=new.link.user_id)
    kept = _without_purged(new, todo, now_ms)
    return PlannedWrite(visitor_id, write_id, kept, outcome, tuple(_second_identify(update) for update in conflicting), kept is not new)


def _without_purged(state: State, todo: VisitorWork, now_ms: int) -> State:
    if todo.purged_of is not None and state.alias_of == todo.purged_of[0]:
        return purge(state, todo.purged_of[1])
    if todo.purge and state.alias_of is None:
        return purge_withdrawn(state, totals_of(state).withdrawn_since_ms, now_ms)
    return state


def _second_identify(update: Update) -> RefusedUpdate:
    return RefusedUpdate(
        update, "ALREADY_IDENTIFIED", "this anonymous id joined another user before; one anonymous id joins one user, once"
    )


def forward_to_owner(left: dict[str, VisitorWork], alias: State, todo: VisitorWork) -> None:
    """Lead what came for an alias to the visitor it joined, together with the part that the alias holds."""
    target = left.setdefault(alias.alias_of or alias.visitor_id, VisitorWork())
    target.updates.extend(todo.updates)
    target.arrivals.append(alias)
    target.purge |= todo.purge


def keep_for_retry(left: dict[str, VisitorWork], visitor_id: str, todo: VisitorWork) -> None:
    """Keep what could not be stored for the next round."""
    target = left.setdefault(visitor_id, VisitorWork())
    target.updates.extend(todo.updates)
    target.arrivals.extend(todo.arrivals)
    target.purge |= todo.purge
    target.purged_of = todo.purged_of or target.purged_of
    if todo.erased_ms is not None:
        target.erased_ms = max(target.erased_ms or 0, todo.erased_ms)


def is_erasure(update: Update) -> bool:
    """Whether the update erases its visitor."""
    return update.event is not None and update.event.type is EventType.DELETE


def erasure_received_ms(visitor_id: str, updates: Iterable[Update]) -> int | None:
    """When the last erasure of `visitor_id` among `updates` was received; None: there is none."""
    times = [u.event.received_at_ms for u in updates if u.visitor_id == visitor_id and u.event is not None and is_erasure(u)]
    return max(times, default=None)
