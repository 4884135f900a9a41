"""The errors of the gateway, as one tree.

    GatewayError
    ├── Unauthenticated      no credential, a forged or an expired one
    ├── Forbidden            a good credential that does not reach this far
    ├── BadUserInput         a value that the caller can correct
    │   └── PayloadTooLarge  … by sending less at once
    ├── NotFound             the thing that was named is not there
    ├── Conflict             the thing changed meanwhile: read again, then retry
    ├── Throttled            too much at once: retry after `retry_after_ms`
    └── Unavailable          a part we depend on does not answer: retrying later helps

Each carries the code that `extensions.code` shows and a message that says what to do. What is not a GatewayError is a
defect of ours: it is logged with its traceback and answered as INTERNAL_SERVER_ERROR without any detail.
"""

from __future__ import annotations

from enum import StrEnum


class ErrorCode(StrEnum):
    """Values of `extensions.code`; clients treat one they do not know as INTERNAL_SERVER_ERROR."""

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


class GatewayError(Exception):
    """Base of all errors that a caller is told about."""

    code: ErrorCode = ErrorCode.INTERNAL_SERVER_ERROR

    def __init__(self, message: str, *, field: str | None = None, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after_ms = retry_after_ms

    def extensions(self) -> dict[str, object]:
        """What goes into `extensions` of the GraphQL error."""
        found: dict[str, object] = {"code": self.code.value}
        if self.field is not None:
            found["field"] = self.field
        if self.retry_after_ms is not None:
            found["retryAfterMs"] = self.retry_after_ms
        return found


class Unauthenticated(GatewayError):
    """No credential, a forged or an expired one. Retrying helps only with another credential."""

    code = ErrorCode.UNAUTHENTICATED


class Forbidden(GatewayError):
    """The credential is good but does not allow this."""

    code = ErrorCode.FORBIDDEN


class BadUserInput(GatewayError):
    """A value the caller can correct; `field` names it."""

    code = ErrorCode.BAD_USER_INPUT


class PayloadTooLarge(BadUserInput):
    """More at once than a limit allows; send less."""

    code = ErrorCode.PAYLOAD_TOO_LARGE


class NotFound(GatewayError):
    """What was named does not exist."""

    code = ErrorCode.NOT_FOUND


class Conflict(GatewayError):
    """It changed meanwhile: read again, then retry."""

    code = ErrorCode.CONFLICT


class Throttled(GatewayError):
    """Too much at once: retry after `retry_after_ms` milliseconds."""

    code = ErrorCode.THROTTLED


class Unavailable(GatewayError):
    """A part we depend on does not answer; retrying later helps."""

    code = ErrorCode.UNAVAILABLE
