"""The connection to Redis or Valkey, and the one error of this room."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

STORE_ERRORS = (RedisError, OSError, TimeoutError)
"""What redis-py raises when the store is away, slow or refuses."""


class StoreUnavailable(Exception):
    """The context store did not answer in time, or refused. Retrying later helps."""


def connect(url: str, timeout_ms: int) -> Redis:
    """A client whose every command fails within `timeout_ms`, without retries of its own: callers decide what a failure means."""
    seconds = timeout_ms / 1000
    return Redis.from_url(
        url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=Retry(NoBackoff(), 0), max_connections=256, protocol=3
    )
