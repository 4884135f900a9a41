"""The moments at which a visitor looked at a page, each with the context at that time.

The events of a merged visitor (a known one and the anonymous ids that joined) are absorbed in the order in which they were received,
each into the state that was in use at that time: an anonymous id has its own until its identify.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.model.events.contribution import LoggedEvent
from gateway.model.events.event import Event
from gateway.model.events.event_kinds import EventType
from gateway.model.times import latest_ms
from gateway.model.visitors.context_view import Context, view
from gateway.model.visitors.rebuild import CutoffOf, first_link, link_of
from gateway.model.visitors.state import State, Update, absorb, unite

LOOKING: Final = (EventType.PAGE_VIEWED, EventType.BANNER_VIEWED)
"""Events by which a visitor looked: at a page, or at the banner of a placement."""
_LOG_EPOCH: Final = 1


@dataclass(frozen=True, slots=True)
class Window:
    """Which moments count. `from_ms` inclusive, `to_ms` exclusive; `page`: the page of events that name none."""

    from_ms: int = 0
    to_ms: int | None = None
    types: tuple[EventType, ...] = LOOKING
    page: Mapping[str, Any] = field(default_factory=dict)

    def has(self, event: Event) -> bool:
        """Whether this event is a moment that counts."""
        return (
            event.type in self.types and self.from_ms <= event.received_at_ms and (self.to_ms is None or event.received_at_ms < self.to_ms)
        )


@dataclass(frozen=True, slots=True)
class PageMoment:
    """A visitor looked. `context`: what was known at that time, before the event itself. `placement` None: at the whole page."""

    visitor_id: str
    at_ms: int
    page: Mapping[str, Any]
    placement: str | None
    context: Context | None


def owner_and_events(visitor_id: str, logged_events: Iterable[LoggedEvent], cutoff_of: CutoffOf) -> tuple[str, list[LoggedEvent]]:
    """The visitor whose history the events of one visitor id belong to, and the events that are not erased.

    That visitor is the id itself, or the known visitor that it joined.
    """
    events = list(logged_events)
    cutoff_ms = latest_ms(cutoff_of(visitor_id), *(event.received_at_ms for _, event in events if event.type is EventType.DELETE))
    link = first_link(filter(None, map(link_of, events)), cutoff_ms, cutoff_of)
    owner = visitor_id if link is None else link.user_id
    return owner, [logged for logged in events if logged.event.type is not EventType.DELETE and not _is_erased(logged.event, cutoff_ms)]


def page_moments(owner: str, logged_events: Iterable[LoggedEvent], window: Window, cutoff_ms: int | None = None) -> Iterator[PageMoment]:
    """The moments of a merged visitor, in the order in which they were received. `cutoff_ms`: the cut-off of the known visitor."""
    history = _History(owner)
    for logged in sorted(logged_events, key=lambda logged: (logged.event.received_at_ms, logged.position)):
        if _is_erased(logged.event, cutoff_ms):
            continue
        if window.has(logged.event) and not history.has(logged):
            yield history.moment(logged.event, window.page)
        history.add(logged)


class _History:
    """The states of a merged visitor as events come in."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._states: dict[str, State] = {}
        self._joined: set[str] = set()
        self._pending: dict[str, list[Update]] = {}

    def add(self, logged: LoggedEvent) -> None:
        """Take in the next event."""
        visitor_id = logged.event.visitor_id
        link = link_of(logged)
        if link is not None and link.user_id != self._owner:
            # A second identify, to another visitor, has no effect.
            return
        update = Update(visitor_id, logged.position, _LOG_EPOCH, logged.event)
        self._pending.setdefault(self._owner_of(visitor_id), []).append(update)
        if link is not None and visitor_id not in self._joined:
            alone = self._state(visitor_id)
            self._joined.add(visitor_id)
            self._states[self._owner] = unite(self._state(self._owner), alone)

    def has(self, logged: LoggedEvent) -> bool:
        """Whether this message is in the history already."""
        event = logged.event
        part = self._state(self._owner_of(event.visitor_id)).parts.get(event.visitor_id)
        return part is not None and event.message_id in part.contributions

    def moment(self, event: Event, page: Mapping[str, Any]) -> PageMoment:
        """The moment of an event that is not in the history yet."""
        state = self._state(self._owner_of(event.visitor_id))
        context = view(state) if state.parts else None
        placement = event.payload["decision"]["placement"] if event.type is EventType.BANNER_VIEWED else None
        return PageMoment(event.visitor_id, event.received_at_ms, event.payload.get("page") or page, placement, context)

    def _owner_of(self, visitor_id: str) -> str:
        return self._owner if visitor_id in self._joined else visitor_id

    def _state(self, visitor_id: str) -> State:
        """The state with all events so far. They are absorbed together, which is the same as one by one."""
        state = self._states.get(visitor_id, State(visitor_id))
        if pending := self._pending.pop(visitor_id, None):
            state, _ = absorb(state, pending)
        self._states[visitor_id] = state
        return state


def _is_erased(event: Event, cutoff_ms: int | None) -> bool:
    return cutoff_ms is not None and min(event.event_time_ms, event.received_at_ms) <= cutoff_ms
