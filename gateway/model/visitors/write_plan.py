"""The plan of one visitor's write, as a pure function of the pending work and the state that was read.

    work of a visitor + stored state ─▶ plan_visitor ─▶ Forward      the id is an alias: its work goes to the visitor it joined
                                                    └─▶ VisitorPlan  the state to store, and work for other ids

Every kind of work is a union or a cut-off, so it may be done more than once, in any order, and by several writers at once. Storing
is compare-and-set: a write that is refused is planned again from the state that is stored by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from gateway.model.events.event_kinds import EventType
from gateway.model.times import latest_ms
from gateway.model.visitors.context_view import totals_of
from gateway.model.visitors.purge import purge, purge_withdrawn
from gateway.model.visitors.state import (
    AbsorbCounts,
    State,
    Update,
    absorb,
    erase,
    screen_identifies,
    split_released,
    unite,
    without_erased,
)


@dataclass(frozen=True, slots=True)
class Apply:
    """Absorb one update."""

    update: Update


@dataclass(frozen=True, slots=True)
class Arrive:
    """Unite with the part that an alias holds: an anonymous id has joined this visitor."""

    alias: State


@dataclass(frozen=True, slots=True)
class Erase:
    """An erasure reached this anonymous id through the visitor that it had joined."""

    cutoff_ms: int


@dataclass(frozen=True, slots=True)
class Purge:
    """Purge what is due, if the visitor has withdrawn consent."""


@dataclass(frozen=True, slots=True)
class PurgeAlias:
    """Drop from this alias what was purged from its part in the state of the visitor that it joined."""

    owner: str
    until_ms: int


@dataclass(frozen=True, slots=True)
class EraseAlias:
    """Drop from this alias what an erasure took from its part in the state of the visitor that it joined. It stays an alias."""

    owner: str
    cutoff_ms: int


Work = Apply | Arrive | Erase | Purge | PurgeAlias | EraseAlias
"""One thing to do for a visitor id."""
Assigned = tuple[str, Work]
"""A visitor id and one thing to do for it."""


@dataclass(frozen=True, slots=True)
class RefusedUpdate:
    """An update that is well-formed but cannot take effect; it belongs in the dead letters."""

    update: Update
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Forward:
    """Nothing is stored under this id: its work goes to the visitor that it joined."""

    work: tuple[Assigned, ...]


@dataclass(frozen=True, slots=True)
class VisitorPlan:
    """The state to store in place of `before`, and what else follows from the work.

    `release`: work that must be stored first. `elsewhere`: work for other ids, whether this state is stored or not. `afterwards`:
    work for other ids once it is stored.
    """

    visitor_id: str
    before: State
    state: State
    counts: AbsorbCounts
    refused: tuple[RefusedUpdate, ...]
    is_purge: bool
    release: tuple[Assigned, ...]
    elsewhere: tuple[Assigned, ...]
    afterwards: tuple[Assigned, ...]

    @property
    def has_changed(self) -> bool:
        """Whether there is anything to store."""
        return self.state != self.before


def work_by_visitor(assigned: Iterable[Assigned]) -> dict[str, list[Work]]:
    """All work of each visitor id, in order."""
    work: dict[str, list[Work]] = {}
    for visitor_id, item in assigned:
        work.setdefault(visitor_id, []).append(item)
    return work


def work_of(updates: Iterable[Update]) -> Iterator[Assigned]:
    """Each update as a piece of work."""
    return ((update.visitor_id, Apply(update)) for update in updates)


def plan_visitor(visitor_id: str, state: State, work: Sequence[Work], now_ms: int) -> VisitorPlan | Forward:
    """What to do for a visitor id, given the state that is stored under it."""
    if state.alias_of is not None and not any(isinstance(item, Erase | PurgeAlias | EraseAlias) for item in work):
        return Forward(tuple(_for_owner(state, work)))
    work, elsewhere = _split_undone(state, work)
    new = state
    erased_ms = latest_ms(*(item.cutoff_ms for item in work if isinstance(item, Erase)))
    if erased_ms is not None:
        new = erase(new, erased_ms)
    for item in work:
        if isinstance(item, Arrive):
            new = unite(new, item.alias)
    updates, conflicting = screen_identifies(new, _updates(work))
    new, counts = absorb(new, updates)
    if new.link is not None and new.alias_of is None and new.link.user_id != visitor_id:
        new = replace(new, alias_of=new.link.user_id)
    purged = _purge(new, work, now_ms)
    kept, released = split_released(purged, state.parts)
    elsewhere += tuple(_erased_aliases(kept, work))
    return VisitorPlan(
        visitor_id=visitor_id,
        before=state,
        state=kept,
        counts=counts,
        refused=tuple(_second_identify(update) for update in conflicting),
        is_purge=purged is not new,
        # First the anonymous ids, then the visitor: after a crash in between, the erasure is applied again and still finds them.
        release=tuple(_released(released, purged)),
        elsewhere=elsewhere,
        afterwards=() if kept.alias_of is None or all(isinstance(item, EraseAlias) for item in work) else tuple(_for_owner(kept, ())),
    )


def alias_purges(states: Iterable[State]) -> Iterator[Assigned]:
    """The purges of the aliases that joined these visitors, after the visitors themselves were purged."""
    for state in states:
        if state.alias_of is None:
            for alias, part in state.parts.items():
                if alias != state.visitor_id and part.purged_ms is not None:
                    yield alias, PurgeAlias(state.visitor_id, part.purged_ms)


def _for_owner(alias: State, work: Sequence[Work]) -> Iterator[Assigned]:
    """The work on an alias as work for the visitor that it joined, together with the part that the alias holds."""
    owner = alias.alias_of or alias.visitor_id
    yield owner, Arrive(alias)
    for item in work:
        if isinstance(item, Apply | Purge):
            yield owner, item


def _released(released: Iterable[State], owner: State) -> Iterator[Assigned]:
    for state in released:
        yield state.visitor_id, Arrive(state)
        cutoff_ms = owner.cutoff_of(state.visitor_id)
        if cutoff_ms is not None:
            yield state.visitor_id, Erase(cutoff_ms)


def _erased_aliases(owner: State, work: Sequence[Work]) -> Iterator[Assigned]:
    """Aliases that still hold what an erasure of the visitor they joined took away."""
    deleted = _erasure_received_ms(owner.visitor_id, _updates(work)) is not None
    arrived = {item.alias.visitor_id: item.alias for item in work if isinstance(item, Arrive)}
    for visitor_id in owner.parts if deleted else arrived:
        cutoff_ms = owner.cutoff_of(visitor_id)
        if cutoff_ms is None or visitor_id == owner.visitor_id:
            continue
        alias = arrived.get(visitor_id)
        if alias is None or without_erased(alias, cutoff_ms) != alias:
            yield visitor_id, EraseAlias(owner.visitor_id, cutoff_ms)


def _split_undone(state: State, work: Sequence[Work]) -> tuple[Sequence[Work], tuple[Assigned, ...]]:
    """The work that stays, and the work that goes back to anonymous ids because an erasure undid their joining."""
    updates = _updates(work)
    erased_ms = latest_ms(state.cutoff_ms, _erasure_received_ms(state.visitor_id, updates))
    undone: dict[str, int] = {}
    for item in work:
        if isinstance(item, Arrive) and item.alias.link is not None:
            cutoff_ms = latest_ms(erased_ms, _erasure_received_ms(item.alias.visitor_id, updates))
            if cutoff_ms is not None and item.alias.link.received_at_ms <= cutoff_ms:
                undone[item.alias.visitor_id] = cutoff_ms
    if not undone:
        return work, ()
    back: list[Assigned] = [(visitor_id, Erase(cutoff_ms)) for visitor_id, cutoff_ms in undone.items()]
    stays: list[Work] = []
    for item in work:
        if isinstance(item, Apply) and item.update.visitor_id in undone:
            back.append((item.update.visitor_id, item))
            if not _is_erasure(item.update):
                continue
            # An erasure of the anonymous id itself stays here too: its part may have been united before.
        elif isinstance(item, Arrive) and item.alias.visitor_id in undone:
            continue
        stays.append(item)
    return stays, tuple(back)


def _purge(state: State, work: Sequence[Work], now_ms: int) -> State:
    for item in work:
        if isinstance(item, PurgeAlias) and state.alias_of == item.owner:
            state = purge(state, item.until_ms)
        elif isinstance(item, EraseAlias) and state.alias_of == item.owner:
            state = without_erased(state, item.cutoff_ms)
    if state.alias_of is None and any(isinstance(item, Purge) for item in work):
        return purge_withdrawn(state, totals_of(state).withdrawn_since_ms, now_ms)
    return state


def _updates(work: Iterable[Work]) -> list[Update]:
    return [item.update for item in work if isinstance(item, Apply)]


def _second_identify(update: Update) -> RefusedUpdate:
    return RefusedUpdate(
        update, "ALREADY_IDENTIFIED", "this anonymous id joined another user before; one anonymous id joins one user, once"
    )


def _is_erasure(update: Update) -> bool:
    return update.event is not None and update.event.type is EventType.DELETE


def _erasure_received_ms(visitor_id: str, updates: Iterable[Update]) -> int | None:
    """When the last erasure of `visitor_id` among `updates` was received; None: there is none."""
    return latest_ms(*(u.event.received_at_ms for u in updates if u.visitor_id == visitor_id and u.event is not None and _is_erasure(u)))
