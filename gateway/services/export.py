"""The export of everything that is stored about a visitor."""

from __future__ import annotations

from typing import Any

from gateway.clock import NowMs
from gateway.model.visitors.export import export_of
from gateway.services.ports import States


class ExportService:
    """Exports visitors. One instance per process."""

    def __init__(self, states: States, now_ms: NowMs) -> None:
        self._states = states
        self._now_ms = now_ms

    async def export(self, visitor_id: str) -> dict[str, Any] | None:
        """Everything stored under a visitor id, or None. For an anonymous id that joined: under both ids. Raises `Unavailable`."""
        stored = await self._states.read(visitor_id)
        state = stored.owner or stored.own
        if state is None:
            return None
        # An anonymous id that joined exports the whole person, too: since then the two are one.
        ids = sorted({*state.parts, visitor_id} - {state.visitor_id})
        states = await self._states.states(ids) if ids else []
        aliases = {alias_id: alias for alias_id, alias in zip(ids, states, strict=True) if alias is not None}
        return export_of(state, aliases, self._now_ms())
