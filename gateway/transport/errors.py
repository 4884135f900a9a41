"""From an exception to what the caller gets: an entry of `errors`, with its code.

An ApiError contains its own message. Mistakes in the document or its variables are the caller's and are explained. Anything
else is a defect of ours: it is logged with its traceback and an incident number, and the caller gets only that number.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable
from typing import Any, Final

from graphql import GraphQLError

from gateway.errors import ApiError, ErrorCode

_log = logging.getLogger(__name__)

_MESSAGE_CHARACTERS: Final = 500

ErrorEntry = dict[str, Any]


class RequestRefused(Exception):
    """The request was not executed; `errors` explains why. `status` is the HTTP status if the media type allows one."""

    def __init__(self, errors: list[ErrorEntry], status: int = 400) -> None:
        super().__init__(errors[0]["message"])
        self.errors = errors
        self.status = status

    @property
    def is_malformed(self) -> bool:
        """Whether it was not a GraphQL request at all. Then the status says so, whatever the media type."""
        return bool(self.errors[0]["extensions"]["code"] == ErrorCode.BAD_REQUEST)


def refuse(message: str, code: ErrorCode, status: int = 400) -> RequestRefused:
    """A refusal with one entry."""
    return RequestRefused([{"message": message, "extensions": {"code": code.value}}], status)


def refuse_api_error(error: ApiError) -> RequestRefused:
    """A refusal for an error that was raised before the operation started."""
    statuses = {ErrorCode.UNAUTHENTICATED: 401, ErrorCode.FORBIDDEN: 403, ErrorCode.THROTTLED: 429, ErrorCode.UNAVAILABLE: 503}
    return RequestRefused([api_entry(error)], statuses.get(error.code, 400))


def api_entry(error: ApiError) -> ErrorEntry:
    """The entry for an error that is meant for the caller."""
    return {"message": error.message, "extensions": error.extensions()}


def document_entries(errors: Iterable[GraphQLError], code: ErrorCode) -> list[ErrorEntry]:
    """The entries for the caller's mistakes in the document or its variables."""
    return [_document_entry(error, code) for error in errors]


def _document_entry(error: GraphQLError, code: ErrorCode) -> ErrorEntry:
    cause = root_cause(error)
    if isinstance(cause, ApiError):
        return _located(error, api_entry(cause))
    return _located(error, {"message": error.message[:_MESSAGE_CHARACTERS], "extensions": {"code": code.value}})


def execution_entry(error: GraphQLError) -> ErrorEntry:
    """The entry for an error that a field raised while the operation ran."""
    cause = root_cause(error)
    if isinstance(cause, ApiError):
        return _located(error, api_entry(cause))
    if isinstance(cause, GraphQLError) and cause.nodes:
        # graphql-core itself rejected an argument. (An error about a result of the wrong type has no nodes.)
        return _document_entry(error, ErrorCode.BAD_USER_INPUT)
    return _located(error, internal_entry(cause))


def internal_entry(error: BaseException) -> ErrorEntry:
    """The entry for a defect of ours. Logs the defect."""
    incident = secrets.token_hex(4)
    _log.error("Internal error (incident %s)", incident, exc_info=error)
    return {
        "message": f"Internal error (incident {incident})",
        "extensions": {"code": ErrorCode.INTERNAL_SERVER_ERROR.value, "incident": incident},
    }


def entry_of(error: Exception) -> ErrorEntry:
    """The entry for an exception that was raised outside a field."""
    if isinstance(error, GraphQLError):
        return execution_entry(error)
    return api_entry(error) if isinstance(error, ApiError) else internal_entry(error)


def root_cause(error: Exception) -> Exception:
    """The exception that was raised first, inside the ones that graphql-core wraps around it."""
    while isinstance(error, GraphQLError) and error.original_error is not None:
        error = error.original_error
    return error


def _located(error: GraphQLError, entry: ErrorEntry) -> ErrorEntry:
    if error.locations:
        entry["locations"] = [{"line": at.line, "column": at.column} for at in error.locations]
    if error.path is not None:
        entry["path"] = list(error.path)
    return entry
