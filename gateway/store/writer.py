"""Writing contexts: read the state, plan, compare and set, until all work is done.

A state is stored if the stored one still has the write id that was read; a writer whose write is refused reads again. Both the
context writer and the gateway (consent, erasure) write this way; two writers of the same visitor do no harm, because `absorb` is a
union.

When an anonymous id is identified, it first becomes an alias that still holds its part; then the part is united into the known
visitor's state. Both steps are unions, so a crash between them or a redelivery does no harm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from gateway.clock import NowMs
from gateway.model.visitors.state import AbsorbCounts, State, Update
from gateway.model.visitors.write_plan import (
    Assigned,
    Forward,
    Purge,
    RefusedUpdate,
    VisitorPlan,
    Work,
    alias_purges,
    plan_visitor,
    work_by_visitor,
    work_of,
)
from gateway.store.connection import StoreUnavailable

MAX_ATTEMPTS: Final = 40


@dataclass(slots=True)
class WriteOutcome:
    """The outcome of writing a batch of updates."""

    absorbed: AbsorbCounts = field(default_factory=AbsorbCounts)
    refused: list[RefusedUpdate] = field(default_factory=list)
    written: int = 0
    unchanged: int = 0
    conflicts: int = 0
    purged: int = 0
    """States from which something was dropped because consent is withdrawn."""

    def add(self, plan: VisitorPlan) -> None:
        """Add the outcome of a plan that was carried out."""
        self.refused.extend(plan.refused)
        self.absorbed.fresh += plan.counts.fresh
        self.absorbed.duplicates += plan.counts.duplicates
        self.absorbed.below_seal += plan.counts.below_seal
        self.absorbed.erased += plan.counts.erased


class StoredState(NamedTuple):
    """A state as it was read, with the write id to compare (empty: nothing is stored under this id)."""

    write_id: bytes
    state: State


class StateWrite(NamedTuple):
    """A state to store if the stored one still has the write id `expected`."""

    expected: bytes
    visitor_id: str
    state: State


class StateStore(Protocol):
    """What the writer needs from the store. Every method raises `StoreUnavailable`; some of the states may be stored then."""

    async def read(self, visitor_ids: Iterable[str]) -> Mapping[str, StoredState]:
        """The states of these visitor ids, an empty one where nothing is stored."""

    async def compare_and_set(self, writes: Sequence[StateWrite]) -> Sequence[bool]:
        """Store states with their contexts and change notices, each in one step; returns for each whether it was stored."""


class ContextWriter:
    """Stores updates in contexts. Safe to run several times over the same updates, and next to other writers."""

    def __init__(self, store: StateStore, now_ms: NowMs) -> None:
        self._store = store
        self._now_ms = now_ms

    async def apply(self, updates: Iterable[Update]) -> WriteOutcome:
        """Absorb `updates`; when this returns, they are stored. Raises `StoreUnavailable`; then it is safe to apply them again."""
        outcome = WriteOutcome()
        await self._do_all(work_by_visitor(work_of(updates)), outcome)
        return outcome

    async def purge(self, visitor_ids: Iterable[str]) -> WriteOutcome:
        """Purge what is due of these visitors, if they withdrew consent, and of the aliases that joined them.

        Raises `StoreUnavailable`; then it is safe to purge again.
        """
        outcome = WriteOutcome()
        visitor_ids = list(visitor_ids)
        await self._do_all({visitor_id: [Purge()] for visitor_id in visitor_ids}, outcome)
        # The known visitor first: a purged part takes nothing back from an alias. In the other order it could be filled again.
        states = dict(await self._store.read(visitor_ids))
        owners = {alias_of for _, state in states.values() if (alias_of := state.alias_of) is not None}
        states |= await self._store.read(owners - states.keys())
        await self._do_all(work_by_visitor(alias_purges(state for _, state in states.values())), outcome)
        return outcome

    async def _do_all(self, work: Mapping[str, Sequence[Work]], outcome: WriteOutcome) -> None:
        for _ in range(MAX_ATTEMPTS):
            if not work:
                return
            work = work_by_visitor(await self._attempt(work, outcome))
        raise StoreUnavailable(f"a context changed {MAX_ATTEMPTS} times while it was written")

    async def _attempt(self, work: Mapping[str, Sequence[Work]], outcome: WriteOutcome) -> list[Assigned]:
        """One read and one write for each visitor. Returns the remaining work."""
        remaining: list[Assigned] = []
        plans: list[tuple[bytes, VisitorPlan]] = []
        states = await self._store.read(work)
        for visitor_id, items in work.items():
            write_id, state = states[visitor_id]
            plan = plan_visitor(visitor_id, state, items, self._now_ms())
            if isinstance(plan, Forward):
                remaining += plan.work
                continue
            remaining += plan.elsewhere
            if plan.release:
                await self._do_all(work_by_visitor(plan.release), outcome)
            if plan.has_changed:
                plans.append((write_id, plan))
            else:
                outcome.unchanged += 1
                outcome.add(plan)
        writes = [StateWrite(write_id, plan.visitor_id, plan.state) for write_id, plan in plans]
        stored = await self._store.compare_and_set(writes) if writes else ()
        for (_, plan), is_stored in zip(plans, stored, strict=True):
            if is_stored:
                outcome.written += 1
                outcome.purged += plan.is_purge
                outcome.add(plan)
                remaining += plan.afterwards
            else:
                outcome.conflicts += 1
                remaining += ((plan.visitor_id, item) for item in work[plan.visitor_id])
        return remaining
