"""The checks that every HTTP request to the endpoint passes, from its head to the operation that it names.

method ▶ media type ▶ proof against forgery ▶ body ▶ parameters ▶ credential ▶ document ▶ operation
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from graphql import OperationType

from gateway.errors import ApiError, ErrorCode
from gateway.transport.cors import proves_no_forgery
from gateway.transport.documents.execution import GraphQLRequest, PreparedDocument
from gateway.transport.errors import refuse_api_error
from gateway.transport.http.messages import Exchange, HttpError, read_body
from gateway.transport.parameters import (
    EVENT_STREAM,
    JSON,
    NO_BATCHING,
    RESPONSE_JSON,
    is_json_content,
    negotiate,
    request_from_body,
    request_from_query,
)
from gateway.transport.settings import CallerCredential, GraphQLService, RequestInfo

METHODS: Final = ("GET", "POST", "PUT", "DELETE", "OPTIONS")
"""PUT and DELETE belong to graphql-sse's single connection mode."""


@dataclass(frozen=True, slots=True)
class Operation:
    """The operation of a request that passed all checks: it can be run."""

    request: GraphQLRequest
    prepared: PreparedDocument
    kind: OperationType
    credential: CallerCredential

    def info(self, exchange: Exchange, *, streams: bool) -> RequestInfo:
        """What the operation's context is created from."""
        last_event_id = exchange.headers.get("last-event-id") if streams else None
        return RequestInfo(self.credential, "sse" if streams else "http", exchange.traceparent, exchange.address, last_event_id)


def check_method(exchange: Exchange) -> None:
    """Raises HttpError for a method that is not supported."""
    if exchange.method not in METHODS:
        raise HttpError(405, "Use POST or GET.", headers=[(b"allow", ", ".join(METHODS).encode())])


def accepted_types(exchange: Exchange) -> list[str]:
    """The media types to answer with, the preferred one first. Raises HttpError if there is none."""
    accepted = negotiate(exchange.headers.get("accept"))
    if not accepted:
        raise HttpError(406, f"Accept {JSON}, {RESPONSE_JSON} or {EVENT_STREAM}.")
    return accepted


def check_origin_of_request(exchange: Exchange) -> None:
    """Raises HttpError for a request that a foreign page could send without a preflight, and for a body in another form."""
    headers = exchange.headers
    if exchange.method == "GET":
        if not proves_no_forgery(headers):
            raise HttpError(403, "A GET must carry the header GraphQL-Require-Preflight (any value).", ErrorCode.FORBIDDEN)
    elif not is_json_content(headers.get("content-type")) or headers.get("content-encoding", "identity") != "identity":
        raise HttpError(415, f"Send the body as {JSON} in UTF-8, uncompressed.")


async def body_of(service: GraphQLService, exchange: Exchange) -> bytes | None:
    """The body of a POST; None for a GET. Raises HttpError or ClientDisconnected."""
    if exchange.method != "POST":
        return None
    body = await read_body(exchange, partial(_body_limit, service, exchange.headers), service.settings.body_deadline_s)
    if body.lstrip()[:1] == b"[":
        raise HttpError(400, NO_BATCHING)
    return body


def operation_of(service: GraphQLService, exchange: Exchange, body: bytes | None) -> Operation:
    """The operation of a request. Raises RequestRefused; HttpError for a mutation by GET."""
    request = request_from_body(body) if body is not None else request_from_query(exchange.query_string)
    credential = credential_of(service, exchange)
    prepared = service.documents.prepare(request)
    kind = prepared.operation_type(request.operation_name)
    if body is None and kind is OperationType.MUTATION:
        raise HttpError(405, "Send mutations by POST.", headers=[(b"allow", b"POST")])
    return Operation(request, prepared, kind, credential)


def credential_of(service: GraphQLService, exchange: Exchange) -> CallerCredential:
    """The caller's credential. Raises RequestRefused."""
    try:
        return service.authenticate(exchange.headers.get("authorization"))
    except ApiError as error:
        raise refuse_api_error(error) from error


def _body_limit(service: GraphQLService, headers: Mapping[str, str], announced: int) -> int:
    """The limit in bytes: only a trusted caller may send a large body, such as a whole ruleset. `announced`: the length that the
    client announced, 0 if it did not."""
    settings = service.settings
    if announced <= settings.max_body_bytes or announced > settings.max_trusted_body_bytes:
        return settings.max_body_bytes
    try:
        trusted = settings.is_trusted(service.authenticate(headers.get("authorization")))
    except ApiError:
        trusted = False
    return settings.max_trusted_body_bytes if trusted else settings.max_body_bytes
