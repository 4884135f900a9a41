"""graphql-sse's single connection mode: a thin shell of I/O around the core in `reservations`.

PUT reserves a stream, GET or POST with Accept: text/event-stream opens it, POST starts an operation on it, DELETE stops one.
The stream carries the results of all operations, each with its operation's id. The next result of an operation is requested
only after the last one was taken, so at most one result per operation waits for the stream.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qs

from graphql import OperationType

from gateway.errors import ApiError, ErrorCode
from gateway.transport.connections import RESTARTING, OpenConnections
from gateway.transport.cors import STREAM_TOKEN
from gateway.transport.documents.execution import StreamFailed
from gateway.transport.errors import ErrorEntry, RequestRefused, entry_of
from gateway.transport.http.messages import Exchange, HttpError, refusal_headers, respond
from gateway.transport.http.request_pipeline import Operation, accepted_types, body_of, check_origin_of_request, credential_of, operation_of
from gateway.transport.parameters import EVENT_STREAM
from gateway.transport.settings import GraphQLService, RequestInfo
from gateway.transport.sse.event_stream import EventStream, event
from gateway.transport.sse.reservations import Reservation, Reservations

TEXT: Final = "text/plain; charset=utf-8"
_TOKEN_TYPES: Final = {"*/*", "text/*", "text/plain"}
_MAX_OPERATION_ID: Final = 128
_STATUS: Final = {ErrorCode.NOT_FOUND: 404, ErrorCode.CONFLICT: 409, ErrorCode.THROTTLED: 429}


def stream_token(exchange: Exchange) -> str | None:
    """The token of a reserved stream, if the request has one, in a header or in its URL."""
    return exchange.headers.get(STREAM_TOKEN) or _parameter(exchange, "token")


@dataclass(frozen=True, slots=True)
class _Frame:
    """Events of one operation, as they are sent."""

    operation_id: str
    key: int
    data: bytes
    ends: bool = False
    """It is the last frame of the operation."""
    fails: bool = False
    """The stream must be cut after it, so that the client does not take the operation as complete."""


@dataclass(eq=False, slots=True)
class _ReservedStream:
    """A reservation, with the tasks of its operations."""

    reservation: Reservation
    frames: asyncio.Queue[_Frame] = field(default_factory=lambda: asyncio.Queue(1))
    tasks: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    expiry: asyncio.TimerHandle | None = None

    def end(self) -> None:
        """Stop all its operations, except mutations that have started."""
        if self.expiry is not None:
            self.expiry.cancel()
        for task in self.tasks.values():
            task.cancel()


class _SharedStream(EventStream):
    """The stream of several operations."""

    def __init__(self, reserved: _ReservedStream, *, heartbeat_s: float, send_deadline_s: float, expires_in_s: float | None) -> None:
        super().__init__(heartbeat_s=heartbeat_s, send_deadline_s=send_deadline_s, expires_in_s=expires_in_s)
        self._reserved = reserved

    async def _send_results(self) -> bool:
        reservation = self._reserved.reservation
        while True:
            frame = await self._while_beating(self._reserved.frames.get)
            if not reservation.runs(frame.operation_id, frame.key):
                continue  # it was stopped in the meantime
            await self._write(frame.data)
            if frame.ends:
                reservation.end(frame.operation_id, frame.key)
            if frame.fails:
                return False

    def _closing_events(self, error: ErrorEntry) -> bytes:
        return b"".join(_next(operation_id, {"errors": [error]}) for operation_id in self._reserved.reservation.operations)


class SingleConnections:
    """The single connection mode of one endpoint."""

    def __init__(self, service: GraphQLService, connections: OpenConnections) -> None:
        settings = service.settings
        self._service = service
        self._connections = connections
        self._reservations = Reservations(settings.max_connections, settings.max_connections_per_address, settings.same_caller)
        self._streams: dict[str, _ReservedStream] = {}

    async def serve(self, exchange: Exchange, token: str | None) -> None:
        """Answer a PUT or DELETE, or any request with a token. Raises HttpError or ClientDisconnected."""
        try:
            if exchange.method == "PUT":
                await self._reserve(exchange)
            elif exchange.method == "DELETE":
                await self._stop(exchange, token)
            elif accepted_types(exchange)[0] == EVENT_STREAM:
                await self._open(exchange, token or "")
            else:
                await self._operate(exchange, token or "")
        except RequestRefused as refusal:
            raise HttpError.of(refusal.status, refusal.errors, refusal_headers(refusal)) from refusal
        except ApiError as error:
            raise HttpError.of(_STATUS.get(error.code, 400), [entry_of(error)]) from error

    def shutdown(self) -> None:
        """Forget reservations that were not opened yet. Open streams are ended by `OpenConnections`."""
        for reserved in [reserved for reserved in self._streams.values() if not reserved.reservation.is_open]:
            self._forget(reserved)

    async def _reserve(self, exchange: Exchange) -> None:
        accept = exchange.headers.get("accept")
        if accept and not _TOKEN_TYPES.intersection(part.split(";")[0].strip().lower() for part in accept.split(",")):
            raise HttpError(406, "The token is text/plain.")
        self._refuse_when_stopping()
        reserved = _ReservedStream(self._reservations.reserve(credential_of(self._service, exchange), exchange.address))
        reserved.expiry = asyncio.get_running_loop().call_later(self._service.settings.reservation_s, self._forget, reserved)
        self._streams[reserved.reservation.token] = reserved
        await respond(exchange, 201, TEXT, reserved.reservation.token.encode())

    async def _open(self, exchange: Exchange, token: str) -> None:
        if exchange.method == "GET":
            check_origin_of_request(exchange)
        self._refuse_when_stopping()
        credential = credential_of(self._service, exchange)
        settings = self._service.settings
        with self._connections.slots.hold(exchange.address):
            reserved = self._streams[self._reservations.open(token, credential).token]
            try:
                if reserved.expiry is not None:
                    reserved.expiry.cancel()
                stream = _SharedStream(
                    reserved,
                    heartbeat_s=settings.heartbeat_s,
                    send_deadline_s=settings.send_deadline_s,
                    expires_in_s=None if credential.expires_at is None else credential.expires_at - time.time(),
                )
                await self._connections.while_open(stream, stream.serve(exchange.receive, exchange.send, exchange.extra))
            finally:
                self._forget(reserved)
                await asyncio.gather(*reserved.tasks.values(), return_exceptions=True)

    async def _operate(self, exchange: Exchange, token: str) -> None:
        check_origin_of_request(exchange)
        body = await body_of(self._service, exchange)
        self._reservations.find(token, credential_of(self._service, exchange))
        operation = operation_of(self._service, exchange, body)
        self._service.execution.check_variables(operation.prepared, operation.request)
        operation_id = (operation.request.extensions or {}).get("operationId")
        if not isinstance(operation_id, str) or not 0 < len(operation_id) <= _MAX_OPERATION_ID:
            raise HttpError(400, f"extensions.operationId must be a string of 1 to {_MAX_OPERATION_ID} characters.")
        reserved = self._streams[self._reservations.find(token, operation.credential).token]
        key = reserved.reservation.begin(operation_id, self._service.settings.max_operations_per_connection)
        info = operation.info(exchange, streams=True)
        task = asyncio.create_task(self._run_operation(reserved, operation_id, key, operation, info))
        reserved.tasks[key] = task
        task.add_done_callback(partial(_drop, reserved.tasks, key))
        await respond(exchange, 202, None, b"")

    async def _stop(self, exchange: Exchange, token: str | None) -> None:
        if token is None:
            raise HttpError(400, f"Name the stream in the header {STREAM_TOKEN}.")
        operation_id = _parameter(exchange, "operationId")
        if not operation_id:
            raise HttpError(400, "Name the operation to stop in the parameter operationId.")
        reserved = self._streams[self._reservations.find(token, credential_of(self._service, exchange)).token]
        key = reserved.reservation.stop(operation_id)
        if key is not None and key in reserved.tasks:
            reserved.tasks[key].cancel()
        await respond(exchange, 200, None, b"")

    async def _run_operation(self, reserved: _ReservedStream, operation_id: str, key: int, operation: Operation, info: RequestInfo) -> None:
        frame = partial(_Frame, operation_id, key)
        put: Callable[[Any], Any] = reserved.frames.put
        try:
            await self._send_results(reserved, operation_id, key, operation, info)
            await put(frame(_complete(operation_id), ends=True))
        except RequestRefused as refusal:
            await put(frame(_next(operation_id, {"errors": refusal.errors}) + _complete(operation_id), ends=True))
        except StreamFailed as failure:
            errors = _next(operation_id, {"errors": [failure.entry]})
            if failure.retry or (failure.started and failure.code == ErrorCode.UNAUTHENTICATED):
                await put(frame(errors, fails=True))
            else:
                await put(frame(errors + _complete(operation_id), ends=True))
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an error and the stream stays open
            await put(frame(_next(operation_id, {"errors": [entry_of(error)]}) + _complete(operation_id), ends=True))

    async def _send_results(self, reserved: _ReservedStream, operation_id: str, key: int, operation: Operation, info: RequestInfo) -> None:
        execution = self._service.execution
        context = self._service.make_context(info)
        if operation.kind is not OperationType.SUBSCRIPTION:
            reply = await execution.execute_to_end(operation.prepared, operation.request, context)
            await reserved.frames.put(_Frame(operation_id, key, _next(operation_id, reply.payload)))
            return
        stream = await execution.subscribe(operation.prepared, operation.request, context)
        try:
            while (result := await stream.next()) is not None:
                await reserved.frames.put(_Frame(operation_id, key, _next(operation_id, result.payload)))
        finally:
            await stream.aclose()

    def _forget(self, reserved: _ReservedStream) -> None:
        reserved.end()
        self._reservations.cancel(reserved.reservation)
        self._streams.pop(reserved.reservation.token, None)

    def _refuse_when_stopping(self) -> None:
        if self._connections.stopping:
            raise HttpError(503, RESTARTING, ErrorCode.UNAVAILABLE, [(b"retry-after", b"1")])


def _next(operation_id: str, payload: dict[str, Any]) -> bytes:
    return event("next", {"id": operation_id, "payload": payload})


def _complete(operation_id: str) -> bytes:
    return event("complete", {"id": operation_id})


def _drop(tasks: dict[int, asyncio.Task[None]], key: int, _done: asyncio.Task[None]) -> None:
    tasks.pop(key, None)


def _parameter(exchange: Exchange, name: str) -> str | None:
    try:
        values = parse_qs(exchange.query_string.decode("ascii"), errors="strict", max_num_fields=20).get(name)
    except ValueError:
        return None
    return values[-1] if values else None
