"""A WebSocket session: a thin shell of I/O around the protocol core in `graphql_transport_ws`.

One task reads, one task runs each operation, and all write through one lock, with a deadline. The next result of an operation
is requested only after the socket took the last one, so a client that does not read delays only itself: at most one message
per operation waits, and after the deadline the socket is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from graphql import OperationType

from gateway.background import cancel_and_wait
from gateway.errors import ErrorCode, Unauthenticated
from gateway.transport.connections import RateLimit
from gateway.transport.documents.execution import GraphQLRequest, StreamFailed
from gateway.transport.errors import RequestRefused, entry_of
from gateway.transport.http.messages import Receive, Send
from gateway.transport.parameters import trace_parent
from gateway.transport.settings import CallerCredential, GraphQLService, RequestInfo
from gateway.transport.websocket import graphql_transport_ws as protocol
from gateway.transport.websocket.graphql_transport_ws import CloseCode, ServerConnection

_log = logging.getLogger(__name__)

_CLOSE_DEADLINE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Handshake:
    """What the session needs of the opening request."""

    subprotocols: tuple[str, ...]
    authorization: str | None
    traceparent: str | None
    client_address: str


class WebSocketSession:
    """One socket, from accept to close."""

    def __init__(self, service: GraphQLService, handshake: Handshake, receive: Receive, send: Send) -> None:
        self._service = service
        self._execution = service.execution
        self._settings = service.settings
        self._handshake = handshake
        self._receive = receive
        self._send_raw = send
        self._core = ServerConnection(service.settings.max_operations_per_connection)
        self._ending: asyncio.Future[protocol.CloseSocket | None] = asyncio.get_running_loop().create_future()
        self._operations: dict[int, asyncio.Task[None]] = {}
        self._write_lock = asyncio.Lock()
        self._credential: CallerCredential | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._heard = True

    def restart(self) -> None:
        """The gateway is stopping: close with 1012, so that the client connects to another one."""
        self._end_by(self._core.close(CloseCode.SERVICE_RESTART))

    async def serve(self) -> None:
        """Serve the socket until it ends. Afterwards nothing of it runs any more, except mutations that have started."""
        await self._receive()  # websocket.connect
        if protocol.SUBPROTOCOL not in self._handshake.subprotocols:
            await self._send_raw({"type": "websocket.accept"})
            self._end_by(self._core.close(CloseCode.SUBPROTOCOL_NOT_ACCEPTABLE))
            await self._close()
            return
        await self._send_raw({"type": "websocket.accept", "subprotocol": protocol.SUBPROTOCOL})
        self._call_later(self._settings.init_timeout_s, self._core.init_timed_out)
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._keep_alive())]
        until: list[asyncio.Future[Any]] = [*tasks, self._ending]
        try:
            await asyncio.wait(until, return_when=asyncio.FIRST_COMPLETED)
            if not self._ending.done():  # one of the tasks failed; the failure is logged below
                self._end_by(self._core.close(CloseCode.TRY_AGAIN_LATER, "Internal error"))
        finally:
            for timer in self._timers:
                timer.cancel()
            for outcome in await cancel_and_wait([*tasks, *self._operations.values()]):
                if isinstance(outcome, Exception):
                    _log.error("A task of a WebSocket failed", exc_info=outcome)
        await self._close()

    async def _close(self) -> None:
        ending = self._ending.result() if self._ending.done() else None
        if ending is not None:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_CLOSE_DEADLINE_S):
                    await self._send_raw({"type": "websocket.close", "code": int(ending.code), "reason": ending.reason})

    async def _read(self) -> None:
        rate = RateLimit(self._settings.messages_per_second, self._settings.message_burst, time.monotonic)
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return self._end(None)
            self._heard = True
            text = message.get("text")
            if not rate.allow():
                actions = self._core.close(CloseCode.FLOODING)
            elif text is None:
                actions = self._core.receive_binary()
            elif len(text) > self._settings.max_frame_bytes or len(text.encode()) > self._settings.max_frame_bytes:
                actions = self._core.close(CloseCode.MESSAGE_TOO_BIG)
            else:
                actions = self._core.receive(text)
            await self._perform(actions)

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(self._settings.ping_interval_s)
            if not self._heard:
                return self._end_by(self._core.close(CloseCode.SILENT))
            self._heard = False
            await self._perform(self._core.ping())

    async def _perform(self, actions: list[protocol.Action]) -> None:
        for action in actions:
            match action:
                case protocol.SendText(text):
                    await self._send(text)
                case protocol.StartOperation(key, request):
                    task = asyncio.create_task(self._run_operation(key, request))
                    self._operations[key] = task
                    task.add_done_callback(partial(self._forget, key))
                case protocol.StopOperation(key):
                    if key in self._operations:
                        self._operations[key].cancel()
                case protocol.CheckCredential(authorization):
                    await self._perform(self._authenticate(authorization))
                case protocol.CloseSocket():
                    self._end(action)

    def _forget(self, key: int, _done: asyncio.Task[None]) -> None:
        self._operations.pop(key, None)

    def _authenticate(self, authorization: str | None) -> list[protocol.Action]:
        try:
            self._credential = self._service.authenticate(authorization if authorization is not None else self._handshake.authorization)
        except Unauthenticated:
            return self._core.refused()
        expires_at = self._credential.expires_at
        if expires_at is not None:
            expires_in_s = expires_at - time.time()
            if expires_in_s <= 0:
                return self._core.refused()
            self._call_later(expires_in_s, self._core.refused)
        return self._core.accepted()

    async def _run_operation(self, key: int, request: GraphQLRequest) -> None:
        try:
            prepared = self._service.documents.prepare(request)
            kind = prepared.operation_type(request.operation_name)
            context = self._service.make_context(self._request_info(request))
            if kind is not OperationType.SUBSCRIPTION:
                reply = await self._execution.execute_to_end(prepared, request, context)
                await self._perform(self._core.next(key, reply.payload))
            else:
                stream = await self._execution.subscribe(prepared, request, context)
                try:
                    while (event := await stream.next()) is not None:
                        await self._perform(self._core.next(key, event.payload))
                finally:
                    await stream.aclose()
            await self._perform(self._core.complete(key))
        except RequestRefused as refusal:
            await self._perform(self._core.error(key, refusal.errors))
        except StreamFailed as failure:
            await self._perform(self._after_failure(key, failure))
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an error and the socket stays open
            await self._perform(self._core.error(key, [entry_of(error)]))

    def _after_failure(self, key: int, failure: StreamFailed) -> list[protocol.Action]:
        """Before the first result an `error` is enough. After it the client would take an `error` for the end of the stream. So if
        trying again or another token helps, the socket is closed with a code that says so."""
        if failure.started and failure.code == ErrorCode.UNAUTHENTICATED:
            return self._core.refused()
        if failure.started and failure.retry:
            return self._core.close(CloseCode.TRY_AGAIN_LATER, "A subscription failed")
        return self._core.error(key, [failure.entry])

    def _request_info(self, request: GraphQLRequest) -> RequestInfo:
        if self._credential is None:
            raise RuntimeError("an operation started before the connection was accepted")
        traceparent = trace_parent((request.extensions or {}).get("traceparent")) or self._handshake.traceparent
        return RequestInfo(self._credential, "websocket", traceparent, self._handshake.client_address)

    async def _send(self, text: str) -> None:
        try:
            async with asyncio.timeout(self._settings.send_deadline_s), self._write_lock:
                await self._send_raw({"type": "websocket.send", "text": text})
        except TimeoutError:
            self._end_by(self._core.close(CloseCode.TRY_AGAIN_LATER, "Messages were read too slowly"))
        except OSError:
            self._end(None)  # the client has disconnected

    def _call_later(self, delay_s: float, event: Callable[[], list[protocol.Action]]) -> None:
        loop = asyncio.get_running_loop()
        self._timers.append(loop.call_later(delay_s, lambda: self._end_by(event())))

    def _end_by(self, actions: list[protocol.Action]) -> None:
        for action in actions:
            if isinstance(action, protocol.CloseSocket):
                self._end(action)

    def _end(self, close: protocol.CloseSocket | None) -> None:
        if not self._ending.done():
            self._ending.set_result(close)
