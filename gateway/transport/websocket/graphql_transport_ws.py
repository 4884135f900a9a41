"""The protocol graphql-transport-ws (graphql-ws, PROTOCOL.md), server side, without I/O.

    OPENED ──connection_init──▶ AUTHENTICATING ──accepted──▶ READY ──▶ CLOSED
       │                              │                        │
       └── 4408 no init in time       └── 4403 refused         └── 1012 restart, 1013 slow or failed, 4403 expired, …

Messages and events go in, actions come out; the caller carries them out in order and nothing else. After a `Close`
nothing comes out any more. An operation is named by a key of ours, since a client may use an id again at once: what
still comes for the old key is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum, auto
from typing import Any, Final

import orjson

from gateway.transport.documents.execution import GraphQLRequest
from gateway.transport.errors import ErrorEntry, RequestRefused
from gateway.transport.parameters import request_from_parameters

SUBPROTOCOL: Final = "graphql-transport-ws"
_MAX_REASON_BYTES: Final = 123
"""RFC 6455, section 5.5: a control frame carries 125 bytes, two of them the code."""


class CloseCode(IntEnum):
    """Why the server closes: code, meaning, and what the client does next (graphql-ws and ours behave so by themselves)."""

    meaning: str
    client: str

    def __new__(cls, code: int, meaning: str, client: str) -> CloseCode:
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        member.client = client
        return member

    FLOODING = 1008, "Too many messages", "gives up: it has a defect"
    MESSAGE_TOO_BIG = 1009, "A frame is larger than allowed", "gives up: sends less at once"
    SERVICE_RESTART = 1012, "The gateway restarts", "connects again, resuming from what it shows"
    TRY_AGAIN_LATER = 1013, "A subscription failed, or the client took messages too slowly", "connects again after a pause"
    BAD_REQUEST = 4400, "A message is not as the protocol says", "gives up: it has a defect"
    UNAUTHORIZED = 4401, "subscribe came before connection_ack", "gives up: it has a defect"
    FORBIDDEN = 4403, "The credential is malformed, forged or expired", "gets another token, then connects again"
    SUBPROTOCOL_NOT_ACCEPTABLE = 4406, "The client does not speak graphql-transport-ws", "gives up: it has a defect"
    INIT_TIMEOUT = 4408, "connection_init did not come in time", "connects again"
    SUBSCRIBER_EXISTS = 4409, "An operation with this id is running", "gives up: it has a defect"
    TOO_MANY_INITS = 4429, "A second connection_init came", "gives up: it has a defect"
    SILENT = 4499, "Nothing came from the client, not even a pong", "connects again"


class ClientMessage(StrEnum):
    """Types of messages that a client sends."""

    CONNECTION_INIT = "connection_init"
    PING = "ping"
    PONG = "pong"
    SUBSCRIBE = "subscribe"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class SendText:
    """Send this text frame."""

    text: str


@dataclass(frozen=True, slots=True)
class CloseSocket:
    """Close the socket; nothing follows."""

    code: CloseCode
    reason: str


@dataclass(frozen=True, slots=True)
class CheckCredential:
    """Judge this credential, then call `accepted` or `refused`."""

    authorization: str | None


@dataclass(frozen=True, slots=True)
class StartOperation:
    """Start an operation; report its results under `key`."""

    key: int
    request: GraphQLRequest


@dataclass(frozen=True, slots=True)
class StopOperation:
    """The client no longer wants the operation: end it and report nothing."""

    key: int


Action = SendText | CloseSocket | CheckCredential | StartOperation | StopOperation


class _Phase(Enum):
    OPENED = auto()
    AUTHENTICATING = auto()
    READY = auto()
    CLOSED = auto()


class _Malformed(Exception):
    """The message is not as the protocol says; the text says how."""


class ServerConnection:
    """The state of one socket. Every method returns the actions to carry out, in order."""

    def __init__(self, max_operations: int) -> None:
        self._phase = _Phase.OPENED
        self._max_operations = max_operations
        self._keys: dict[str, int] = {}
        self._ids: dict[int, str] = {}
        self._last_key = 0

    @property
    def operations(self) -> int:
        """Operations running now."""
        return len(self._ids)

    def receive(self, text: str) -> list[Action]:
        """A text frame came."""
        if self._phase is _Phase.CLOSED:
            return []
        try:
            message = _parse(text)
            kind = ClientMessage(message["type"])
            return _HANDLERS[kind](self, message)
        except _Malformed as error:
            return self.close(CloseCode.BAD_REQUEST, str(error))

    def receive_binary(self) -> list[Action]:
        """A binary frame came: the protocol has none."""
        return self.close(CloseCode.BAD_REQUEST, "Messages are text frames")

    def init_timed_out(self) -> list[Action]:
        """The time for connection_init is over."""
        if self._phase is not _Phase.OPENED:
            return []
        return self.close(CloseCode.INIT_TIMEOUT, "Connection initialisation timeout")

    def accepted(self) -> list[Action]:
        """The credential is good."""
        if self._phase is not _Phase.AUTHENTICATING:
            return []
        self._phase = _Phase.READY
        return [_send({"type": "connection_ack"})]

    def refused(self) -> list[Action]:
        """The credential is not good, or has expired."""
        return self.close(CloseCode.FORBIDDEN, "Forbidden")

    def ping(self) -> list[Action]:
        """Ask the client for a sign of life."""
        return [] if self._phase is _Phase.CLOSED else [_send({"type": "ping"})]

    def next(self, key: int, payload: dict[str, Any]) -> list[Action]:
        """A result of the operation."""
        operation_id = self._ids.get(key)
        return [] if operation_id is None else [_send({"id": operation_id, "type": "next", "payload": payload})]

    def complete(self, key: int) -> list[Action]:
        """The operation has given all its results."""
        operation_id = self._forget(key)
        return [] if operation_id is None else [_send({"id": operation_id, "type": "complete"})]

    def error(self, key: int, errors: list[ErrorEntry]) -> list[Action]:
        """The operation failed for good; no `complete` follows."""
        operation_id = self._forget(key)
        return [] if operation_id is None else [_send({"id": operation_id, "type": "error", "payload": errors})]

    def close(self, code: CloseCode, reason: str = "") -> list[Action]:
        """Close for a reason that lies outside of the protocol, or inside."""
        if self._phase is _Phase.CLOSED:
            return []
        self._phase = _Phase.CLOSED
        self._keys.clear()
        self._ids.clear()
        cut = (reason or code.meaning).encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
        return [CloseSocket(code, cut)]

    def _handle_connection_init(self, message: dict[str, Any]) -> list[Action]:
        payload = _optional_object(message, "payload") or {}
        if self._phase is not _Phase.OPENED:
            return self.close(CloseCode.TOO_MANY_INITS, "Too many initialisation requests")
        authorization = payload.get("authorization", payload.get("Authorization"))
        if authorization is not None and not isinstance(authorization, str):
            raise _Malformed("connection_init: payload.authorization must be a string")
        self._phase = _Phase.AUTHENTICATING
        return [CheckCredential(authorization)]

    def _handle_ping(self, message: dict[str, Any]) -> list[Action]:
        payload = _optional_object(message, "payload")
        return [_send({"type": "pong"} if payload is None else {"type": "pong", "payload": payload})]

    def _handle_pong(self, message: dict[str, Any]) -> list[Action]:
        _optional_object(message, "payload")
        return []

    def _handle_subscribe(self, message: dict[str, Any]) -> list[Action]:
        operation_id = _id(message)
        payload = message.get("payload")
        if not isinstance(payload, dict):
            raise _Malformed("subscribe: payload must be an object")
        request = _request(payload)
        if self._phase is not _Phase.READY:
            return self.close(CloseCode.UNAUTHORIZED, "Unauthorized")
        if operation_id in self._keys:
            return self.close(CloseCode.SUBSCRIBER_EXISTS, f"Subscriber for {operation_id} already exists")
        if len(self._ids) >= self._max_operations:
            entry = {
                "message": f"Too many operations on this connection, at most {self._max_operations} at once.",
                "extensions": {"code": "THROTTLED", "retryAfterMs": 1000},
            }
            return [_send({"id": operation_id, "type": "error", "payload": [entry]})]
        self._last_key += 1
        self._keys[operation_id] = self._last_key
        self._ids[self._last_key] = operation_id
        return [StartOperation(self._last_key, request)]

    def _handle_complete(self, message: dict[str, Any]) -> list[Action]:
        key = self._keys.get(_id(message))
        if key is None:
            return []  # it ended by itself meanwhile
        self._forget(key)
        return [StopOperation(key)]

    def _forget(self, key: int) -> str | None:
        operation_id = self._ids.pop(key, None)
        if operation_id is not None:
            del self._keys[operation_id]
        return operation_id


_HANDLERS: Final = {
    ClientMessage.CONNECTION_INIT: ServerConnection._handle_connection_init,
    ClientMessage.PING: ServerConnection._handle_ping,
    ClientMessage.PONG: ServerConnection._handle_pong,
    ClientMessage.SUBSCRIBE: ServerConnection._handle_subscribe,
    ClientMessage.COMPLETE: ServerConnection._handle_complete,
}


def _parse(text: str) -> dict[str, Any]:
    try:
        message = orjson.loads(text)
    except ValueError as error:
        raise _Malformed("A message must be JSON") from error
    if not isinstance(message, dict):
        raise _Malformed("A message must be an object")
    if message.get("type") not in ClientMessage.__members__.values():
        raise _Malformed("Unknown message type")
    return message


def _id(message: dict[str, Any]) -> str:
    found = message.get("id")
    if not isinstance(found, str) or not found:
        raise _Malformed(f"{message['type']}: id must be a string that is not empty")
    return found


def _optional_object(holder: dict[str, Any], name: str) -> dict[str, Any] | None:
    found = holder.get(name)
    if found is not None and not isinstance(found, dict):
        raise _Malformed(f"{holder.get('type', 'subscribe: payload')}: {name} must be an object")
    return found


def _request(payload: dict[str, Any]) -> GraphQLRequest:
    try:
        return request_from_parameters(payload)
    except RequestRefused as refusal:
        raise _Malformed(f"subscribe: {refusal}") from refusal


def _send(message: dict[str, Any]) -> SendText:
    return SendText(orjson.dumps(message, option=orjson.OPT_NON_STR_KEYS).decode())
