"""A state as it was at an earlier moment: what had been received by then, or what a decision had read.

How exact this is:

- A contribution holds when it was received and its position in the log, so the earlier state is the state without later
  contributions. If a message has several copies, only the one that counts is kept. If a changed copy, or a copy of an event dated
  ahead of its receipt, replaced one that was received earlier, the message counts from the later receipt on.
- Sealed contributions cannot be separated: moments before the newest sealed event cannot be reached (`why_unreachable`). An event
  that arrived late and is already sealed counts as known from that moment on.
- An erasure, and consent withdrawn for longer than the grace time, remove what was stored before.
- Positions and cut-offs have no history: positions are those of the contributions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from gateway.model.events.contribution import Contribution, Identification
from gateway.model.events.event import LATE_WINDOW_MS
from gateway.model.events.event_kinds import Kind
from gateway.model.events.positions import Partition
from gateway.model.times import format_time_ms, latest_ms
from gateway.model.visitors.context_view import history_of, sealed_of
from gateway.model.visitors.state import Part, State, positions_of
from gateway.model.visitors.totals import apply_contributions

ContributionFilter = Callable[[Contribution], bool]
"""Whether a contribution was there at the earlier moment."""


def received_by(at_ms: int) -> ContributionFilter:
    """Keeps what was received up to a moment, inclusive."""
    return lambda c: c.received_at_ms <= at_ms


def covered_by(offsets: Mapping[Partition, int], consent_by_ms: int | None = None) -> ContributionFilter:
    """Keeps what is at or below these offsets, and consent that was received up to `consent_by_ms`, both inclusive.

    Consent takes effect before the stream delivers it; it then moves no position.
    """

    def keep(c: Contribution) -> bool:
        if offsets.get((c.position.topic, c.position.partition), -1) >= c.position.offset:
            return True
        return consent_by_ms is not None and c.kind == Kind.CONSENT and c.received_at_ms <= consent_by_ms

    return keep


def restrict(state: State, keep: ContributionFilter) -> State:
    """The state with the contributions that `keep` keeps, without the visitor ids that had not joined yet."""
    parts: dict[str, Part] = {}
    for visitor_id, part in state.parts.items():
        if visitor_id != state.visitor_id and not _has_joined(state.visitor_id, part, keep):
            continue
        kept = {message_id: c for message_id, c in part.contributions.items() if keep(c)}
        if kept or part.base is not None:
            parts[visitor_id] = replace(part, contributions=kept)
    return replace(state, parts=parts, positions=positions_of(parts, state.positions.log_epoch))


def answering_state(own: State | None, owner: State | None, keep: ContributionFilter) -> State | None:
    """The present state of the visitor that the id stood for at that time: its own, or the known visitor's if it had joined by then.

    `own`: the state stored under the id. `owner`: if that is an alias, the state of the visitor it joined.
    """
    if own is None or own.alias_of is None:
        return own
    return owner if had_joined(own, owner, keep) else state_before_joining(own, owner)


def as_of(own: State | None, owner: State | None, keep: ContributionFilter) -> State | None:
    """The state of a visitor id at the earlier moment; None: nothing is stored under the id."""
    state = answering_state(own, owner, keep)
    return None if state is None else restrict(state, keep)


def had_joined(alias: State, owner: State | None, keep: ContributionFilter) -> bool:
    """Whether an anonymous id, now an alias of `owner`, had joined by then."""
    part = owner.parts.get(alias.visitor_id) if owner is not None else None
    return _has_joined(alias.alias_of or "", part or alias.parts.get(alias.visitor_id, Part()), keep)


def state_before_joining(alias: State, owner: State | None) -> State:
    """The anonymous visitor's own state before it joined, with its part as the known visitor's state holds it now."""
    part = owner.parts.get(alias.visitor_id) if owner is not None else None
    parts = alias.parts if part is None else {alias.visitor_id: part}
    return replace(alias, parts=parts, alias_of=None, link=None)


def why_unreachable(state: State, at_ms: int) -> str | None:
    """Why the state does not reach back to a moment, in words; None: it does."""
    erased_ms = latest_ms(state.cutoff_ms, *state.part_cutoffs.values())
    if erased_ms is not None and at_ms <= erased_ms:
        return f"the visitor, or one of their devices, was erased at {format_time_ms(erased_ms)}: nothing from before is left"
    sealed_ms = max((part.seal[0] for part in state.parts.values() if part.base is not None and part.seal), default=None)
    if sealed_ms is not None and at_ms < sealed_ms:
        remedy = f"read the log: processors explain --visitor {state.visitor_id} --at {format_time_ms(at_ms)} (docs/operations.md)"
        return f"the state no longer reaches back that far: events up to {format_time_ms(sealed_ms)} are sealed into totals; {remedy}"
    totals = sealed_of(state)
    for pair in history_of(state):
        since_ms, forgotten_ms = totals.withdrawn_since_ms, totals.forgotten_ms
        apply_contributions(totals, [pair])
        if since_ms is not None and at_ms < since_ms and totals.forgotten_ms > forgotten_ms:
            return _forgotten(since_ms)
    if totals.withdrawn_since_ms is not None and at_ms < totals.withdrawn_since_ms:
        return _forgotten(totals.withdrawn_since_ms)
    return None


def caveats(state: State, at_ms: int) -> list[str]:
    """In which ways the answer for a reachable moment may be inexact, in words."""
    notes = []
    for visitor_id, part in state.parts.items():
        if part.base is not None and part.seal is not None and at_ms < part.seal[0] + LATE_WINDOW_MS:
            until = format_time_ms(part.seal[0])
            notes.append(
                f"events of {visitor_id} dated up to {until} are sealed: one that arrived later still counts as known at that time"
            )
    return notes


def _has_joined(user_id: str, part: Part, keep: ContributionFilter) -> bool:
    identifies = [c for c in part.contributions.values() if isinstance(c.data, Identification) and c.data.user_id == user_id]
    # If there is no identify, it is sealed, and so was received before every moment that can be reached.
    return any(map(keep, identifies)) if identifies else True


def _forgotten(since_ms: int) -> str:
    return f"the visitor withdrew consent at {format_time_ms(since_ms)}: everything from before is forgotten"
