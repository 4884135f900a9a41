"""The errors of the gateway, as one tree.

    ApiError
    ├── Unauthenticated             no credential, or a forged or expired one
    ├── Forbidden                   a valid credential that does not permit this
    ├── BadUserInput                a value that the caller can correct
    │   └── PayloadTooLarge         … by sending less at once
    ├── NotFound                    what the caller named does not exist
    ├── Conflict                    it changed in the meantime: read again, then retry
    ├── Throttled                   too much at once: retry after `retry_after_ms`
    └── Unavailable                 a part that we depend on does not answer: retrying later helps
        └── BackendUnavailable      … Redis or Kafka; the rooms `store` and `kafka` raise their own kinds of it

Each carries the code that `extensions.code` shows and a message that says what to do. Any other exception is a defect of
ours: it is logged with its traceback and answered as INTERNAL_SERVER_ERROR, without details.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

RETRY_AFTER_MS: Final = 1000
"""How long a caller should wait before trying again while Redis or Kafka is unavailable."""


class ErrorCode(StrEnum):
    """Values of `extensions.code`. Clients treat an unknown value as INTERNAL_SERVER_ERROR."""

    GRAPHQL_PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    GRAPHQL_VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    BAD_REQUEST = "BAD_REQUEST"
    OPERATION_RESOLUTION_FAILURE = "OPERATION_RESOLUTION_FAILURE"
    PERSISTED_QUERY_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    CONFLICT = "CONFLICT"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    THROTTLED = "THROTTLED"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"


class ApiError(Exception):
    """Base of all errors that are meant for the caller."""

    code: ErrorCode = ErrorCode.INTERNAL_SERVER_ERROR

    def __init__(self, message: str, *, field: str | None = None, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after_ms = retry_after_ms

    def extensions(self) -> dict[str, object]:
        """The `extensions` of the GraphQL error."""
        extensions: dict[str, object] = {"code": self.code.value}
        if self.field is not None:
            extensions["field"] = self.field
        if self.retry_after_ms is not None:
            extensions["retryAfterMs"] = self.retry_after_ms
        return extensions


class Unauthenticated(ApiError):
    """No credential, or a forged or expired one. Retrying helps only with another credential."""

    code = ErrorCode.UNAUTHENTICATED


class Forbidden(ApiError):
    """The credential is valid but does not permit this."""

    code = ErrorCode.FORBIDDEN


class BadUserInput(ApiError):
    """A value that the caller can correct; `field` names it."""

    code = ErrorCode.BAD_USER_INPUT


class PayloadTooLarge(BadUserInput):
    """More at once than a limit allows; send less."""

    code = ErrorCode.PAYLOAD_TOO_LARGE


class NotFound(ApiError):
    """What the caller named does not exist."""

    code = ErrorCode.NOT_FOUND


class Conflict(ApiError):
    """It changed in the meantime: read again, then retry."""

    code = ErrorCode.CONFLICT


class Throttled(ApiError):
    """Too much at once: retry after `retry_after_ms` milliseconds."""

    code = ErrorCode.THROTTLED


class Unavailable(ApiError):
    """A part that we depend on does not answer. Retrying later helps."""

    code = ErrorCode.UNAVAILABLE


class BackendUnavailable(Unavailable):
    """Redis or Kafka does not answer. Retrying after `RETRY_AFTER_MS` helps."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_after_ms=RETRY_AFTER_MS)
