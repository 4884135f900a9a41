"""Server-sent events: what all streams share, and graphql-sse's distinct connections mode (graphql-sse, PROTOCOL.md).

    `:`  at once, then `:` as heartbeat     event: next / id: … / data: {…}      event: complete

`complete` means that nothing more will come. A stream that ends without it was cut (restart, expired credential, a defect of
ours, a failing part), and clients open it again. An error that opening it again would not fix is sent as `next` with errors,
then `complete`. The single connection mode is in `gateway.transport.sse.single_connection`.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum, auto
from typing import Any, Final, TypeVar

import orjson

from gateway.background import cancel_and_wait
from gateway.errors import ApiError, ErrorCode, Throttled, Unauthenticated, Unavailable
from gateway.transport.documents.execution import Reply, ResponseStream, StreamFailed
from gateway.transport.errors import ErrorEntry, RequestRefused, api_entry, entry_of
from gateway.transport.http.messages import Receive, Send
from gateway.transport.settings import MakeEventId

_log = logging.getLogger(__name__)

T = TypeVar("T")

COMMENT: Final = b":\n\n"
COMPLETE: Final = b"event: complete\ndata:\n\n"
HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"private, no-store"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]
_RETRIED_CODES: Final = {ErrorCode.UNAVAILABLE.value, ErrorCode.THROTTLED.value}


def event(name: str, data: Mapping[str, Any], event_id: str | None = None) -> bytes:
    """One event. One data line is enough: JSON contains no line breaks, except escaped ones in strings."""
    head = b"event: " + name.encode() + b"\n"
    if event_id is not None and not any(character in event_id for character in "\r\n\0"):
        head += b"id: " + event_id.encode() + b"\n"
    return head + b"data: " + orjson.dumps(data, option=orjson.OPT_NON_STR_KEYS) + b"\n\n"


def next_event(payload: Mapping[str, Any], event_id: str | None = None) -> bytes:
    """A `next` event of the distinct connections mode."""
    return event("next", payload, event_id)


class CutReason(Enum):
    """Why a stream ends before its operation does."""

    DISCONNECTED = auto()
    """The client has disconnected."""
    RESTART = auto()
    EXPIRED = auto()
    SLOW = auto()


class _StreamCut(Exception):
    def __init__(self, reason: CutReason) -> None:
        super().__init__(reason.name)
        self.reason = reason


OperationStarter = Callable[[], Awaitable[Reply | ResponseStream]]
"""Starts an operation: one reply, or the stream of a subscription."""


class EventStream(ABC):
    """One answer of type text/event-stream. `restart` cuts it; `serve` returns when nothing of it runs any more."""

    def __init__(self, *, heartbeat_s: float, send_deadline_s: float, expires_in_s: float | None) -> None:
        loop = asyncio.get_running_loop()
        self._heartbeat_s = heartbeat_s
        self._send_deadline_s = send_deadline_s
        self._cut: asyncio.Future[CutReason] = loop.create_future()
        self._expiry = None if expires_in_s is None else loop.call_later(max(0.0, expires_in_s), self._cut_by, CutReason.EXPIRED)

    @abstractmethod
    async def _send_results(self) -> bool:
        """Send all results. True if the client should take the stream as complete."""

    @abstractmethod
    def _closing_events(self, error: ErrorEntry) -> bytes:
        """The events that tell the client why the stream is cut."""

    def restart(self) -> None:
        """The gateway is stopping: end without `complete`, so that the client opens the stream elsewhere."""
        self._cut_by(CutReason.RESTART)

    async def serve(self, receive: Receive, send: Send, extra_headers: list[tuple[bytes, bytes]]) -> None:
        """Send the head and a first comment at once, then the results."""
        self._send = send
        watcher = asyncio.create_task(self._watch(receive))
        try:
            await self._guard(send({"type": "http.response.start", "status": 200, "headers": HEADERS + extra_headers}))
            await self._write(COMMENT)
            if await self._send_results():
                await self._write(COMPLETE)
            await self._end()
        except _StreamCut as cut:
            await self._after_cut(cut.reason)
        finally:
            if self._expiry is not None:
                self._expiry.cancel()
            await _cancel(watcher)

    async def _after_cut(self, reason: CutReason) -> None:
        if reason in {CutReason.DISCONNECTED, CutReason.SLOW}:
            return  # nobody reads
        try:
            if reason is CutReason.EXPIRED:
                await self._write(self._closing_events(api_entry(Unauthenticated("The token has expired: get a new one."))))
            await self._end()
        except _StreamCut:
            return

    async def _while_beating(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do `work`, sending heartbeats in the meantime. If the stream is cut, the work is cancelled and awaited.

        Work that ended at the moment of the cut still returns its result (a stream that was just opened must be closed). The
        next call then raises the cut.
        """
        if self._cut.done():
            raise _StreamCut(self._cut.result())
        task = asyncio.ensure_future(work())
        awaited: list[asyncio.Future[Any]] = [task, self._cut]
        try:
            while True:
                await asyncio.wait(awaited, timeout=self._heartbeat_s, return_when=asyncio.FIRST_COMPLETED)
                if task.done():
                    return task.result()
                if self._cut.done():
                    raise _StreamCut(self._cut.result())
                await self._write(COMMENT)
        finally:
            if not task.done():
                await _cancel(task)

    async def _write(self, data: bytes) -> None:
        await self._guard(self._send({"type": "http.response.body", "body": data, "more_body": True}))

    async def _end(self) -> None:
        await self._guard(self._send({"type": "http.response.body", "body": b"", "more_body": False}))

    async def _guard(self, sending: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self._send_deadline_s):
                await sending
        except TimeoutError:
            raise _StreamCut(CutReason.SLOW) from None
        except OSError:
            raise _StreamCut(CutReason.DISCONNECTED) from None

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._cut_by(CutReason.DISCONNECTED)

    def _cut_by(self, reason: CutReason) -> None:
        if not self._cut.done():
            self._cut.set_result(reason)


class DistinctStream(EventStream):
    """The stream of one operation. `start` starts the operation."""

    def __init__(
        self, start: OperationStarter, *, make_event_id: MakeEventId, heartbeat_s: float, send_deadline_s: float, expires_in_s: float | None
    ) -> None:
        super().__init__(heartbeat_s=heartbeat_s, send_deadline_s=send_deadline_s, expires_in_s=expires_in_s)
        self._start = start
        self._make_event_id = make_event_id

    def _closing_events(self, error: ErrorEntry) -> bytes:
        return next_event({"errors": [error]})

    async def _send_results(self) -> bool:
        try:
            outcome = await self._while_beating(self._start)
            if isinstance(outcome, Reply):
                await self._write_reply(outcome)
                return True
            return await self._stream(outcome)
        except RequestRefused as refusal:
            return await self._send_errors(refusal.errors, is_complete=not _RETRIED_CODES.intersection(_codes(refusal.errors)))
        except StreamFailed as failure:
            cut_short = failure.retry or (failure.started and failure.code == ErrorCode.UNAUTHENTICATED)
            return await self._send_errors([failure.entry], is_complete=not cut_short)
        except _StreamCut:
            raise
        except ApiError as error:
            return await self._send_errors([entry_of(error)], is_complete=not isinstance(error, Unavailable | Throttled))
        except Exception as error:  # noqa: BLE001 - a defect of ours: logged, masked, and the stream ends without complete
            return await self._send_errors([entry_of(error)], is_complete=False)

    async def _stream(self, stream: ResponseStream) -> bool:
        try:
            while (reply := await self._while_beating(stream.next)) is not None:
                await self._write_reply(reply)
            return True
        finally:
            await stream.aclose()

    async def _send_errors(self, errors: list[ErrorEntry], *, is_complete: bool) -> bool:
        await self._write(next_event({"errors": errors}))
        return is_complete

    async def _write_reply(self, reply: Reply) -> None:
        await self._write(next_event(reply.payload, self._make_event_id(reply.payload)))


def _codes(errors: list[ErrorEntry]) -> set[str]:
    return {error["extensions"]["code"] for error in errors}


async def _cancel(task: asyncio.Future[Any]) -> None:
    """Cancel the task and wait until it has ended, whatever it ends with."""
    for outcome in await cancel_and_wait([task]):
        if isinstance(outcome, ResponseStream):  # it was opened at the moment of the cut
            await outcome.aclose()
        elif isinstance(outcome, Exception) and not isinstance(outcome, StreamFailed | RequestRefused):
            _log.error("A task of an event stream failed", exc_info=outcome)
