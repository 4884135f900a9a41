"""Everything held of a visitor, for whoever asks for their data."""

from __future__ import annotations

from typing import Any

from gateway.clock import NowMs
from gateway.model.visitors.export import export_of
from gateway.store.states import StateReader


class ExportService:
    """Exports visitors. One instance a process."""

    def __init__(self, states: StateReader, now_ms: NowMs) -> None:
        self._states = states
        self._now_ms = now_ms

    async def export(self, visitor_id: str) -> dict[str, Any] | None:
        """Everything held under a visitor id, or None. An anonymous id that joined: under both. Raises `Unavailable`."""
        held = await self._states.read(visitor_id)
        state = held.owner or held.own
        if state is None:
            return None
        # Also who asks by an anonymous id gets the whole person: it is one since the two joined.
        ids = sorted({*state.parts, visitor_id} - {state.visitor_id})
        states = await self._states.states(ids) if ids else []
        aliases = {found: alias for found, alias in zip(ids, states, strict=True) if alias is not None}
        return export_of(state, aliases, self._now_ms())
