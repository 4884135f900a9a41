"""From bytes to the parameters of a GraphQL request (GraphQL over HTTP, sections 4 and 5). No I/O."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import parse_qs

import orjson

from gateway.errors import ErrorCode
from gateway.transport.documents.execution import GraphQLRequest
from gateway.transport.errors import refuse

JSON: Final = "application/json"
RESPONSE_JSON: Final = "application/graphql-response+json"
EVENT_STREAM: Final = "text/event-stream"
NO_BATCHING: Final = "Batching is not supported: send one operation per request."

_DOCUMENT_ID: Final = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
"""A SHA256 hex document identifier (GraphQL over HTTP, appendix A); Apollo's has no prefix."""
_TRACE_PARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def trace_parent(value: object) -> str | None:
    """A well-formed W3C `traceparent`, or None."""
    return value if isinstance(value, str) and _TRACE_PARENT.fullmatch(value) else None


def request_from_body(body: bytes) -> GraphQLRequest:
    """Read a JSON body. Raises RequestRefused."""
    try:
        parameters = orjson.loads(body)
    except ValueError as error:
        raise refuse("The body is not JSON in UTF-8.", ErrorCode.BAD_REQUEST) from error
    if isinstance(parameters, list):
        raise refuse(NO_BATCHING, ErrorCode.BAD_REQUEST)
    if not isinstance(parameters, dict):
        raise refuse("The body must be a JSON object with the member query or documentId.", ErrorCode.BAD_REQUEST)
    return request_from_parameters(parameters)


def request_from_query(query_string: bytes) -> GraphQLRequest:
    """Read the parameters of a GET. Raises RequestRefused."""
    try:
        values = parse_qs(query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20)
    except ValueError as error:
        raise refuse("The query string is not URL-encoded UTF-8.", ErrorCode.BAD_REQUEST) from error
    parameters: dict[str, Any] = {name: repeated[-1] for name, repeated in values.items()}
    for name in ("variables", "extensions"):
        if name in parameters:
            try:
                parameters[name] = orjson.loads(parameters[name] or "null")
            except ValueError as error:
                raise refuse(f"The parameter {name} is not JSON.", ErrorCode.BAD_REQUEST) from error
    return request_from_parameters(parameters)


def request_from_parameters(parameters: dict[str, Any]) -> GraphQLRequest:
    """Check the parameters of a request from any transport. Raises RequestRefused."""
    for member in ("variables", "extensions"):
        if not isinstance(parameters.get(member), dict | None):
            raise refuse(f"The parameter {member} must be an object.", ErrorCode.BAD_REQUEST)
    document = _document_hash(parameters)
    query = parameters.get("query")
    if document is not None and (query is None or query == ""):
        query = None
    elif not isinstance(query, str):
        raise refuse("The parameter query must be a string, or documentId must name a document.", ErrorCode.BAD_REQUEST)
    name = parameters.get("operationName")
    if name is not None and not isinstance(name, str):
        raise refuse("The parameter operationName must be a string.", ErrorCode.BAD_REQUEST)
    return GraphQLRequest(query, name or None, parameters.get("variables"), parameters.get("extensions"), document)


def _document_hash(parameters: dict[str, Any]) -> str | None:
    """The hash in documentId or in Apollo's `extensions.persistedQuery`. Both may be present if they agree."""
    document_id = parameters.get("documentId")
    sha256 = None if document_id is None else _sha256(document_id, "documentId")
    persisted = (parameters.get("extensions") or {}).get("persistedQuery")
    if persisted is None:
        return sha256
    if not isinstance(persisted, dict) or persisted.get("version") != 1:
        raise refuse("extensions.persistedQuery must be an object with version 1.", ErrorCode.BAD_REQUEST)
    apollo_sha256 = _sha256(persisted.get("sha256Hash"), "extensions.persistedQuery.sha256Hash")
    if sha256 is not None and sha256 != apollo_sha256:
        raise refuse("documentId and extensions.persistedQuery name different documents.", ErrorCode.BAD_REQUEST)
    return apollo_sha256


def _sha256(value: object, name: str) -> str:
    match = _DOCUMENT_ID.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise refuse(f"{name} must be the SHA-256 of the document: sha256: and 64 lower-case hexadecimal digits.", ErrorCode.BAD_REQUEST)
    return match[1]


def negotiate(accept: str | None) -> list[str]:
    """The media types that the gateway offers and `accept` allows, the preferred one first; empty: none (406).

    Ties keep the client's order. A wildcard means application/json, which every client understands.
    """
    if accept is None or not accept.strip():
        return [JSON]
    ranked: list[tuple[float, int, str]] = []
    for position, part in enumerate(accept.split(",")):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = _quality(parameters)
        media_type = JSON if name in {"*/*", "application/*"} else EVENT_STREAM if name == "text/*" else name
        if media_type in {JSON, RESPONSE_JSON, EVENT_STREAM} and quality > 0:
            ranked.append((-quality, position, media_type))
    return list(dict.fromkeys(media_type for _, _, media_type in sorted(ranked)))


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def is_json_content(content_type: str | None) -> bool:
    """Whether a POST body is declared as JSON in UTF-8. Anything else could come from a foreign page without a preflight."""
    if content_type is None:
        return False
    name, *parameters = (piece.strip().lower() for piece in content_type.split(";"))
    charsets = [value.strip('"') for key, _, value in (parameter.partition("=") for parameter in parameters) if key == "charset"]
    return name == JSON and all(charset in {"utf-8", "utf8"} for charset in charsets)
