"""The endpoint: GraphQL over HTTP, WebSocket and SSE on the same path. Pure ASGI.

`gateway.transport.http.request_pipeline` has the checks of a request. A malformed request is answered with its own status. A
later failure is answered with 200 if the client accepts application/json (its clients read `errors` only then), and with its
status if the client accepts application/graphql-response+json. The audits of graphql-http require it.
"""

from __future__ import annotations

import time

import strawberry
from graphql import OperationType

from gateway.errors import ApiError, ErrorCode, Throttled, Unavailable
from gateway.transport.cache_control import public_seconds
from gateway.transport.connections import RESTARTING, OpenConnections
from gateway.transport.cors import cors_headers, origin_allowed, preflight_headers
from gateway.transport.documents.execution import Execution, Reply, ResponseStream
from gateway.transport.documents.persisted_documents import PersistedDocuments
from gateway.transport.errors import RequestRefused, api_entry, entry_of, refuse, refuse_api_error
from gateway.transport.http.messages import (
    PRIVATE,
    ClientDisconnected,
    Exchange,
    HttpError,
    Receive,
    Scope,
    Send,
    address_of,
    headers_of,
    refusal_headers,
    refuse_handshake,
    respond_json,
)
from gateway.transport.http.request_pipeline import (
    METHODS,
    Operation,
    accepted_types,
    body_of,
    check_method,
    check_origin_of_request,
    operation_of,
)
from gateway.transport.parameters import EVENT_STREAM, JSON, trace_parent
from gateway.transport.settings import Authenticate, GraphQLService, MakeContext, TransportSettings
from gateway.transport.sse.event_stream import DistinctStream, OperationStarter
from gateway.transport.sse.single_connection import SingleConnections, stream_token
from gateway.transport.websocket.session import Handshake, WebSocketSession


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
        documents = PersistedDocuments(
            self._execution,
            self._settings.manifest,
            only_manifest=self._settings.only_manifest,
            remembered_entries=self._settings.remembered_documents,
        )
        self._service = GraphQLService(self._execution, documents, self._settings, authenticate, make_context)
        self._connections = OpenConnections(self._settings.max_connections, self._settings.max_connections_per_address)
        self._single = SingleConnections(self._service, self._connections)

    @property
    def open_connections(self) -> int:
        """The number of open WebSockets and event streams."""
        return self._connections.slots.open

    async def shutdown(self) -> None:
        """Close WebSockets with 1012 and end event streams without `complete`; new ones are refused.

        Returns when they are closed, or after `shutdown_deadline_s`. Running HTTP requests are not affected.
        """
        self._single.shutdown()
        await self._connections.shutdown(self._settings.shutdown_deadline_s)

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
        headers = headers_of(scope)
        extra = cors_headers(headers.get("origin"), self._settings.allowed_origins)
        exchange = Exchange(scope["method"], scope["query_string"], headers, address_of(scope), receive, send, extra)
        try:
            check_method(exchange)
            token = stream_token(exchange)
            if exchange.method == "OPTIONS":
                await self._preflight(exchange)
            elif token is not None or exchange.method in {"PUT", "DELETE"}:
                await self._single.serve(exchange, token)
            else:
                await self._operation(exchange)
        except HttpError as error:
            await respond_json(exchange, error.status, JSON, {"errors": error.errors}, error.headers)
        except ClientDisconnected:
            pass

    async def _preflight(self, exchange: Exchange) -> None:
        # These headers replace those of other answers, because they contain more.
        preflight = preflight_headers(exchange.headers.get("origin"), self._settings.allowed_origins, METHODS)
        headers = [(b"allow", ", ".join(METHODS).encode()), *preflight]
        await exchange.send({"type": "http.response.start", "status": 204, "headers": headers})
        await exchange.send({"type": "http.response.body", "body": b""})

    async def _operation(self, exchange: Exchange) -> None:
        accepted = accepted_types(exchange)
        check_origin_of_request(exchange)
        body = await body_of(self._service, exchange)
        try:
            operation = operation_of(self._service, exchange, body)
            if accepted[0] == EVENT_STREAM or self._needs_stream(operation, accepted):
                await self._event_stream(exchange, operation, self._starter(operation, exchange))
                return
            reply = await self._execute(operation, exchange)
            await respond_json(exchange, 200, accepted[0], reply.payload, cached=self._cache_control(exchange, operation, reply))
        except RequestRefused as refusal:
            if accepted[0] == EVENT_STREAM:
                await self._event_stream(exchange, None, _refused_start(refusal))
                return
            status = 200 if accepted[0] == JSON and not refusal.is_malformed else refusal.status
            await respond_json(exchange, status, accepted[0], {"errors": refusal.errors}, refusal_headers(refusal))

    @staticmethod
    def _needs_stream(operation: Operation, accepted: list[str]) -> bool:
        if operation.kind is not OperationType.SUBSCRIPTION:
            return False
        if EVENT_STREAM not in accepted:
            raise refuse(f"Subscriptions need Accept: {EVENT_STREAM}, or a WebSocket.", ErrorCode.BAD_REQUEST)
        return True

    async def _execute(self, operation: Operation, exchange: Exchange) -> Reply:
        try:
            context = self._service.make_context(operation.info(exchange, streams=False))
            return await self._execution.execute(operation.prepared, operation.request, context)
        except RequestRefused:
            raise
        except ApiError as error:
            raise refuse_api_error(error) from error
        except Exception as error:
            raise RequestRefused([entry_of(error)], 500) from error

    def _cache_control(self, exchange: Exchange, operation: Operation, reply: Reply) -> bytes:
        """Private, unless the caller and all fields are public and the URL names the document by its hash."""
        settings, request = self._settings, operation.request
        if exchange.method != "GET" or request.document_sha256 is None or not settings.is_public(operation.credential):
            return PRIVATE
        document, now_s = operation.prepared.document, time.time()
        seconds = public_seconds(document, request, reply.payload, settings.public_fields, settings.public_cache_s, now_s)
        return f"public, max-age={seconds}".encode() if seconds > 0 else PRIVATE

    # Event streams

    def _starter(self, operation: Operation, exchange: Exchange) -> OperationStarter:
        async def start() -> Reply | ResponseStream:
            context = self._service.make_context(operation.info(exchange, streams=True))
            if operation.kind is OperationType.SUBSCRIPTION:
                return await self._execution.subscribe(operation.prepared, operation.request, context)
            return await self._execution.execute_to_end(operation.prepared, operation.request, context)

        return start

    async def _event_stream(self, exchange: Exchange, operation: Operation | None, start: OperationStarter) -> None:
        if self._connections.stopping:
            raise HttpError(503, RESTARTING, ErrorCode.UNAVAILABLE, [(b"retry-after", b"1")])
        expires_at = operation.credential.expires_at if operation is not None else None
        try:
            with self._connections.slots.hold(exchange.address):
                stream = DistinctStream(
                    start,
                    make_event_id=self._settings.make_event_id,
                    heartbeat_s=self._settings.heartbeat_s,
                    send_deadline_s=self._settings.send_deadline_s,
                    expires_in_s=None if expires_at is None else expires_at - time.time(),
                )
                await self._connections.while_open(stream, stream.serve(exchange.receive, exchange.send, exchange.extra))
        except Throttled as error:
            raise HttpError(429, error.message, ErrorCode.THROTTLED, [(b"retry-after", b"5")]) from error

    # WebSockets

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = headers_of(scope)
        address = address_of(scope)
        if not origin_allowed(headers.get("origin"), self._settings.allowed_origins):
            return await refuse_handshake(scope, send, 403, {"message": "This origin is not allowed.", "extensions": {"code": "FORBIDDEN"}})
        if self._connections.stopping:
            return await refuse_handshake(scope, send, 503, api_entry(Unavailable(RESTARTING)))
        try:
            with self._connections.slots.hold(address):
                handshake = Handshake(
                    tuple(scope.get("subprotocols", ())),
                    headers.get("authorization"),
                    trace_parent(headers.get("traceparent")),
                    address,
                )
                session = WebSocketSession(self._service, handshake, receive, send)
                await self._connections.while_open(session, session.serve())
        except Throttled as error:
            await refuse_handshake(scope, send, 429, api_entry(error))


def _refused_start(refusal: RequestRefused) -> OperationStarter:
    async def start() -> Reply | ResponseStream:
        raise refusal

    return start
