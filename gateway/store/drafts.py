"""Drafts: rulesets that are previewed and not published, kept in Redis by the hash of their YAML for as long as a token names them."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from gateway.store.connection import store_errors_as
from gateway.store.keys import draft_key


class DraftStore:
    """Keeps drafts. Every method raises `StoreUnavailable` when Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def save(self, name: str, yaml: str, until_ms: int) -> None:
        """Keep a draft until `until_ms`; one that is kept for longer already stays for longer."""
        key = draft_key(name)
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.set(key, yaml, pxat=until_ms, nx=True)
        pipeline.pexpireat(key, until_ms, gt=True)
        with store_errors_as("the draft cannot be kept"):
            await pipeline.execute()

    async def load(self, name: str) -> str | None:
        """The YAML of a draft; None: it was never kept, or has expired."""
        with store_errors_as("the draft cannot be read"):
            stored: Any = await self._redis.get(draft_key(name))
        return None if stored is None else str(stored, "utf-8")
