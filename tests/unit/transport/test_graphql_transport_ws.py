"""The protocol core of graphql-transport-ws: messages in, actions out. Ids name the requirement."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.transport.websocket import graphql_transport_ws as protocol
from gateway.transport.websocket.graphql_transport_ws import (
    CheckCredential,
    CloseCode,
    CloseSocket,
    SendText,
    ServerConnection,
    StartOperation,
    StopOperation,
)


def dump(**message: Any) -> str:
    return orjson.dumps(message).decode()


def subscribe(operation_id: str, query: str = "{ hello }", **payload: Any) -> str:
    return dump(type="subscribe", id=operation_id, payload={"query": query, **payload})


def ready(max_operations: int = 50) -> ServerConnection:
    core = ServerConnection(max_operations)
    core.receive(dump(type="connection_init"))
    core.accepted()
    return core


def sent(actions: list[protocol.Action]) -> list[dict[str, Any]]:
    return [orjson.loads(action.text) for action in actions if isinstance(action, SendText)]


def closed_with(actions: list[protocol.Action]) -> CloseCode:
    assert len(actions) == 1
    assert isinstance(actions[0], CloseSocket)
    return actions[0].code


@pytest.mark.parametrize("payload", [{}, {"payload": None}, {"payload": {}}, {"payload": {"other": 1}}])
def test_ws_init_accepts_any_object_or_null_as_payload(payload: dict[str, Any]) -> None:
    """WS-INIT: connection_init may have no payload, null, or any object."""
    core = ServerConnection(50)
    assert core.receive(dump(type="connection_init", **payload)) == [CheckCredential(None)]
    assert sent(core.accepted()) == [{"type": "connection_ack"}]


def test_ws_init_hands_the_authorization_over() -> None:
    """WS-INIT-AUTH: the credential of the payload is judged before the acknowledgement."""
    core = ServerConnection(50)
    assert core.receive(dump(type="connection_init", payload={"authorization": "Bearer t"})) == [CheckCredential("Bearer t")]


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[]",
        "1",
        "{}",
        dump(type="unknown"),
        dump(type=["ping"]),
        dump(type="connection_init", payload=[]),
        dump(type="connection_init", payload={"authorization": 1}),
        dump(type="ping", payload="text"),
        dump(type="complete"),
        dump(type="subscribe", id="", payload={"query": "{ a }"}),
        dump(type="subscribe", id=1, payload={"query": "{ a }"}),
        dump(type="subscribe", id="1"),
        dump(type="subscribe", id="1", payload={}),
        dump(type="subscribe", id="1", payload={"query": "{ a }", "variables": []}),
        dump(type="subscribe", id="1", payload={"query": "{ a }", "operationName": 1}),
        dump(type="subscribe", id="1", payload={"query": "{ a }", "extensions": "x"}),
        dump(type="next", id="1", payload={}),
        "[" * 3000,
    ],
)
def test_ws_4400_malformed(text: str) -> None:
    """WS-4400: a message that is not as the protocol says closes the socket, with a reason that fits into the frame."""
    actions = ServerConnection(50).receive(text)
    assert closed_with(actions) is CloseCode.BAD_REQUEST
    assert isinstance(actions[0], CloseSocket)
    assert 0 < len(actions[0].reason.encode()) <= 123


def test_ws_4400_binary() -> None:
    """WS-4400: a binary frame closes the socket."""
    assert closed_with(ServerConnection(50).receive_binary()) is CloseCode.BAD_REQUEST


def test_ws_4401_subscribe_before_ack() -> None:
    """WS-4401: subscribe before the acknowledgement closes the socket, also while the credential is judged."""
    assert closed_with(ServerConnection(50).receive(subscribe("1"))) is CloseCode.UNAUTHORIZED
    core = ServerConnection(50)
    core.receive(dump(type="connection_init"))
    assert closed_with(core.receive(subscribe("1"))) is CloseCode.UNAUTHORIZED


def test_ws_4403_refused_credential() -> None:
    """WS-4403: a credential that is refused closes the socket."""
    core = ServerConnection(50)
    core.receive(dump(type="connection_init"))
    assert closed_with(core.refused()) is CloseCode.FORBIDDEN


def test_ws_4408_no_init_in_time() -> None:
    """WS-4408: no connection_init in time closes the socket; after it the timer means nothing."""
    assert closed_with(ServerConnection(50).init_timed_out()) is CloseCode.INIT_TIMEOUT
    assert ready().init_timed_out() == []


def test_ws_4409_id_in_use_and_reuse_after_its_end() -> None:
    """WS-4409: an id in use closes the socket; after complete, error or stop it is free again."""
    core = ready()
    ends: list[Callable[[int], object]] = [
        core.complete,
        lambda key: core.error(key, []),
        lambda _key: core.receive(dump(type="complete", id="a")),
    ]
    for end in ends:
        (start,) = core.receive(subscribe("a"))
        assert isinstance(start, StartOperation)
        end(start.key)
    core.receive(subscribe("a"))
    assert closed_with(core.receive(subscribe("a"))) is CloseCode.SUBSCRIBER_EXISTS


@pytest.mark.parametrize("acknowledged", [False, True])
def test_ws_4429_second_init(acknowledged: bool) -> None:
    """WS-4429: a second connection_init closes the socket, before and after the acknowledgement."""
    core = ServerConnection(50)
    core.receive(dump(type="connection_init"))
    if acknowledged:
        core.accepted()
    assert closed_with(core.receive(dump(type="connection_init"))) is CloseCode.TOO_MANY_INITS


def test_ws_ping_is_answered_with_its_payload_in_every_phase() -> None:
    """WS-PING: a ping is answered with a pong of the same payload, also before connection_init; a pong is taken."""
    core = ServerConnection(50)
    assert sent(core.receive(dump(type="ping", payload={"n": 1}))) == [{"type": "pong", "payload": {"n": 1}}]
    assert sent(ready().receive(dump(type="ping"))) == [{"type": "pong"}]
    assert core.receive(dump(type="pong", payload=None)) == []


def test_ws_results_of_a_stopped_operation_are_dropped_although_its_id_is_used_again() -> None:
    """WS-STOP: after the client's complete nothing more comes for that operation, also when the id has a new one."""
    core = ready()
    (first,) = core.receive(subscribe("a"))
    assert isinstance(first, StartOperation)
    assert core.receive(dump(type="complete", id="a")) == [StopOperation(first.key)]
    (second,) = core.receive(subscribe("a"))
    assert isinstance(second, StartOperation)
    assert core.next(first.key, {"data": 1}) == []
    assert core.complete(first.key) == []
    assert sent(core.next(second.key, {"data": 2})) == [{"id": "a", "type": "next", "payload": {"data": 2}}]


def test_ws_complete_of_an_unknown_id_is_ignored() -> None:
    """WS-STOP: complete for an operation that has just ended does no harm."""
    assert ready().receive(dump(type="complete", id="gone")) == []


def test_ws_error_is_not_followed_by_complete() -> None:
    """WS-ERROR: error ends the operation; no complete follows."""
    core = ready()
    (start,) = core.receive(subscribe("a"))
    assert isinstance(start, StartOperation)
    assert sent(core.error(start.key, [{"message": "m"}])) == [{"id": "a", "type": "error", "payload": [{"message": "m"}]}]
    assert core.complete(start.key) == []


def test_ws_operations_over_the_limit_are_refused_one_by_one() -> None:
    """WS-LIMIT: an operation too many is answered with an error of its own; the others go on."""
    core = ready(max_operations=2)
    core.receive(subscribe("a"))
    core.receive(subscribe("b"))
    (refusal,) = sent(core.receive(subscribe("c")))
    assert refusal["type"] == "error"
    assert refusal["payload"][0]["extensions"]["code"] == "THROTTLED"
    assert core.operations == 2


def test_ws_nothing_comes_out_after_close() -> None:
    """WS-CLOSED: after the close nothing comes out, whatever comes in."""
    core = ready()
    (start,) = core.receive(subscribe("a"))
    assert isinstance(start, StartOperation)
    assert closed_with(core.close(CloseCode.SERVICE_RESTART)) is CloseCode.SERVICE_RESTART
    assert core.receive(dump(type="ping")) == core.next(start.key, {}) == core.ping() == core.refused() == []


def test_close_codes_say_what_the_client_does_next() -> None:
    """Every close code has a meaning and says what the client does, and every one is in use."""
    source = Path(protocol.__file__).read_text() + Path(protocol.__file__).with_name("session.py").read_text()
    for code in CloseCode:
        assert code.meaning
        assert re.match("stops|connects again|gets another token", code.client)
        assert f"CloseCode.{code.name}" in source
