"""HTTP below GraphQL: the headers and body of a request, and of an answer. Pure ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from gateway.errors import ErrorCode
from gateway.transport.cors import RawHeaders
from gateway.transport.errors import ErrorEntry, RequestRefused
from gateway.transport.parameters import trace_parent

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

PRIVATE: Final = b"private, no-store"
_NO_SNIFFING: Final = (b"x-content-type-options", b"nosniff")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One HTTP request, and how to answer it."""

    method: str
    query_string: bytes
    headers: Mapping[str, str]
    """By lower-case name."""
    address: str
    receive: Receive
    send: Send
    extra: RawHeaders
    """The headers of every answer: CORS and Vary."""

    @property
    def traceparent(self) -> str | None:
        """The caller's trace context, if it is well-formed."""
        return trace_parent(self.headers.get("traceparent"))


class HttpError(Exception):
    """An error that is answered with its own status, whatever the client accepts."""

    def __init__(self, status: int, message: str, code: ErrorCode = ErrorCode.BAD_REQUEST, headers: RawHeaders | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.errors: list[ErrorEntry] = [{"message": message, "extensions": {"code": code.value}}]
        self.headers = headers or []

    @classmethod
    def of(cls, status: int, errors: list[ErrorEntry], headers: RawHeaders | None = None) -> HttpError:
        """An HttpError with the given entries of `errors`."""
        error = cls(status, errors[0]["message"], headers=headers)
        error.errors = errors
        return error


class ClientDisconnected(Exception):
    """The client disconnected before its request was complete."""


def headers_of(scope: Scope) -> dict[str, str]:
    """Headers by lower-case name. The values of a repeated header are joined as RFC 9110 (section 5.3) says."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def address_of(scope: Scope) -> str:
    """The IP address of the client, as the server knows it."""
    client = scope.get("client")
    return client[0] if client else "unknown"


async def read_body(exchange: Exchange, limit_for: Callable[[int], int], deadline_s: float) -> bytes:
    """The body of a request.

    Raises HttpError if it is too large or arrives too slowly, ClientDisconnected if the client disconnects. `limit_for` returns
    the limit in bytes for the length that the client announced (0: it announced none).
    """
    announced = exchange.headers.get("content-length", "")
    size_announced = int(announced) if announced.isdigit() else 0
    limit = limit_for(size_announced)
    too_large = HttpError(413, f"The body is larger than {limit} bytes: send less at once.", ErrorCode.PAYLOAD_TOO_LARGE)
    if size_announced > limit:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(deadline_s):
            while True:
                message = await exchange.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnected
                chunk: bytes = message.get("body", b"")
                size += len(chunk)
                if size > limit:
                    raise too_large
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return b"".join(chunks)
    except TimeoutError:
        raise HttpError(408, "The body did not arrive in time.", headers=[(b"connection", b"close")]) from None


async def respond_json(
    exchange: Exchange, status: int, media_type: str, payload: Mapping[str, Any], more: RawHeaders | None = None, cached: bytes = PRIVATE
) -> None:
    """Answer with JSON. `cached` is the value of Cache-Control."""
    body = orjson.dumps(payload, option=orjson.OPT_NON_STR_KEYS)
    await respond(exchange, status, f"{media_type}; charset=utf-8", body, more, cached)


async def respond(
    exchange: Exchange, status: int, content_type: str | None, body: bytes, more: RawHeaders | None = None, cached: bytes = PRIVATE
) -> None:
    """Answer with a body. `content_type` None: there is none."""
    headers: RawHeaders = [] if content_type is None else [(b"content-type", content_type.encode())]
    if status != 204:
        headers.append((b"content-length", str(len(body)).encode()))
    headers += [(b"cache-control", cached), _NO_SNIFFING, *(more or []), *exchange.extra]
    await exchange.send({"type": "http.response.start", "status": status, "headers": headers})
    await exchange.send({"type": "http.response.body", "body": body})


def refusal_headers(refusal: RequestRefused) -> RawHeaders:
    """The headers that say the same as the errors, for HTTP clients that do not read them."""
    extensions = refusal.errors[0]["extensions"]
    if extensions["code"] == ErrorCode.UNAUTHENTICATED:
        return [(b"www-authenticate", b"Bearer")]
    if "retryAfterMs" in extensions:
        return [(b"retry-after", str(-(-extensions["retryAfterMs"] // 1000)).encode())]
    return []


async def refuse_handshake(scope: Scope, send: Send, status: int, entry: ErrorEntry) -> None:
    """Refuse a WebSocket before it is accepted. If the server cannot send `entry`, the answer is a plain 403."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    body = orjson.dumps({"errors": [entry]})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), (b"cache-control", PRIVATE)]
    await send({"type": "websocket.http.response.start", "status": status, "headers": [*headers, _NO_SNIFFING]})
    await send({"type": "websocket.http.response.body", "body": body})
