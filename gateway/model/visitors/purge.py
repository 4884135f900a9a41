"""Purging: dropping the profile of a visitor who withdrew consent longer than the grace time ago.

When and how often a purge runs makes no difference to a context: it drops only what is hidden while consent is withdrawn, and
forgotten if it is given again (`gateway.model.visitors.totals`). That requires that everything received more than `PURGE_DELAY_MS` ago
is stored by now. If the processors lag further behind, what arrives later is dropped too, in favour of the visitor.

What stays: the answers on consent; that an anonymous id joined, without the traits of the login; cut-offs and positions; the number
of messages and the time of the first one (in the sealed totals, which are empty otherwise).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from gateway.model.events.contribution import Contribution, Identification
from gateway.model.times import MINUTE_MS, earliest_ms
from gateway.model.visitors.state import Part, State, outlives_purge
from gateway.model.visitors.totals import CONSENT_GRACE_MS, Totals

PURGE_DELAY_MS: Final = MINUTE_MS
"""What was received this long ago is assumed to be stored: an answer within the grace time must not arrive after the purge."""


def purge_withdrawn(state: State, withdrawn_since_ms: int | None, now_ms: int) -> State:
    """The state after the purge that is due at `now_ms`; the same object if nothing is dropped."""
    until_ms = now_ms - PURGE_DELAY_MS
    if withdrawn_since_ms is None or until_ms - withdrawn_since_ms <= CONSENT_GRACE_MS:
        return state
    return purge(state, until_ms)


def purge(state: State, until_ms: int) -> State:
    """The state without the profile that was received up to `until_ms`, whatever its consent; the same object if nothing is dropped."""
    parts = {visitor_id: _purge_part(part, until_ms) for visitor_id, part in state.parts.items()}
    return state if all(parts[visitor_id] is part for visitor_id, part in state.parts.items()) else replace(state, parts=parts)


def purge_due_ms(state: State, withdrawn_since_ms: int | None) -> int | None:
    """When (ms) the next purge of a state has something to drop; None: never, if nothing changes."""
    if withdrawn_since_ms is None:
        return None
    received = [c.received_at_ms for part in state.parts.values() for c in part.contributions.values() if is_purgeable(c)]
    if any(part.base is not None and _without_profile(part.base) != part.base for part in state.parts.values()):
        received.append(0)
    if not received:
        return None
    return max(withdrawn_since_ms + CONSENT_GRACE_MS + 1, min(received)) + PURGE_DELAY_MS


def is_purgeable(contribution: Contribution) -> bool:
    """Whether a purge drops the contribution, or something of it."""
    data = contribution.data
    return bool(data.traits) if isinstance(data, Identification) else not outlives_purge(contribution)


def _purge_part(part: Part, until_ms: int) -> Part:
    due = [c for c in part.contributions.values() if c.received_at_ms <= until_ms and is_purgeable(c)]
    base = Totals() if part.base is None else _without_profile(part.base)
    if not due and (part.base is None or base == part.base):
        return part
    dropped = [c for c in due if not outlives_purge(c)]
    if dropped:
        keys = [c.history_key for c in part.contributions.values()]
        base.messages += len(dropped)
        base.updated_ms = max(base.updated_ms, *(c.event_time_ms for c in dropped))
        base.first_key = min(keys if base.first_key is None else [base.first_key, *keys])
        base.known_since_ms = earliest_ms(base.known_since_ms, *(c.received_at_ms for c in dropped))
    due_ids = {c.message_id for c in due}
    kept = {message_id: c for message_id, c in part.contributions.items() if message_id not in due_ids}
    kept |= {c.message_id: c._replace(data=c.data._replace(traits={})) for c in due if isinstance(c.data, Identification)}
    has_base = bool(dropped) or part.base is not None
    return Part(kept, base if has_base else None, part.seal, max(until_ms, part.purged_ms or 0))


def _without_profile(base: Totals) -> Totals:
    totals = base.copy()
    totals.forget_profile()
    return totals
