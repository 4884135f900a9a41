"""The connection to Redis or Valkey, and the one error of this room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError

from gateway.errors import BackendUnavailable

STORE_ERRORS = (RedisError, OSError, TimeoutError)
"""What redis-py raises when the store is away, slow or refuses a command."""
NO_ANSWER = "the context store did not answer"


class StoreUnavailable(BackendUnavailable):
    """The context store did not answer in time, or refused a command. Retrying later helps."""


def store_unavailable(message: str, error: BaseException) -> StoreUnavailable:
    """The error to raise for one of `STORE_ERRORS`: `message` and the type of the error.

    Only the type: redis-py puts the command into its message, the key in it names the visitor, and these errors are logged.
    """
    return StoreUnavailable(f"{message}: {type(error).__name__}")


@contextmanager
def store_errors_as(message: str) -> Iterator[None]:
    """Raise what redis-py raises inside as `StoreUnavailable`, with `message` and the type of the error."""
    try:
        yield
    except STORE_ERRORS as error:
        raise store_unavailable(message, error) from error


def connect(url: str, timeout_ms: int, *, renewals: int = 1) -> Redis:
    """A client whose every command fails within `timeout_ms`: the caller decides what a failure means.

    A command that meets a closed connection is sent once more over a new one. Otherwise each pooled connection would fail once after
    the store was restarted. A compare-and-set that is sent twice is refused the second time. With `renewals` 0 a closed connection is
    an error.
    """
    seconds = timeout_ms / 1000
    retry = Retry(NoBackoff(), renewals, supported_errors=(ConnectionLost,))
    return Redis.from_url(url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=retry, max_connections=256, protocol=3)
