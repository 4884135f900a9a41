"""Whole states in memory, read from a `MemoryStateStore` as `gateway.store.states` reads them."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.model.visitors.state import State
from gateway.store.states import StoredStates
from tests.support.memory.faults import Faults
from tests.support.memory.state_store import MemoryStateStore


class MemoryStates:
    """A `States`. `reading` is what its next reads meet; an alias costs two."""

    def __init__(self, store: MemoryStateStore) -> None:
        self.reading = Faults()
        self._store = store

    async def read(self, visitor_id: str) -> StoredStates:
        """As `States.read`."""
        (own,) = await self.states([visitor_id])
        if own is None or own.alias_of is None:
            return StoredStates(own)
        (owner,) = await self.states([own.alias_of])
        return StoredStates(own, owner)

    async def states(self, visitor_ids: Iterable[str]) -> list[State | None]:
        """As `States.states`."""
        await self.reading.enter()
        states = [self._store.state(visitor_id) if visitor_id in self._store.stored else None for visitor_id in visitor_ids]
        self.reading.leave()
        return states
