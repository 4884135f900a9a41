"""The endpoint: GraphQL over HTTP, and the door to WebSocket and SSE on the same path. Pure ASGI.

A request's life: method ▶ media type ▶ proof against forgery ▶ body ▶ parameters ▶ credential ▶ document ▶ operation.
What fails before the parameters is answered with its own status; later failures with 200 where application/json is
accepted (its clients read `errors` only then) and with their status where application/graphql-response+json is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol

import orjson
import strawberry
from graphql import OperationType

from gateway.api.execution import Execution, GraphQLRequest, PreparedDocument, Reply, ResponseStream
from gateway.api.failures import ErrorEntry, RequestRefused, entry_of, gateway_entry, refuse, refuse_gateway_error
from gateway.api.limits import ConnectionSlots
from gateway.api.origins import RawHeaders, cors_headers, origin_allowed, preflight_headers, proves_no_forgery
from gateway.api.requests import (
    EVENT_STREAM,
    JSON,
    RESPONSE_JSON,
    is_json_content,
    negotiate,
    request_from_body,
    request_from_query,
    trace_parent,
)
from gateway.api.sse import EventStream
from gateway.api.transport import Authenticate, Credential, MakeContext, RequestInfo, Service, TransportSettings
from gateway.api.websocket import Handshake, WebSocketSession
from gateway.errors import ErrorCode, GatewayError, Throttled, Unavailable

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

_METHODS: Final = ("GET", "POST", "OPTIONS")
_PRIVATE: Final = [(b"cache-control", b"private, no-store"), (b"x-content-type-options", b"nosniff")]


class _HttpError(Exception):
    """An answer with a status of its own, whatever the client accepts."""

    def __init__(self, status: int, message: str, code: ErrorCode = ErrorCode.BAD_REQUEST, headers: RawHeaders | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.errors: list[ErrorEntry] = [{"message": message, "extensions": {"code": code.value}}]
        self.headers = headers or []


class _Gone(Exception):
    """The client left before its request was complete."""


class _Restartable(Protocol):
    def restart(self) -> None: ...


class GraphQLEndpoint:
    """An ASGI application for one path: POST, GET, event streams and WebSockets over one schema."""

    def __init__(
        self,
        schema: strawberry.Schema,
        *,
        authenticate: Authenticate,
        make_context: MakeContext,
        settings: TransportSettings | None = None,
    ) -> None:
        self._settings = settings or TransportSettings()
        self._execution = Execution(
            schema,
            limits=self._settings.limits,
            production=self._settings.production,
            cache_entries=self._settings.document_cache_entries,
        )
        self._service = Service(self._execution, self._settings, authenticate, make_context)
        self._slots = ConnectionSlots(self._settings.max_connections, self._settings.max_connections_per_address)
        self._open: set[_Restartable] = set()
        self._all_closed = asyncio.Event()
        self._stopping = False

    @property
    def open_connections(self) -> int:
        """WebSockets and event streams open now."""
        return self._slots.open

    async def shutdown(self) -> None:
        """Close WebSockets with 1012 and end event streams without `complete`; new ones are refused.

        Returns when they are closed, or after `shutdown_deadline_s`. Plain requests that run are not touched.
        """
        self._stopping = True
        for connection in list(self._open):
            connection.restart()
        if self._open:
            self._all_closed.clear()
            try:
                async with asyncio.timeout(self._settings.shutdown_deadline_s):
                    await self._all_closed.wait()
            except TimeoutError:
                return

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or socket."""
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            raise RuntimeError(f"GraphQLEndpoint serves http and websocket, not {scope['type']}")

    # HTTP

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers(scope)
        extra = cors_headers(headers.get("origin"), self._settings.allowed_origins)
        media_type = JSON
        try:
            if scope["method"] == "OPTIONS":
                await self._preflight(headers, send)
                return
            accepted = self._admit(scope["method"], headers)
            media_type = accepted[0]
            await self._operation(scope, headers, accepted, receive, send, extra)
        except _HttpError as error:
            await _respond(send, error.status, JSON, {"errors": error.errors}, [*error.headers, *extra])
        except RequestRefused as refusal:
            status = 200 if media_type == JSON else refusal.status
            await _respond(send, status, media_type, {"errors": refusal.errors}, [*_refusal_headers(refusal), *extra])
        except _Gone:
            pass

    async def _preflight(self, headers: dict[str, str], send: Send) -> None:
        found = preflight_headers(headers.get("origin"), self._settings.allowed_origins, _METHODS)
        await send({"type": "http.response.start", "status": 204, "headers": [(b"allow", ", ".join(_METHODS).encode()), *found]})
        await send({"type": "http.response.body", "body": b""})

    def _admit(self, method: str, headers: dict[str, str]) -> list[str]:
        """What can be judged by method and headers; returns the media types to answer with, the best first."""
        if method not in _METHODS:
            raise _HttpError(405, "Use POST or GET.", headers=[(b"allow", ", ".join(_METHODS).encode())])
        accepted = negotiate(headers.get("accept"))
        if not accepted:
            raise _HttpError(406, f"Accept {JSON}, {RESPONSE_JSON} or {EVENT_STREAM}.")
        if method == "GET":
            if not proves_no_forgery(headers):
                raise _HttpError(403, "A GET must carry the header GraphQL-Require-Preflight (any value).", ErrorCode.FORBIDDEN)
        elif not is_json_content(headers.get("content-type")) or headers.get("content-encoding", "identity") != "identity":
            raise _HttpError(415, f"Send the body as content-type {JSON} in UTF-8, not compressed.")
        return accepted

    async def _operation(
        self, scope: Scope, headers: dict[str, str], accepted: list[str], receive: Receive, send: Send, extra: RawHeaders
    ) -> None:
        body = await self._body(headers, receive) if scope["method"] == "POST" else None
        streams = accepted[0] == EVENT_STREAM
        try:
            if body is not None and body.lstrip()[:1] == b"[":
                raise _HttpError(400, "Batches are not served: send one operation a request.")
            request = request_from_body(body) if body is not None else request_from_query(scope["query_string"])
            credential = self._credential(headers)
            prepared = self._execution.prepare(request.query)
            kind = prepared.operation_type(request.operation_name)
        except RequestRefused as refusal:
            if not streams:
                raise
            await self._event_stream(scope, headers, None, _refusing(refusal), receive, send, extra)
            return
        if body is None and kind is OperationType.MUTATION:
            raise _HttpError(405, "Send mutations by POST.", headers=[(b"allow", b"POST")])
        if kind is OperationType.SUBSCRIPTION and not streams:
            if EVENT_STREAM not in accepted:
                message = f"Subscriptions need Accept: {EVENT_STREAM}, or a WebSocket."
                raise refuse(message, ErrorCode.BAD_REQUEST)
            streams = True
        if streams:
            start = self._starter(prepared, request, kind, self._info(scope, headers, credential, streams=True))
            await self._event_stream(scope, headers, credential, start, receive, send, extra)
            return
        reply = await self._execute(prepared, request, self._info(scope, headers, credential, streams=False))
        await _respond(send, 200, accepted[0], reply.payload, extra)

    async def _execute(self, prepared: PreparedDocument, request: GraphQLRequest, info: RequestInfo) -> Reply:
        try:
            return await self._execution.execute(prepared, request, self._service.make_context(info))
        except RequestRefused:
            raise
        except GatewayError as error:
            raise refuse_gateway_error(error) from error
        except Exception as error:
            raise RequestRefused([entry_of(error)], 500) from error

    def _credential(self, headers: dict[str, str]) -> Credential:
        try:
            return self._service.authenticate(headers.get("authorization"))
        except GatewayError as error:
            raise refuse_gateway_error(error) from error

    def _info(self, scope: Scope, headers: dict[str, str], credential: Credential, *, streams: bool) -> RequestInfo:
        return RequestInfo(
            credential,
            "sse" if streams else "http",
            trace_parent(headers.get("traceparent")),
            _address(scope),
            headers.get("last-event-id") if streams else None,
        )

    def _body_limit(self, headers: dict[str, str], announced: int) -> int:
        """Only a caller whom we trust may send a large body, such as a whole ruleset."""
        settings = self._settings
        if announced <= settings.max_body_bytes or announced > settings.max_trusted_body_bytes:
            return settings.max_body_bytes
        try:
            trusted = settings.is_trusted(self._service.authenticate(headers.get("authorization")))
        except GatewayError:
            trusted = False
        return settings.max_trusted_body_bytes if trusted else settings.max_body_bytes

    async def _body(self, headers: dict[str, str], receive: Receive) -> bytes:
        announced = headers.get("content-length", "")
        limit = self._body_limit(headers, int(announced) if announced.isdigit() else 0)
        too_large = _HttpError(413, f"The body is larger than {limit} bytes: send less at once.", ErrorCode.PAYLOAD_TOO_LARGE)
        if announced.isdigit() and int(announced) > limit:
            raise too_large
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._settings.body_deadline_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    chunk: bytes = message.get("body", b"")
                    size += len(chunk)
                    if size > limit:
                        raise too_large
                    chunks.append(chunk)
                    if not message.get("more_body", False):
                        return b"".join(chunks)
        except TimeoutError:
            raise _HttpError(408, "The body did not arrive in time.", headers=[(b"connection", b"close")]) from None

    # Event streams

    def _starter(
        self, prepared: PreparedDocument, request: GraphQLRequest, kind: OperationType, info: RequestInfo
    ) -> Callable[[], Awaitable[Reply | ResponseStream]]:
        async def start() -> Reply | ResponseStream:
            context = self._service.make_context(info)
            if kind is OperationType.SUBSCRIPTION:
                return await self._execution.subscribe(prepared, request, context)
            return await self._execution.execute_to_end(prepared, request, context)

        return start

    async def _event_stream(
        self,
        scope: Scope,
        headers: dict[str, str],
        credential: Credential | None,
        start: Callable[[], Awaitable[Reply | ResponseStream]],
        receive: Receive,
        send: Send,
        extra: RawHeaders,
    ) -> None:
        if self._stopping:
            raise _HttpError(503, "The gateway restarts: try again.", ErrorCode.UNAVAILABLE, [(b"retry-after", b"1")])
        expires_at = credential.expires_at if credential is not None else None
        try:
            with self._slots.hold(_address(scope)):
                stream = EventStream(
                    heartbeat_s=self._settings.heartbeat_s,
                    send_deadline_s=self._settings.send_deadline_s,
                    expires_in_s=None if expires_at is None else expires_at - time.time(),
                    make_event_id=self._settings.make_event_id,
                )
                await self._while_open(stream, stream.run(start, receive, send, extra))
        except Throttled as error:
            raise _HttpError(429, error.message, ErrorCode.THROTTLED, [(b"retry-after", b"5")]) from error

    async def _while_open(self, connection: _Restartable, running: Awaitable[None]) -> None:
        self._open.add(connection)
        try:
            await running
        finally:
            self._open.discard(connection)
            if not self._open:
                self._all_closed.set()

    # WebSockets

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers(scope)
        address = _address(scope)
        if not origin_allowed(headers.get("origin"), self._settings.allowed_origins):
            return await _refuse_handshake(
                scope, send, 403, {"message": "This origin is not allowed.", "extensions": {"code": "FORBIDDEN"}}
            )
        if self._stopping:
            return await _refuse_handshake(scope, send, 503, gateway_entry(Unavailable("The gateway restarts: try again.")))
        try:
            with self._slots.hold(address):
                shake = Handshake(
                    tuple(scope.get("subprotocols", ())),
                    headers.get("authorization"),
                    trace_parent(headers.get("traceparent")),
                    address,
                )
                session = WebSocketSession(self._service, shake, receive, send)
                await self._while_open(session, session.run())
        except Throttled as error:
            await _refuse_handshake(scope, send, 429, gateway_entry(error))


def _refusing(refusal: RequestRefused) -> Callable[[], Awaitable[Reply | ResponseStream]]:
    async def start() -> Reply | ResponseStream:
        raise refusal

    return start


def _refusal_headers(refusal: RequestRefused) -> RawHeaders:
    extensions = refusal.errors[0]["extensions"]
    if extensions["code"] == ErrorCode.UNAUTHENTICATED:
        return [(b"www-authenticate", b"Bearer")]
    if "retryAfterMs" in extensions:
        return [(b"retry-after", str(-(-extensions["retryAfterMs"] // 1000)).encode())]
    return []


def _headers(scope: Scope) -> dict[str, str]:
    """Headers by lower-case name; of repeated ones all values, joined as RFC 9110 (section 5.3) says."""
    found: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else "unknown"


async def _respond(send: Send, status: int, media_type: str, payload: dict[str, Any], extra: RawHeaders) -> None:
    body = orjson.dumps(payload, option=orjson.OPT_NON_STR_KEYS)
    headers = [
        (b"content-type", f"{media_type}; charset=utf-8".encode()),
        (b"content-length", str(len(body)).encode()),
        *_PRIVATE,
        *extra,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _refuse_handshake(scope: Scope, send: Send, status: int, entry: ErrorEntry) -> None:
    """Refuse a WebSocket before it is accepted; where the server has no way to say why, it answers 403."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    body = orjson.dumps({"errors": [entry]})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *_PRIVATE]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
