"""Rulesets that are not published, for previews: kept in Redis by the hash of their text for as long as a token names them."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from gateway.store.connection import STORE_ERRORS, StoreUnavailable
from gateway.store.keys import draft_key


class DraftStore:
    """Keeps texts. Every method raises `StoreUnavailable` when Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def save(self, name: str, text: str, until_ms: int) -> None:
        """Keep a text until then, or longer where it is kept longer already."""
        key = draft_key(name)
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.set(key, text, pxat=until_ms, nx=True)
        pipeline.pexpireat(key, until_ms, gt=True)
        try:
            await pipeline.execute()
        except STORE_ERRORS as error:
            raise StoreUnavailable(f"the draft cannot be kept: {type(error).__name__}") from error

    async def load(self, name: str) -> str | None:
        """The text, or None when it is not there (any more)."""
        try:
            stored: Any = await self._redis.get(draft_key(name))
        except STORE_ERRORS as error:
            raise StoreUnavailable(f"the draft cannot be read: {type(error).__name__}") from error
        return None if stored is None else str(stored, "utf-8")
