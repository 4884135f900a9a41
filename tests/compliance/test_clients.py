"""The clients that frontends use, each as it comes from its registry, against the endpoint on a real port."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.compliance.conftest import run_node
from tests.support.restarting_toy import restarting_toy

COMMON = {
    "query": "hello x",
    "mutation": "written",
    "error": {"code": "FORBIDDEN", "hello": "hello world"},
    "subscription": [0, 1, 2, "complete"],
    "refused": [{"code": "FORBIDDEN"}],
    "resume": "nothing lost, nothing twice",
    "restart": "all came",
}
PERSISTED = ["hello world", ["hash", "hash and text", "hash"]]

CLIENTS: list[tuple[str, list[str], dict[str, Any]]] = [
    ("client_graphql_ws.mjs", [], {"persisted": "hello world"}),
    ("client_graphql_sse.mjs", ["distinct"], {}),
    ("client_graphql_sse.mjs", ["single"], {}),
    ("client_apollo.mjs", [], {"persisted": {"post": PERSISTED, "get": PERSISTED}}),
    ("client_urql.mjs", [], {"subscription": [0, 1, 2], "ownStreams": [0, 1, 2], "persisted": {"post": PERSISTED, "get": PERSISTED}}),
    ("client_relay.mjs", [], {}),
]


@pytest.mark.parametrize(("script", "arguments", "more"), CLIENTS, ids=[" ".join([script, *more]) for script, more, _ in CLIENTS])
async def test_client(packages: Path, script: str, arguments: list[str], more: dict[str, Any]) -> None:
    """CLIENT: query, mutation, error, subscription, refusal, resume, and a restart in mid-subscription that loses nothing."""
    async with restarting_toy() as toy:
        answers = await run_node(script, toy.url, *arguments)
        assert answers == {**COMMON, **more}
        assert toy.restarts == 1
        assert toy.board.written == ["written"]


async def test_event_source_resumes_by_last_event_id(packages: Path) -> None:
    """CLIENT: a standard EventSource comes back after a restart and says by Last-Event-ID where it was."""
    async with restarting_toy(make_event_id=lambda payload: str(payload["data"]["news"])) as toy:
        answers = await run_node("client_eventsource.mjs", toy.url)
        assert answers == {"found": [1, 2, 3], "resumedAfter": 2}
        assert toy.restarts == 1
