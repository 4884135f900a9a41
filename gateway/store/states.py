"""Reading states: what contexts are made of. For explanations and exports; banners need the contexts alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from redis.asyncio import Redis

from gateway.model.visitors.state import State
from gateway.model.visitors.state_codec import UnreadableState, decode_state
from gateway.store.connection import STORE_ERRORS, StoreUnavailable
from gateway.store.keys import state_key


@dataclass(frozen=True, slots=True)
class StoredStates:
    """What is held under a visitor id (None: nothing), and for an anonymous id that joined a known visitor that one's state."""

    own: State | None
    owner: State | None = None


class StateReader:
    """Reads states. Every method raises `StoreUnavailable` when Redis does not answer, or gives what cannot be read."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def read(self, visitor_id: str) -> StoredStates:
        """The state of a visitor, following an anonymous id to the visitor it joined."""
        (own,) = await self.states([visitor_id])
        if own is None or own.alias_of is None:
            return StoredStates(own)
        (owner,) = await self.states([own.alias_of])
        return StoredStates(own, owner)

    async def states(self, visitor_ids: Iterable[str]) -> list[State | None]:
        """What is held under each of these ids, as it is stored, aliases included."""
        pipeline = self._redis.pipeline(transaction=False)
        for visitor_id in visitor_ids:
            pipeline.get(state_key(visitor_id))
        try:
            stored = await pipeline.execute()
            return [None if one is None else decode_state(one) for one in stored]
        except STORE_ERRORS as error:
            raise StoreUnavailable(f"the context store did not answer: {type(error).__name__}") from error
        except UnreadableState as problem:
            raise StoreUnavailable(f"{problem}; rebuild the contexts from the log") from problem
