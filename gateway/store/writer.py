"""Writing contexts: read the state, absorb, view, compare and set, with the change notice in the same step.

One script writes state, context and notice when the state still begins with the write id that was read. Whoever fails
reads again. Both the context writer and the gateway (consent, erasure) write this way; two of them at one visitor do no
harm, by absorb.

An anonymous id that is identified first becomes an alias that still holds its part, then its part is united into the
known visitor's state. Both steps are unions, so a crash between them or a redelivery does no harm.

Before a state is written of which something is to be purged later, the moment is noted in the queue of purges.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from gateway.clock import NowMs
from gateway.model.times import latest_ms
from gateway.model.visitors.context_view import context_of, encode_context, totals_of
from gateway.model.visitors.purge import purge_due_ms
from gateway.model.visitors.state import AbsorbCounts, State, Update, split_released
from gateway.model.visitors.state_codec import WRITE_ID_BYTES, UnreadableState, decode_state, encode_state
from gateway.model.visitors.write_plan import (
    PlannedWrite,
    RefusedUpdate,
    VisitorWork,
    erasure_received_ms,
    forward_to_owner,
    is_erasure,
    keep_for_retry,
    plan_write,
)
from gateway.store.connection import STORE_ERRORS, StoreUnavailable
from gateway.store.keys import context_key, notice_channel, state_key
from gateway.store.purges import PurgeQueue

MAX_ATTEMPTS: Final = 40

log = logging.getLogger(__name__)

# KEYS: state, context, channel. ARGV: expected write id ("" for none), state, context, time to live in ms.
_COMPARE_AND_SET: Final = """
if redis.call('GETRANGE', KEYS[1], 0, 15) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4])
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
redis.call('SPUBLISH', KEYS[3], '')
return 1
"""


@dataclass(slots=True)
class WriteOutcome:
    """What became of a batch."""

    absorbed: AbsorbCounts = field(default_factory=AbsorbCounts)
    refused: list[RefusedUpdate] = field(default_factory=list)
    written: int = 0
    unchanged: int = 0
    conflicts: int = 0
    purged: int = 0
    """States of which something was dropped because consent is withdrawn."""

    def count(self, outcome: AbsorbCounts) -> None:
        """Add the outcome of one absorb that was stored."""
        self.absorbed.fresh += outcome.fresh
        self.absorbed.duplicates += outcome.duplicates
        self.absorbed.below_seal += outcome.below_seal
        self.absorbed.erased += outcome.erased


class ContextWriter:
    """Stores updates into contexts. Safe to run many times over, and beside others."""

    def __init__(self, redis: Redis, now_ms: NowMs, retention_ms: int) -> None:
        self._redis = redis
        self._now_ms = now_ms
        self._retention_ms = retention_ms
        self._purges = PurgeQueue(redis)
        self._sha: str | None = None

    async def apply(self, updates: Iterable[Update]) -> WriteOutcome:
        """Absorb `updates`; when this returns, they are stored. Raises `StoreUnavailable`; then applying again is safe."""
        work: dict[str, VisitorWork] = {}
        for update in updates:
            work.setdefault(update.visitor_id, VisitorWork()).updates.append(update)
        applied = WriteOutcome()
        await self._work_off(work, applied)
        return applied

    async def purge(self, visitor_ids: Iterable[str]) -> WriteOutcome:
        """Drop what may be dropped by now of these visitors, if they withdrew consent, and of the aliases that joined them.

        Raises `StoreUnavailable`; purging again is safe.
        """
        applied = WriteOutcome()
        await self._work_off({visitor_id: VisitorWork(purge=True) for visitor_id in visitor_ids}, applied)
        # The visitor first: what an alias still holds cannot come back into a part that was purged. The other way round it could.
        states = await self._states(visitor_ids)
        owners = {alias_of for _, state in states.values() if (alias_of := state.alias_of) is not None}
        states |= await self._states(owners - states.keys())
        aliases = {
            alias: VisitorWork(purged_of=(owner, part.purged_ms))
            for owner, (_, state) in states.items()
            if state.alias_of is None
            for alias, part in state.parts.items()
            if alias != owner and part.purged_ms is not None
        }
        await self._work_off(aliases, applied)
        return applied

    async def _work_off(self, work: dict[str, VisitorWork], applied: WriteOutcome) -> None:
        try:
            for _ in range(MAX_ATTEMPTS):
                if not work:
                    return
                work = await self._round(work, applied)
        except STORE_ERRORS as error:
            raise _unavailable("take a write", error) from error
        raise StoreUnavailable(f"a context changed {MAX_ATTEMPTS} times while it was written")

    async def _states(self, visitor_ids: Iterable[str]) -> dict[str, tuple[bytes, State]]:
        try:
            return await self._read(visitor_ids)
        except STORE_ERRORS as error:
            raise _unavailable("answer", error) from error

    async def _round(self, work: dict[str, VisitorWork], applied: WriteOutcome) -> dict[str, VisitorWork]:
        """One read and one write for each visitor; gives what is left to do."""
        left: dict[str, VisitorWork] = {}
        writes: list[PlannedWrite] = []
        states = await self._read(work)
        for visitor_id, todo in work.items():
            write_id, state = states[visitor_id]
            if state.alias_of is not None and todo.erased_ms is None and todo.purged_of is None:
                forward_to_owner(left, state, todo)
                continue
            todo = self._send_back(left, state, todo)
            write = plan_write(visitor_id, write_id, state, todo, self._now_ms())
            kept, released = split_released(write.state, state.parts)
            if released:
                # First the anonymous ids, then the visitor: after a crash between them the erasure comes again and still finds them.
                await self._release(released, write.state, applied)
                write = replace(write, state=kept)
            if write.state == state:
                applied.unchanged += 1
                applied.count(write.outcome)
                applied.refused.extend(write.refused)
            else:
                writes.append(write)
        for write, stored in zip(writes, await self._store(writes), strict=True):
            if not stored:
                applied.conflicts += 1
                keep_for_retry(left, write.visitor_id, work[write.visitor_id])
                continue
            applied.written += 1
            applied.purged += write.purged
            applied.count(write.outcome)
            applied.refused.extend(write.refused)
            if write.state.alias_of is not None:
                forward_to_owner(left, write.state, VisitorWork())
        return left

    @staticmethod
    def _send_back(left: dict[str, VisitorWork], state: State, todo: VisitorWork) -> VisitorWork:
        """What came through an alias that an erasure undid goes back to the anonymous id."""
        undone: dict[str, int] = {}
        erased_ms = latest_ms(state.cutoff_ms, erasure_received_ms(state.visitor_id, todo.updates))
        for arrival in todo.arrivals:
            cutoff_ms = latest_ms(erased_ms, erasure_received_ms(arrival.visitor_id, todo.updates))
            if arrival.link is not None and cutoff_ms is not None and arrival.link.received_at_ms <= cutoff_ms:
                undone[arrival.visitor_id] = cutoff_ms
        for visitor_id, cutoff_ms in undone.items():
            back = left.setdefault(visitor_id, VisitorWork())
            back.erased_ms = max(back.erased_ms or 0, cutoff_ms)
            back.updates.extend(update for update in todo.updates if update.visitor_id == visitor_id)
        return VisitorWork(
            # An erasure of the anonymous id itself stays here, too: its part may have been united before.
            [update for update in todo.updates if update.visitor_id not in undone or is_erasure(update)],
            [arrival for arrival in todo.arrivals if arrival.visitor_id not in undone],
            todo.erased_ms,
            todo.purge,
            todo.purged_of,
        )

    async def _release(self, released: Sequence[State], owner: State, applied: WriteOutcome) -> None:
        work = {one.visitor_id: VisitorWork(arrivals=[one], erased_ms=owner.cutoff_of(one.visitor_id)) for one in released}
        for _ in range(MAX_ATTEMPTS):
            if not work:
                return
            work = await self._round(work, applied)
        raise StoreUnavailable("an anonymous visitor changed too often while it was released")

    async def _read(self, visitor_ids: Iterable[str]) -> dict[str, tuple[bytes, State]]:
        ids = list(visitor_ids)
        pipeline = self._redis.pipeline(transaction=False)
        for visitor_id in ids:
            pipeline.get(state_key(visitor_id))
        found: dict[str, tuple[bytes, State]] = {}
        for visitor_id, stored in zip(ids, await pipeline.execute(), strict=True):
            if stored is None:
                found[visitor_id] = (b"", State(visitor_id))
                continue
            try:
                found[visitor_id] = (stored[:WRITE_ID_BYTES], decode_state(stored))
            except UnreadableState as problem:
                # One bad record must not stop the others of its partition: it is begun anew, and what it held is in the log.
                log.error("a state begins anew: %s; rebuild it from the log (docs/operations.md)", problem)
                found[visitor_id] = (stored[:WRITE_ID_BYTES], State(visitor_id))
        return found

    async def _store(self, writes: Sequence[PlannedWrite]) -> list[bool]:
        if not writes:
            return []
        due: dict[str, int] = {}
        arguments = [self._arguments(write, due) for write in writes]
        # Before the states: after a crash in between an entry finds nothing to purge, which is better than the other way round.
        await self._purges.add(due)
        answers = await self._run_script(arguments)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            # The server restarted and forgot the script. What was stored by then is refused now, and so done once more.
            self._sha = None
            answers = await self._run_script(arguments)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return [answer == 1 for answer in answers]

    async def _run_script(self, arguments: Sequence[Sequence[str | bytes | int]]) -> list[Any]:
        if self._sha is None:
            self._sha = await self._redis.script_load(_COMPARE_AND_SET)
        pipeline = self._redis.pipeline(transaction=False)
        for argument in arguments:
            pipeline.evalsha(self._sha, 3, *argument)
        return list(await pipeline.execute(raise_on_error=False))

    def _arguments(self, write: PlannedWrite, due: dict[str, int]) -> tuple[str | bytes | int, ...]:
        """Those of the script; notes in `due` when something of the state is to be purged."""
        state = write.state
        totals = totals_of(state)
        due_ms = purge_due_ms(state, totals.withdrawn_since_ms) if state.alias_of is None else None
        if due_ms is not None:
            due[write.visitor_id] = due_ms
        return (
            state_key(write.visitor_id),
            context_key(write.visitor_id),
            notice_channel(write.visitor_id),
            write.expected,
            encode_state(state, secrets.token_bytes(WRITE_ID_BYTES)),
            encode_context(context_of(state, totals)),
            self._retention_ms,
        )


def _unavailable(what: str, error: BaseException) -> StoreUnavailable:
    # The type alone: redis-py puts the command into the text, its key names the visitor, and what is raised here is logged.
    return StoreUnavailable(f"the context store did not {what}: {type(error).__name__}")
