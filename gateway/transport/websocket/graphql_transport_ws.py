"""The protocol graphql-transport-ws (graphql-ws, PROTOCOL.md), server side, without I/O.

    OPENED ──connection_init──▶ AUTHENTICATING ──accepted──▶ READY ──▶ CLOSED
       │                              │                        │
       └── 4408 no init in time       └── 4403 refused         └── 1012 restart, 1013 slow or failed, 4403 expired, …

Messages and events go in, actions come out. The caller carries out the actions in order, and does nothing else. After
`CloseSocket` no action follows. Each operation has a key of our own, because a client may reuse an id at once: results that
still arrive for the old key are dropped.
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
    """Why the server closes: the code, its meaning, and what the client does next (graphql-ws and our snippet do so on their own)."""

    meaning: str
    client: str

    def __new__(cls, code: int, meaning: str, client: str) -> CloseCode:
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        member.client = client
        return member

    FLOODING = 1008, "Too many messages", "stops: it has a defect"
    MESSAGE_TOO_BIG = 1009, "A frame is too large", "stops: it must send less at once"
    SERVICE_RESTART = 1012, "The gateway is restarting", "connects again and resumes from what the page shows"
    TRY_AGAIN_LATER = 1013, "A subscription failed, or the client read messages too slowly", "connects again after a pause"
    BAD_REQUEST = 4400, "A message violates the protocol", "stops: it has a defect"
    UNAUTHORIZED = 4401, "subscribe was sent before connection_ack", "stops: it has a defect"
    FORBIDDEN = 4403, "The credential is malformed, forged or expired", "gets another token, then connects again"
    SUBPROTOCOL_NOT_ACCEPTABLE = 4406, "The client does not support graphql-transport-ws", "stops: it has a defect"
    INIT_TIMEOUT = 4408, "connection_init did not arrive in time", "connects again"
    SUBSCRIBER_EXISTS = 4409, "An operation with this id is already running", "stops: it has a defect"
    TOO_MANY_INITS = 4429, "connection_init was sent twice", "stops: it has a defect"
    SILENT = 4499, "The client sent nothing, not even a pong", "connects again"


class ClientMessage(StrEnum):
    """The types of message that a client sends."""

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
    """Check this credential, then call `accepted` or `refused`."""

    authorization: str | None


@dataclass(frozen=True, slots=True)
class StartOperation:
    """Start an operation; report its results under `key`."""

    key: int
    request: GraphQLRequest


@dataclass(frozen=True, slots=True)
class StopOperation:
    """The client completed the operation: stop it and report nothing."""

    key: int


Action = SendText | CloseSocket | CheckCredential | StartOperation | StopOperation


class _Phase(Enum):
    OPENED = auto()
    AUTHENTICATING = auto()
    READY = auto()
    CLOSED = auto()


class _MalformedMessage(Exception):
    """A message violates the protocol; the text says how."""


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
        """The number of operations that are running."""
        return len(self._ids)

    def receive(self, text: str) -> list[Action]:
        """Handle a text frame."""
        if self._phase is _Phase.CLOSED:
            return []
        try:
            message = _parse(text)
            kind = ClientMessage(message["type"])
            return _HANDLERS[kind](self, message)
        except _MalformedMessage as error:
            return self.close(CloseCode.BAD_REQUEST, str(error))

    def receive_binary(self) -> list[Action]:
        """Handle a binary frame: the protocol has none."""
        return self.close(CloseCode.BAD_REQUEST, "Messages must be text frames")

    def init_timed_out(self) -> list[Action]:
        """Handle that connection_init did not arrive in time."""
        if self._phase is not _Phase.OPENED:
            return []
        return self.close(CloseCode.INIT_TIMEOUT, "Connection initialisation timeout")

    def accepted(self) -> list[Action]:
        """Handle that the credential is valid."""
        if self._phase is not _Phase.AUTHENTICATING:
            return []
        self._phase = _Phase.READY
        return [_send({"type": "connection_ack"})]

    def refused(self) -> list[Action]:
        """Handle that the credential is invalid, or has expired."""
        return self.close(CloseCode.FORBIDDEN, "Forbidden")

    def ping(self) -> list[Action]:
        """Ask the client whether it is still there."""
        return [] if self._phase is _Phase.CLOSED else [_send({"type": "ping"})]

    def next(self, key: int, payload: dict[str, Any]) -> list[Action]:
        """Send a result of the operation."""
        operation_id = self._ids.get(key)
        return [] if operation_id is None else [_send({"id": operation_id, "type": "next", "payload": payload})]

    def complete(self, key: int) -> list[Action]:
        """Tell the client that the operation has no more results."""
        operation_id = self._forget(key)
        return [] if operation_id is None else [_send({"id": operation_id, "type": "complete"})]

    def error(self, key: int, errors: list[ErrorEntry]) -> list[Action]:
        """Tell the client that the operation failed for good; no `complete` follows."""
        operation_id = self._forget(key)
        return [] if operation_id is None else [_send({"id": operation_id, "type": "error", "payload": errors})]

    def close(self, code: CloseCode, reason: str = "") -> list[Action]:
        """Close the socket. `reason` defaults to the meaning of the code, and is cut to what a close frame can hold."""
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
            raise _MalformedMessage("connection_init: payload.authorization must be a string")
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
            raise _MalformedMessage("subscribe: payload must be an object")
        request = _request(payload)
        if self._phase is not _Phase.READY:
            return self.close(CloseCode.UNAUTHORIZED, "Unauthorized")
        if operation_id in self._keys:
            return self.close(CloseCode.SUBSCRIBER_EXISTS, f"Subscriber for {operation_id} already exists")
        if len(self._ids) >= self._max_operations:
            entry = {
                "message": f"Too many operations on this connection: at most {self._max_operations} at once.",
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
            return []  # it ended on its own in the meantime
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
        raise _MalformedMessage("A message must be JSON") from error
    if not isinstance(message, dict):
        raise _MalformedMessage("A message must be an object")
    if message.get("type") not in ClientMessage.__members__.values():
        raise _MalformedMessage("Unknown message type")
    return message


def _id(message: dict[str, Any]) -> str:
    operation_id = message.get("id")
    if not isinstance(operation_id, str) or not operation_id:
        raise _MalformedMessage(f"{message['type']}: id must be a non-empty string")
    return operation_id


def _optional_object(holder: dict[str, Any], name: str) -> dict[str, Any] | None:
    value = holder.get(name)
    if value is not None and not isinstance(value, dict):
        raise _MalformedMessage(f"{holder.get('type', 'subscribe: payload')}: {name} must be an object")
    return value


def _request(payload: dict[str, Any]) -> GraphQLRequest:
    try:
        return request_from_parameters(payload)
    except RequestRefused as refusal:
        raise _MalformedMessage(f"subscribe: {refusal}") from refusal


def _send(message: dict[str, Any]) -> SendText:
    return SendText(orjson.dumps(message, option=orjson.OPT_NON_STR_KEYS).decode())
