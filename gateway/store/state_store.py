"""States in Redis: read, and stored with their public context and change notice by one script.

The script stores a state if the stored one still starts with the write id that was read. If something of a state is to be purged
later, the time is added to the queue of purges before the state is stored.
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
from gateway.store.connection import NO_ANSWER, store_errors_as
from gateway.store.keys import context_key, notice_channel, state_key
from gateway.store.purges import PurgeQueue
from gateway.store.writer import StateWrite, StoredState

log = logging.getLogger(__name__)

# KEYS: state, context, channel. ARGV: expected write id ("" where there is no state), state, context, time to live in ms.
_COMPARE_AND_SET: Final = """
if redis.call('GETRANGE', KEYS[1], 0, 15) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4])
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
redis.call('SPUBLISH', KEYS[3], '')
return 1
"""


class RedisStateStore:
    """A `StateStore` in Redis or Valkey. A state expires `retention_ms` after its last write."""

    def __init__(self, redis: Redis, retention_ms: int) -> None:
        self._redis = redis
        self._retention_ms = retention_ms
        self._purges = PurgeQueue(redis)
        self._script_sha: str | None = None

    async def read(self, visitor_ids: Iterable[str]) -> Mapping[str, StoredState]:
        """The states of these visitor ids, an empty one where nothing is stored. Raises `StoreUnavailable`."""
        ids = list(visitor_ids)
        pipeline = self._redis.pipeline(transaction=False)
        for visitor_id in ids:
            pipeline.get(state_key(visitor_id))
        with store_errors_as(NO_ANSWER):
            values = await pipeline.execute()
        return {visitor_id: _decode(visitor_id, value) for visitor_id, value in zip(ids, values, strict=True)}

    async def compare_and_set(self, writes: Sequence[StateWrite]) -> Sequence[bool]:
        """Store states with their contexts and notices; returns for each whether it was stored. Raises `StoreUnavailable`."""
        purges_due_ms: dict[str, int] = {}
        calls = [self._script_arguments(write, purges_due_ms) for write in writes]
        with store_errors_as("the context store did not take a write"):
            # Before the states: after a crash in between, an entry finds nothing to purge. In the other order a purge would be missing.
            await self._purges.add(purges_due_ms)
            answers = await self._run_script(calls)
            if any(isinstance(answer, NoScriptError) for answer in answers):
                # The server restarted and forgot the script. A write that was stored by then is refused now, and so done once more.
                self._script_sha = None
                answers = await self._run_script(calls)
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        return [answer == 1 for answer in answers]

    async def _run_script(self, calls: Sequence[Sequence[str | bytes | int]]) -> list[Any]:
        if self._script_sha is None:
            self._script_sha = await self._redis.script_load(_COMPARE_AND_SET)
        pipeline = self._redis.pipeline(transaction=False)
        for arguments in calls:
            pipeline.evalsha(self._script_sha, 3, *arguments)
        return list(await pipeline.execute(raise_on_error=False))

    def _script_arguments(self, write: StateWrite, purges_due_ms: dict[str, int]) -> tuple[str | bytes | int, ...]:
        """The keys and arguments of the script. Adds to `purges_due_ms` when something of the state is to be purged."""
        visitor_id, state = write.visitor_id, write.state
        totals = totals_of(state)
        due_ms = purge_due_ms(state, totals.withdrawn_since_ms) if state.alias_of is None else None
        if due_ms is not None:
            purges_due_ms[visitor_id] = due_ms
        return (
            state_key(visitor_id),
            context_key(visitor_id),
            notice_channel(visitor_id),
            write.expected,
            encode_state(state, secrets.token_bytes(WRITE_ID_BYTES)),
            encode_context(context_of(state, totals)),
            self._retention_ms,
        )


def _decode(visitor_id: str, value: bytes | None) -> StoredState:
    if value is None:
        return StoredState(b"", State(visitor_id))
    try:
        return StoredState(value[:WRITE_ID_BYTES], decode_state(value))
    except UnreadableState as problem:
        # One bad record must not stop the others of its partition. Its visitor starts over; what it held is in the log.
        log.error("a state starts over: %s; rebuild it from the log (docs/operations.md)", problem)
        return StoredState(value[:WRITE_ID_BYTES], State(visitor_id))
