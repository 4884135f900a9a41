"""States in Redis: read, and stored with their public context and change notice by one script.

The script stores a state if the stored one still starts with the write id that was read. Before a state is stored of which
something is to be purged later, the moment is noted in the queue of purges.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from gateway.model.visitors.context_view import context_of, encode_context, totals_of
from gateway.model.visitors.purge import purge_due_ms
from gateway.model.visitors.state import State
from gateway.model.visitors.state_codec import WRITE_ID_BYTES, UnreadableState, decode_state, encode_state
from gateway.store.connection import STORE_ERRORS, StoreUnavailable
from gateway.store.keys import context_key, notice_channel, state_key
from gateway.store.purges import PurgeQueue
from gateway.store.writer import StateWrite, StoredState

log = logging.getLogger(__name__)

# KEYS: state, context, channel. ARGV: expected write id ("" for none), state, context, time to live in ms.
_COMPARE_AND_SET: Final = """
if redis.call('GETRANGE', KEYS[1], 0, 15) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4])
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
redis.call('SPUBLISH', KEYS[3], '')
return 1
"""


class RedisStateStore:
    """The states of a Redis or Valkey: a `StateStore`. A state expires `retention_ms` after its last write."""

    def __init__(self, redis: Redis, retention_ms: int) -> None:
        self._redis = redis
        self._retention_ms = retention_ms
        self._purges = PurgeQueue(redis)
        self._sha: str | None = None

    async def read(self, visitor_ids: Iterable[str]) -> Mapping[str, StoredState]:
        """The states of these visitor ids, an empty one where nothing is stored. Raises `StoreUnavailable`."""
        ids = list(visitor_ids)
        pipeline = self._redis.pipeline(transaction=False)
        for visitor_id in ids:
            pipeline.get(state_key(visitor_id))
        try:
            stored = await pipeline.execute()
        except STORE_ERRORS as error:
            raise _unavailable("answer", error) from error
        return {visitor_id: _decoded(visitor_id, value) for visitor_id, value in zip(ids, stored, strict=True)}

    async def compare_and_set(self, writes: Sequence[StateWrite]) -> Sequence[bool]:
        """Store states with their contexts and notices; returns for each whether it was stored. Raises `StoreUnavailable`."""
        try:
            return await self._compare_and_set(writes)
        except STORE_ERRORS as error:
            raise _unavailable("take a write", error) from error

    async def _compare_and_set(self, writes: Sequence[StateWrite]) -> list[bool]:
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

    def _arguments(self, write: StateWrite, due: dict[str, int]) -> tuple[str | bytes | int, ...]:
        """Those of the script; notes in `due` when something of the state is to be purged."""
        visitor_id, state = write.visitor_id, write.state
        totals = totals_of(state)
        due_ms = purge_due_ms(state, totals.withdrawn_since_ms) if state.alias_of is None else None
        if due_ms is not None:
            due[visitor_id] = due_ms
        return (
            state_key(visitor_id),
            context_key(visitor_id),
            notice_channel(visitor_id),
            write.expected,
            encode_state(state, secrets.token_bytes(WRITE_ID_BYTES)),
            encode_context(context_of(state, totals)),
            self._retention_ms,
        )


def _decoded(visitor_id: str, value: bytes | None) -> StoredState:
    if value is None:
        return StoredState(b"", State(visitor_id))
    try:
        return StoredState(value[:WRITE_ID_BYTES], decode_state(value))
    except UnreadableState as problem:
        # One bad record must not stop the others of its partition: it starts over, and what it held is in the log.
        log.error("a state starts over: %s; rebuild it from the log (docs/operations.md)", problem)
        return StoredState(value[:WRITE_ID_BYTES], State(visitor_id))


def _unavailable(what: str, error: BaseException) -> StoreUnavailable:
    # The type alone: redis-py puts the command into the text, its key names the visitor, and what is raised here is logged.
    return StoreUnavailable(f"the context store did not {what}: {type(error).__name__}")
