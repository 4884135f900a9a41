"""States rebuilt from the log alone, as they would be if nothing were ever sealed, expired or purged.

For explanations of earlier moments: positions and evidence are exact to the event, however long ago it was. Erasures apply here too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.model.events.contribution import Contribution, LoggedEvent, contribution_of
from gateway.model.events.event_kinds import EventType
from gateway.model.times import latest_ms
from gateway.model.visitors.state import Link, Part, State, positions_of

CutoffOf = Callable[[str], int | None]
"""The moment (ms) up to which the events of a visitor id are erased; None: they are not."""


@dataclass(frozen=True, slots=True)
class RebuiltStates:
    """The full state of a visitor id by the log (None: it has no events); for an alias also the state of the visitor it joined."""

    own: State | None
    owner: State | None = None


def link_of(logged: LoggedEvent) -> Link | None:
    """The link by which an event joins an anonymous id to a known visitor; None if it does not."""
    event = logged.event
    if event.type is not EventType.IDENTIFY or event.payload["user_id"] == event.visitor_id:
        return None
    return Link(logged.position, event.payload["user_id"], event.received_at_ms)


def first_link(links: Iterable[Link], own_cutoff_ms: int | None, cutoff_of: CutoffOf) -> Link | None:
    """The link of an anonymous id: the first in its partition that is erased neither for the id itself nor for the visitor it names."""
    own = [link for link in links if not _is_erased(link.received_at_ms, own_cutoff_ms)]
    return min((link for link in own if not _is_erased(link.received_at_ms, cutoff_of(link.user_id))), default=None)


def rebuild_states(visitor_id: str, logged_events: Iterable[LoggedEvent], cutoff_of: CutoffOf, log_epoch: int) -> RebuiltStates:
    """The states of a visitor id.

    `logged_events`: all events of this id, of the visitor it joined, and of all ids that joined the same visitor.
    """
    by_id: dict[str, list[LoggedEvent]] = {visitor_id: []}
    for logged in logged_events:
        by_id.setdefault(logged.event.visitor_id, []).append(logged)
    cutoffs_ms = {part_id: _cutoff_ms(part_id, events, cutoff_of) for part_id, events in by_id.items()}

    def known_cutoff_ms(part_id: str) -> int | None:
        return cutoffs_ms[part_id] if part_id in cutoffs_ms else cutoff_of(part_id)

    links = {
        part_id: first_link(filter(None, map(link_of, events)), cutoffs_ms[part_id], known_cutoff_ms) for part_id, events in by_id.items()
    }

    def part_of(part_id: str, owner_cutoff_ms: int | None) -> Part:
        cutoff_ms = latest_ms(cutoffs_ms.get(part_id), owner_cutoff_ms)
        return _part(by_id.get(part_id, ()), cutoff_ms)

    def state_of(owner_id: str) -> State:
        own_cutoff_ms = known_cutoff_ms(owner_id)
        joined = [part_id for part_id, link in links.items() if link is not None and link.user_id == owner_id and part_id != owner_id]
        parts = {part_id: part for part_id in (owner_id, *joined) if (part := part_of(part_id, own_cutoff_ms)).contributions}
        part_cutoffs = {part_id: ms for part_id in joined if (ms := cutoffs_ms[part_id]) is not None}
        link = links.get(owner_id)
        alias_of = None if link is None else link.user_id
        return State(owner_id, parts, positions_of(parts, log_epoch), alias_of, own_cutoff_ms, link, part_cutoffs)

    own = state_of(visitor_id)
    if not own.parts and own.cutoff_ms is None:
        return RebuiltStates(None)
    return RebuiltStates(own, None if own.alias_of is None else state_of(own.alias_of))


def _part(logged_events: Iterable[LoggedEvent], cutoff_ms: int | None) -> Part:
    contributions: dict[str, Contribution] = {}
    for position, event in logged_events:
        if event.type is EventType.DELETE:
            continue
        contribution = contribution_of(event, position)
        known = contributions.get(contribution.message_id)
        if not _is_erased(contribution.lasts_until_ms, cutoff_ms) and (known is None or contribution.beats(known)):
            contributions[contribution.message_id] = contribution
    return Part(contributions)


def _cutoff_ms(visitor_id: str, logged_events: Iterable[LoggedEvent], cutoff_of: CutoffOf) -> int | None:
    return latest_ms(cutoff_of(visitor_id), *(event.received_at_ms for _, event in logged_events if event.type is EventType.DELETE))


def _is_erased(at_ms: int, cutoff_ms: int | None) -> bool:
    return cutoff_ms is not None and at_ms <= cutoff_ms
