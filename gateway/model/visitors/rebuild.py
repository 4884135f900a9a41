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
    replay = LogReplay(logged_events, cutoff_of, log_epoch)
    own = replay.state_of(visitor_id)
    if not own.parts and own.cutoff_ms is None:
        return RebuiltStates(None)
    return RebuiltStates(own, None if own.alias_of is None else replay.state_of(own.alias_of))


class LogReplay:
    """What the events of some visitor ids amount to: their cut-offs, the links between them, their parts and states."""

    def __init__(self, logged_events: Iterable[LoggedEvent], cutoff_of: CutoffOf, log_epoch: int) -> None:
        self._log_epoch = log_epoch
        self._kept_cutoff_of = cutoff_of
        self._events: dict[str, list[LoggedEvent]] = {}
        for logged in logged_events:
            self._events.setdefault(logged.event.visitor_id, []).append(logged)
        self._cutoffs_ms = {visitor_id: _cutoff_ms(visitor_id, events, cutoff_of) for visitor_id, events in self._events.items()}
        self._links = {visitor_id: self._link_of(visitor_id) for visitor_id in self._events}

    def cutoff_ms_of(self, visitor_id: str) -> int | None:
        """Up to when a visitor id is erased, by its own events and by what is kept of erasures."""
        return self._cutoffs_ms[visitor_id] if visitor_id in self._cutoffs_ms else self._kept_cutoff_of(visitor_id)

    def state_of(self, visitor_id: str) -> State:
        """The state of a visitor id: its own part, and those of the ids that joined it."""
        own_cutoff_ms = self.cutoff_ms_of(visitor_id)
        joined = [part_id for part_id, link in self._links.items() if link and link.user_id == visitor_id and part_id != visitor_id]
        parts = {part_id: self._part(part_id, own_cutoff_ms) for part_id in (visitor_id, *joined)}
        parts = {part_id: part for part_id, part in parts.items() if part.contributions}
        link = self._links.get(visitor_id)
        return State(
            visitor_id,
            parts,
            positions_of(parts, self._log_epoch),
            alias_of=None if link is None else link.user_id,
            cutoff_ms=own_cutoff_ms,
            link=link,
            part_cutoffs={part_id: ms for part_id in joined if (ms := self._cutoffs_ms[part_id]) is not None},
        )

    def _link_of(self, visitor_id: str) -> Link | None:
        links = filter(None, map(link_of, self._events[visitor_id]))
        return first_link(links, self._cutoffs_ms[visitor_id], self.cutoff_ms_of)

    def _part(self, visitor_id: str, owner_cutoff_ms: int | None) -> Part:
        return _part(self._events.get(visitor_id, ()), latest_ms(self._cutoffs_ms.get(visitor_id), owner_cutoff_ms))


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
