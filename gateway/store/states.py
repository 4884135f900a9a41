"""Reading states, from which contexts are derived. For explanations and exports; banners need only the contexts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from redis.asyncio import Redis

from gateway.model.visitors.state import State
from gateway.model.visitors.state_codec import UnreadableState, decode_state
from gateway.store.connection import NO_ANSWER, StoreUnavailable, store_errors_as
from gateway.store.keys import state_key


@dataclass(frozen=True, slots=True)
class StoredStates:
    """The state stored under a visitor id (None: there is none); for an alias also the state of the known visitor it joined."""

    own: State | None
    owner: State | None = None


class StateReader:
    """Reads states. Every method raises `StoreUnavailable` when Redis does not answer, or when a stored state cannot be decoded."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def read(self, visitor_id: str) -> StoredStates:
        """The state of a visitor; for an anonymous id that joined a known visitor also that visitor's."""
        (own,) = await self.states([visitor_id])
        if own is None or own.alias_of is None:
            return StoredStates(own)
        (owner,) = await self.states([own.alias_of])
        return StoredStates(own, owner)

    async def states(self, visitor_ids: Iterable[str]) -> list[State | None]:
        """The state stored under each of these ids, in their order, aliases included."""
        pipeline = self._redis.pipeline(transaction=False)
        for visitor_id in visitor_ids:
            pipeline.get(state_key(visitor_id))
        with store_errors_as(NO_ANSWER):
            values = await pipeline.execute()
        try:
            return [None if value is None else decode_state(value) for value in values]
        except UnreadableState as problem:
            raise StoreUnavailable(f"{problem}; rebuild the contexts from the log") from problem
