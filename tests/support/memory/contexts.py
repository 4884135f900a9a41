"""Public contexts in memory: what a `MemoryStateStore` holds, read as `gateway.store.reader` reads it."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.model.visitors.context_view import encode_context
from gateway.store.reader import ContextReading
from tests.support.memory.faults import Faults
from tests.support.memory.state_store import MemoryStateStore


class MemoryContexts:
    """A `Contexts`. `reading` is what its next reads meet; an alias costs two."""

    def __init__(self, store: MemoryStateStore) -> None:
        self.reading = Faults()
        self._store = store

    async def read(self, visitor_id: str) -> ContextReading:
        """As `Contexts.read`."""
        context = await self._get(visitor_id)
        if context is not None and (owner := context.get("alias_of")) is not None:
            return ContextReading(await self._get(owner), (visitor_id, owner), joined=True)
        return ContextReading(context, (visitor_id,))

    async def _get(self, visitor_id: str) -> dict[str, Any] | None:
        await self.reading.enter()
        stored = encode_context(self._store.context(visitor_id)) if visitor_id in self._store.stored else None
        self.reading.leave()
        return None if stored is None else orjson.loads(stored)
