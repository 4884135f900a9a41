"""The errors of the client's calls, as one tree.

    GatewayError
    ├── NoAnswer               no usable answer in time: the gateway is away or slow, or its answer has an unexpected form
    └── Refused                the gateway answered with an error; `code` is its `extensions.code`
        ├── CredentialRefused  the key or token is missing, forged or expired, or does not allow the call
        └── TryLater           the gateway is overloaded or lacks a part; see `retry_after_ms`

`is_temporary` is whether the same call may succeed later. Sending an event again with its message id is always safe.
The texts say what went wrong; they contain no credential and no data of the visitor.
"""

from __future__ import annotations

from typing import Final


class GatewayError(Exception):
    """Base of all errors of a call. `cause` is one word for a log line."""

    is_temporary: bool = True

    def __init__(self, cause: str, message: str = "") -> None:
        super().__init__(f"{cause}: {message}" if message else cause)
        self.cause = cause


class NoAnswer(GatewayError):
    """No usable answer. What was sent may or may not have arrived."""


class Refused(GatewayError):
    """An error of the API. `field` is the argument that is wrong, if the error is about one."""

    is_temporary = False

    def __init__(self, code: str, message: str = "", *, field: str | None = None, retry_after_ms: int | None = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.field = field
        self.retry_after_ms = retry_after_ms


class CredentialRefused(Refused):
    """UNAUTHENTICATED or FORBIDDEN: a different key or token is needed."""


class TryLater(Refused):
    """THROTTLED (not before `retry_after_ms`), UNAVAILABLE or INTERNAL_SERVER_ERROR."""

    is_temporary = True


UNAUTHENTICATED: Final = "UNAUTHENTICATED"
FORBIDDEN: Final = "FORBIDDEN"
BAD_USER_INPUT: Final = "BAD_USER_INPUT"
INTERNAL_SERVER_ERROR: Final = "INTERNAL_SERVER_ERROR"
_KINDS: Final[dict[str, type[Refused]]] = {
    UNAUTHENTICATED: CredentialRefused,
    FORBIDDEN: CredentialRefused,
    "THROTTLED": TryLater,
    "UNAVAILABLE": TryLater,
    INTERNAL_SERVER_ERROR: TryLater,
}


def refusal(code: str, message: str, *, field: str | None, retry_after_ms: int | None) -> Refused:
    """The exception for an error code."""
    return _KINDS.get(code, Refused)(code, message, field=field, retry_after_ms=retry_after_ms)
