"""The connection to Redis or Valkey, and the one error of this room."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError

from gateway.errors import BackendUnavailable

STORE_ERRORS = (RedisError, OSError, TimeoutError)
"""What redis-py raises when the store is away, slow or refuses."""


class StoreUnavailable(BackendUnavailable):
    """The context store did not answer in time, or refused. Retrying later helps."""


def connect(url: str, timeout_ms: int, *, renewals: int = 1) -> Redis:
    """A client whose every command fails within `timeout_ms`: callers decide what a failure means.

    A command that finds its connection closed is sent once more over a new one: else, when the store was away and is back,
    each pooled connection would fail once. Sent twice, a compare-and-set is refused the second time. With `renewals` 0 a
    closed connection is an error.
    """
    seconds = timeout_ms / 1000
    retry = Retry(NoBackoff(), renewals, supported_errors=(ConnectionLost,))
    return Redis.from_url(url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=retry, max_connections=256, protocol=3)
