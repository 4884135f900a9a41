"""States in memory, as the bytes that would be stored: compare-and-set by write id."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

from gateway.model.visitors.context_view import Context, view
from gateway.model.visitors.state import State
from gateway.model.visitors.state_codec import WRITE_ID_BYTES, decode_state, encode_state
from gateway.store.keys import notice_channel
from gateway.store.writer import StateWrite, StoredState
from tests.support.memory.faults import Faults


class MemoryStateStore:
    """A `StateStore`. `stored` is what it holds; `reading` and `writing` are what its next reads and single writes meet."""

    def __init__(self, announce: Callable[[str], None] = lambda _: None) -> None:
        self.stored: dict[str, bytes] = {}
        self.reading = Faults()
        self.writing = Faults()
        self._write_ids = itertools.count(1)
        self._announce = announce

    async def read(self, visitor_ids: Iterable[str]) -> Mapping[str, StoredState]:
        """As `StateStore.read`."""
        await self.reading.enter()
        states = {visitor_id: StoredState(self._write_id(visitor_id), self.state(visitor_id)) for visitor_id in visitor_ids}
        self.reading.leave()
        return states

    async def compare_and_set(self, writes: Sequence[StateWrite]) -> Sequence[bool]:
        """As `StateStore.compare_and_set`. Others may write in between two of the writes; a fault ends them there."""
        return [await self._compare_and_set_one(write) for write in writes]

    async def _compare_and_set_one(self, write: StateWrite) -> bool:
        await self.writing.enter()
        if self._write_id(write.visitor_id) != write.expected:
            return False
        self.stored[write.visitor_id] = encode_state(write.state, next(self._write_ids).to_bytes(WRITE_ID_BYTES, "big"))
        self._announce(notice_channel(write.visitor_id))
        self.writing.leave()
        # A script of the real store ends before the caller goes on; another caller may come first.
        await asyncio.sleep(0)
        return True

    def state(self, visitor_id: str) -> State:
        """The state under a visitor id, an empty one where nothing is stored."""
        return decode_state(self.stored[visitor_id]) if visitor_id in self.stored else State(visitor_id)

    def context(self, visitor_id: str) -> Context:
        """The public context under a visitor id."""
        return view(self.state(visitor_id))

    def _write_id(self, visitor_id: str) -> bytes:
        return self.stored.get(visitor_id, b"")[:WRITE_ID_BYTES]
