"""The state of a visitor, and `absorb`: set union of contributions.

A state is a map of parts, one per visitor id (a known visitor and the anonymous ids that joined it). A part holds the
contributions of the late window plus one day, on top of a sealed base, the totals of the older ones. `absorb` is a union: a message
id counts once, with the copy that was received first. So any order, any duplication, any split into batches and any replay lead to
the same state, and no other protection against them is needed.

Beyond a limit of contributions the oldest are sealed into the base. What arrives below the seal is dropped and counted: the guarantee
holds up to that limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from gateway.model.events.contribution import Contribution, HistoryKey, Identification, Position, by_history, contribution_of
from gateway.model.events.event import AHEAD_LIMIT_MS, LATE_WINDOW_MS, Event
from gateway.model.events.event_kinds import EventType, Kind
from gateway.model.events.positions import Positions
from gateway.model.times import DAY_MS, latest_ms
from gateway.model.visitors.totals import Totals, apply_contributions

MAX_CONTRIBUTIONS: Final = 512
KEPT_MS: Final = LATE_WINDOW_MS + DAY_MS


@dataclass(frozen=True, slots=True)
class Update:
    """One record of the log, as the context writer receives it. Without an event it only moves positions.

    `early`: it did not come through the stream. Then it moves no position, because earlier records may still be on their way.
    """

    visitor_id: str
    position: Position
    log_epoch: int
    event: Event | None
    early: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """The contributions that were received under one visitor id. `seal`: the key of the last sealed contribution.

    `purged_ms`: what was received up to this moment was purged after consent was withdrawn (`gateway.model.visitors.purge`), and is not
    accepted again.
    """

    contributions: dict[str, Contribution] = field(default_factory=dict)
    base: Totals | None = None
    seal: HistoryKey | None = None
    purged_ms: int | None = None


class Link(NamedTuple):
    """The identify of an anonymous id. The first in its partition wins, so the smallest position does."""

    position: Position
    user_id: str
    received_at_ms: int


@dataclass(frozen=True, slots=True)
class State:
    """Everything that is stored about one visitor.

    `alias_of`: the known visitor that this anonymous id joined. Its part lives on there; what is stored here is the part as it was when
    the id joined. `cutoff_ms`: the latest erasure; what was received or dated up to it does not count. `part_cutoffs`: erasures of
    anonymous ids that joined, each for its own part.
    """

    visitor_id: str
    parts: dict[str, Part] = field(default_factory=dict)
    positions: Positions = field(default_factory=Positions)
    alias_of: str | None = None
    cutoff_ms: int | None = None
    link: Link | None = None
    part_cutoffs: dict[str, int] = field(default_factory=dict)

    def cutoff_of(self, visitor_id: str) -> int | None:
        """The moment (ms) up to which the events of this id are erased; None: they are not."""
        return latest_ms(self.cutoff_ms, self.part_cutoffs.get(visitor_id))


@dataclass(slots=True)
class AbsorbCounts:
    """The outcome of absorbing a batch: how many messages were new (`fresh`), and how many changed nothing, by reason."""

    fresh: int = 0
    duplicates: int = 0
    below_seal: int = 0
    erased: int = 0


def absorb(state: State, updates: Iterable[Update]) -> tuple[State, AbsorbCounts]:
    """The union of `state` and `updates`, as a new state."""
    counts = AbsorbCounts()
    updates = list(updates)
    positions = state.positions.after((update.log_epoch, None if update.early else update.position) for update in updates)
    cutoff_ms = state.cutoff_ms
    part_cutoffs = dict(state.part_cutoffs)
    links = [state.link] if state.link else []
    arrived: dict[str, list[Contribution]] = {}
    for update in updates:
        if update.event is None:
            continue
        if update.event.type is EventType.DELETE:
            if update.visitor_id == state.visitor_id:
                cutoff_ms = max(cutoff_ms or 0, update.event.received_at_ms)
            else:
                part_cutoffs[update.visitor_id] = max(part_cutoffs.get(update.visitor_id, 0), update.event.received_at_ms)
        else:
            arrived.setdefault(update.visitor_id, []).append(contribution_of(update.event, update.position))
            if update.visitor_id == state.visitor_id and (link := _link_of(update)) is not None:
                links.append(link)
    links = [link for link in links if cutoff_ms is None or link.received_at_ms > cutoff_ms]
    state = _cut(
        replace(state, positions=positions),
        cutoff_ms,
        part_cutoffs,
    )
    if state.link is not None and state.link not in links and (second := _first_link(state)) is not None:
        links.append(second)
    state = replace(state, link=min(links, default=None))
    parts = dict(state.parts)
    for visitor_id, contributions in arrived.items():
        part = _join(visitor_id, parts.get(visitor_id, Part()), contributions, state.cutoff_of(visitor_id), counts)
        if part.contributions or part.base:
            parts[visitor_id] = part
    return replace(state, parts=parts), counts


def unite(state: State, other: State) -> State:
    """The union of a known visitor's state with the state of an anonymous id that joined, as a new state.

    An erasure of the anonymous id is taken over for its part: otherwise a redelivery would bring back what was erased.
    """
    if other.cutoff_ms is not None and other.visitor_id != state.visitor_id:
        known = state.part_cutoffs.get(other.visitor_id, 0)
        state = _cut(state, state.cutoff_ms, {**state.part_cutoffs, other.visitor_id: max(known, other.cutoff_ms)})
    parts = dict(state.parts)
    for visitor_id, part in other.parts.items():
        kept = parts.get(visitor_id, Part())
        if _progress(part) >= _progress(kept):
            # If there are two copies of a part, the one that is purged or sealed further contains everything the other has sealed.
            kept, part = part, kept
        cutoff_ms = state.cutoff_of(visitor_id)
        joined = _join(visitor_id, kept, part.contributions.values(), cutoff_ms, AbsorbCounts())
        if cutoff_ms is not None:
            joined = _cut_part(joined, cutoff_ms)
        if joined.contributions or joined.base:
            parts[visitor_id] = joined
    return replace(state, parts=parts, positions=state.positions.union(other.positions))


def erase(state: State, cutoff_ms: int) -> State:
    """The state after an erasure: without what was received or dated up to `cutoff_ms`, including a link from before."""
    state = _cut(state, max(cutoff_ms, state.cutoff_ms or 0), state.part_cutoffs)
    link = state.link if state.link and state.link.received_at_ms > (state.cutoff_ms or 0) else _first_link(state)
    return replace(state, link=link, alias_of=link.user_id if link and state.alias_of else None)


def _first_link(state: State) -> Link | None:
    """The first identify among the remaining contributions of an anonymous id."""
    part = state.parts.get(state.visitor_id, Part())
    links = (
        Link(c.position, c.data.user_id, c.received_at_ms)
        for c in part.contributions.values()
        if isinstance(c.data, Identification) and c.data.user_id != state.visitor_id
    )
    return min(links, default=None)


def without_erased(state: State, cutoff_ms: int) -> State:
    """The state without what was received or dated up to `cutoff_ms`; its links and cut-offs stay as they are."""
    parts = {visitor_id: _cut_part(part, cutoff_ms) for visitor_id, part in state.parts.items()}
    return replace(state, parts={visitor_id: part for visitor_id, part in parts.items() if part.contributions or part.base})


def split_released(state: State, joined: Iterable[str]) -> tuple[State, list[State]]:
    """Split off the anonymous ids whose identify was erased: they belong to no known visitor again, and keep what came later.

    `joined`: the ids whose parts were in the state before the erasure; one without any remaining contribution is released too.
    """
    released = []
    for visitor_id in sorted({*joined, *state.parts} - {state.visitor_id}):
        part = state.parts.get(visitor_id, Part())
        is_joined = part.base is not None or any(c.kind == Kind.IDENTIFY for c in part.contributions.values())
        if not is_joined and state.cutoff_of(visitor_id) is not None:
            released.append(State(visitor_id, {visitor_id: part} if part.contributions else {}))
    released_ids = {alone.visitor_id for alone in released}
    return replace(state, parts={part_id: part for part_id, part in state.parts.items() if part_id not in released_ids}), released


def screen_identifies(state: State, updates: Iterable[Update]) -> tuple[list[Update], list[Update]]:
    """Split off the identifies that name another user than the one that this anonymous id joins.

    Returns (updates, conflicting updates). A conflicting one stays among the updates without its event, so that positions still move.
    In the state of a known visitor, the anonymous ids have joined that visitor.
    """
    updates = list(updates)
    links: dict[str, Link] = {state.visitor_id: state.link} if state.link else {}
    for update in updates:
        if (link := _link_of(update)) is not None and (state.cutoff_ms is None or link.received_at_ms > state.cutoff_ms):
            links[update.visitor_id] = min(links.get(update.visitor_id, link), link)
    kept, conflicting = [], []
    for update in updates:
        link = _link_of(update)
        joined = state.visitor_id if update.visitor_id != state.visitor_id else None
        first = links.get(update.visitor_id)
        if link is not None and link.user_id != (joined or (first.user_id if first else link.user_id)):
            conflicting.append(update)
            update = replace(update, event=None)
        kept.append(update)
    return kept, conflicting


def _link_of(update: Update) -> Link | None:
    event = update.event
    if event is None or event.type is not EventType.IDENTIFY or event.payload["user_id"] == update.visitor_id:
        return None
    return Link(update.position, event.payload["user_id"], event.received_at_ms)


def positions_of(parts: Mapping[str, Part], log_epoch: int) -> Positions:
    """The positions that cover all contributions of these parts that are not sealed."""
    return Positions.of((c.position for part in parts.values() for c in part.contributions.values()), log_epoch)


def outlives_purge(contribution: Contribution) -> bool:
    """Whether a purge keeps a contribution: it keeps consent, and that an anonymous id joined (without its traits)."""
    return contribution.kind in (Kind.CONSENT, Kind.IDENTIFY)


def _progress(part: Part) -> tuple[int, HistoryKey]:
    """How far a part is purged and sealed."""
    return (part.purged_ms or 0, part.seal or (0, 0, ""))


def _join(visitor_id: str, part: Part, contributions: Iterable[Contribution], cutoff_ms: int | None, counts: AbsorbCounts) -> Part:
    """The part with more contributions, sealed as far as it has to be."""
    joined = dict(part.contributions)
    for contribution in contributions:
        known = joined.get(contribution.message_id)
        if cutoff_ms is not None and contribution.lasts_until_ms <= cutoff_ms:
            counts.erased += 1
        elif (
            known is None
            and part.purged_ms is not None
            and contribution.received_at_ms <= part.purged_ms
            and not outlives_purge(contribution)
        ):
            # It was stored and then purged: what is purged was received long before, and stored.
            counts.duplicates += 1
        elif part.seal is not None and contribution.history_key <= part.seal:
            counts.below_seal += 1
        elif known is None:
            joined[contribution.message_id] = contribution
            counts.fresh += 1
        else:
            counts.duplicates += 1
            if contribution.beats(known):
                joined[contribution.message_id] = contribution
    return _seal(visitor_id, replace(part, contributions=joined))


def _seal(visitor_id: str, part: Part) -> Part:
    """Seal the contributions that are older than the late window plus one day, or beyond the limit."""
    contributions = part.contributions
    if not contributions:
        return part
    horizon_ms = max(c.received_at_ms for c in contributions.values()) - KEPT_MS
    surplus = len(contributions) - MAX_CONTRIBUTIONS
    if surplus <= 0 and all(c.event_time_ms >= horizon_ms for c in contributions.values()):
        return part
    history = sorted(contributions.values(), key=by_history)
    count = sum(1 for index, c in enumerate(history) if index < surplus or c.event_time_ms < horizon_ms)
    old = history[:count]
    base = part.base.copy() if part.base else Totals()
    base = apply_contributions(base, ((visitor_id, c) for c in old))
    return Part({c.message_id: c for c in history[count:]}, base, old[-1].history_key, part.purged_ms)


def _cut(state: State, cutoff_ms: int | None, part_cutoffs: dict[str, int]) -> State:
    if cutoff_ms == state.cutoff_ms and part_cutoffs == state.part_cutoffs:
        return state
    state = replace(state, cutoff_ms=cutoff_ms, part_cutoffs=part_cutoffs)
    parts = {}
    for visitor_id, part in state.parts.items():
        part_cutoff_ms = state.cutoff_of(visitor_id)
        kept = part if part_cutoff_ms is None else _cut_part(part, part_cutoff_ms)
        if kept.contributions or kept.base:
            parts[visitor_id] = kept
    return replace(state, parts=parts)


def _cut_part(part: Part, cutoff_ms: int) -> Part:
    kept = {m: c for m, c in part.contributions.items() if c.lasts_until_ms > cutoff_ms}
    # Totals cannot be separated: a base that may contain something erased is dropped as a whole. Its seal stays.
    if part.base is not None and part.base.first_key is not None and part.base.first_key[0] > cutoff_ms + AHEAD_LIMIT_MS:
        return replace(part, contributions=kept)
    return replace(part, contributions=kept, base=None)
