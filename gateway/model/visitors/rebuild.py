"""States made from the log alone, as they would be if nothing were ever sealed, expired or purged.

For looking back: positions and evidence are exact down to the event, however long ago. Erasures hold here as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.model.events.contribution import Contribution, LoggedEvent, contribution_of
from gateway.model.events.event import EventType
from gateway.model.times import latest_ms
from gateway.model.visitors.state import Link, Part, State, positions_of

CutoffOf = Callable[[str], int | None]
"""Up to when what came in under a visitor id is erased."""


@dataclass(frozen=True, slots=True)
class RebuiltStates:
    """What the log holds of a visitor id: its state, whole, and that of the visitor it joined, where it did."""

    own: State | None
    owner: State | None = None


def link_of(logged: LoggedEvent) -> Link | None:
    """The link by which an event joins an anonymous id to a known visitor; None if it does not."""
    event = logged.event
    if event.type is not EventType.IDENTIFY or event.payload["user_id"] == event.visitor_id:
        return None
    return Link(logged.position, event.payload["user_id"], event.received_at_ms)


def first_link(links: Iterable[Link], own_cutoff_ms: int | None, cutoff_of: CutoffOf) -> Link | None:
    """Whom an anonymous id joins: the first identify in its partition that no erasure, its own or of whom it names, took away."""
    held = [link for link in links if not _is_erased(link.received_at_ms, own_cutoff_ms)]
    return min((link for link in held if not _is_erased(link.received_at_ms, cutoff_of(link.user_id))), default=None)


def rebuild_states(visitor_id: str, logged_events: Iterable[LoggedEvent], cutoff_of: CutoffOf, log_epoch: int) -> RebuiltStates:
    """The states of a visitor id.

    `logged_events`: all events of this id, of the visitor it joined, and of all ids that joined the same visitor.
    """
    by_id: dict[str, list[LoggedEvent]] = {visitor_id: []}
    for logged in logged_events:
        by_id.setdefault(logged.event.visitor_id, []).append(logged)
    cutoffs = {name: _cutoff(name, events, cutoff_of) for name, events in by_id.items()}

    def cutoff_here(name: str) -> int | None:
        return cutoffs[name] if name in cutoffs else cutoff_of(name)

    links = {name: first_link(filter(None, map(link_of, events)), cutoffs[name], cutoff_here) for name, events in by_id.items()}

    def part_of(name: str, owner_cutoff_ms: int | None) -> Part:
        cutoff_ms = latest_ms(cutoffs.get(name), owner_cutoff_ms)
        return _part(by_id.get(name, ()), cutoff_ms)

    def state_of(name: str) -> State:
        own_cutoff_ms = cutoff_here(name)
        joined = [other for other, link in links.items() if link is not None and link.user_id == name and other != name]
        parts = {other: part for other in (name, *joined) if (part := part_of(other, own_cutoff_ms)).contributions}
        part_cutoffs = {other: ms for other in joined if (ms := cutoffs[other]) is not None}
        link = links.get(name)
        alias_of = None if link is None else link.user_id
        return State(name, parts, positions_of(parts, log_epoch), alias_of, own_cutoff_ms, link, part_cutoffs)

    own = state_of(visitor_id)
    if not own.parts and own.cutoff_ms is None:
        return RebuiltStates(None)
    return RebuiltStates(own, None if own.alias_of is None else state_of(own.alias_of))


def _part(logged_events: Iterable[LoggedEvent], cutoff_ms: int | None) -> Part:
    held: dict[str, Contribution] = {}
    for position, event in logged_events:
        if event.type is EventType.DELETE:
            continue
        contribution = contribution_of(event, position)
        known = held.get(contribution.message_id)
        if not _is_erased(contribution.lasts_until_ms, cutoff_ms) and (known is None or contribution.beats(known)):
            held[contribution.message_id] = contribution
    return Part(held)


def _cutoff(visitor_id: str, logged_events: Iterable[LoggedEvent], cutoff_of: CutoffOf) -> int | None:
    return latest_ms(cutoff_of(visitor_id), *(event.received_at_ms for _, event in logged_events if event.type is EventType.DELETE))


def _is_erased(at_ms: int, cutoff_ms: int | None) -> bool:
    return cutoff_ms is not None and at_ms <= cutoff_ms
