"""A gateway that runs only known documents, by a manifest of the snippet and of `personalization_gateway`: both work, nothing else does."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from graphql import OperationDefinitionNode, parse

from gateway.cli import main
from gateway.commands.documents import command_documents
from gateway.transport.documents.manifest import document_id
from local_stack.artifacts.builds import SNIPPET, ensure_build
from local_stack.project import PROJECT_ROOT
from personalization_gateway import GatewayClient, TryLater, event, sign_visitor_token
from personalization_gateway.documents import FOLDER
from tests.compliance.conftest import served
from tests.support.client_gateways import PUBLISHABLE_KEY, SECRET_KEY, TOKEN_SECRET
from tests.support.docs_examples import TEXT
from tests.support.trusted_gateway import trusted_gateway

PLACEMENTS: Final = ["homepage-hero"]
DOCUMENT: Final = (SNIPPET / "src" / "snippet.graphql").read_text("utf-8").strip()
COMMAND: Final = (
    "gateway documents build frontend_snippet/src clients/python/personalization_gateway/operations --with-commands --out documents.json"
)
NOW: Final = "2026-01-31T12:00:00.000Z"
DONE: Final = ""
AWAY: Final = "UNAVAILABLE"
"""What an operation ends with that has come as far as the event log or the context store, which are away."""

SNIPPET_OPERATIONS: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "Live": ({"placements": PLACEMENTS, "shown": []}, DONE),
    "Ask": ({"placements": PLACEMENTS}, DONE),
    "Visit": ({}, DONE),
    "Track": ({"events": [{"messageId": "1", "type": "PAGE_VIEWED", "timestamp": NOW}], "sentAt": NOW}, AWAY),
    "Identify": ({"messageId": "1"}, AWAY),
    "Consent": ({"messageId": "1", "personalization": True}, AWAY),
}
"""Variables of each operation, and what it ends with."""

CLIENT_OPERATIONS: Final[dict[str, tuple[Callable[[GatewayClient], Awaitable[object]], str]]] = {
    "start_visit": (lambda client: client.start_visit(), DONE),
    "banners": (lambda client: client.banners(PLACEMENTS), DONE),
    "track": (lambda client: client.track([event("PAGE_VIEWED", userId="1")], placements=PLACEMENTS), AWAY),
    "identify": (lambda client: client.identify("1"), AWAY),
    "set_consent": (lambda client: client.set_consent(personalization=True, user_id="1"), AWAY),
    "delete_user": (lambda client: client.delete_user("1"), AWAY),
    "user_context": (lambda client: client.user_context("1"), AWAY),
    "explain": (lambda client: client.explain(PLACEMENTS[0], user_id="1"), AWAY),
}
"""Each operation as the client is asked for it, and what it ends with."""


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest, made by the command that docs/api.md shows."""
    assert COMMAND in TEXT
    path = tmp_path_factory.mktemp("manifest") / "documents.json"
    with contextlib.chdir(PROJECT_ROOT):
        assert main([*COMMAND.split()[1:-1], str(path)]) == 0
    return path


@pytest.fixture
async def gateway(manifest: Path) -> AsyncIterator[str]:
    """The address of a gateway that has nothing but that manifest; Kafka and Redis are away."""
    async with served(trusted_gateway(manifest)) as url:
        yield url


async def first_answer(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request of a user's page, or the first of its event stream."""
    headers = {"authorization": f"Bearer {sign_visitor_token('1', TOKEN_SECRET)}", "accept": "application/json, text/event-stream;q=0.5"}
    async with httpx.AsyncClient(trust_env=False) as http, http.stream("POST", url, json=body, headers=headers) as response:
        async for line in response.aiter_lines():
            if line.startswith(("data: {", "{")):
                found: dict[str, Any] = json.loads(line.removeprefix("data: "))
                return found
    raise AssertionError("no answer came")


def code_of(answer: dict[str, Any]) -> str:
    """What an operation ended with."""
    return DONE if "errors" not in answer else str(answer["errors"][0]["extensions"]["code"])


def test_the_manifest_names_what_the_clients_send(manifest: Path) -> None:
    """The snippet's document has the id that its build puts into the script; a name that two clients use leads to neither."""
    made = json.loads(manifest.read_text("utf-8"))
    assert made["documents"][document_id(DOCUMENT)] == DOCUMENT
    assert document_id(DOCUMENT) in (ensure_build(SNIPPET) / "live-banner.js").read_text("utf-8")
    assert len(made["documents"]) == 1 + len(CLIENT_OPERATIONS) + len(command_documents())
    assert made["operations"]["Live"] == made["operations"]["Ask"] == document_id(DOCUMENT)
    assert "Banners" in made["operations"]
    assert made["operations"].keys().isdisjoint({"Track", "Identify"})


def test_every_operation_is_tried_below() -> None:
    """One that a client learns must be added here."""
    definitions = parse(DOCUMENT).definitions
    assert {node.name.value for node in definitions if isinstance(node, OperationDefinitionNode) and node.name} == set(SNIPPET_OPERATIONS)
    files = {path.stem: path.read_text("utf-8") for path in FOLDER.glob("*.graphql")}
    assert {name for name, text in files.items() if not text.startswith("fragment")} == set(CLIENT_OPERATIONS)


@pytest.mark.parametrize("operation", SNIPPET_OPERATIONS)
async def test_the_snippet_works(gateway: str, operation: str) -> None:
    """Each of its operations runs by the document's id alone, as it sends them."""
    variables, end = SNIPPET_OPERATIONS[operation]
    body = {"documentId": document_id(DOCUMENT), "operationName": operation, "variables": variables}
    assert code_of(await first_answer(gateway, body)) == end


@pytest.mark.parametrize("operation", CLIENT_OPERATIONS)
async def test_the_python_client_works(gateway: str, operation: str) -> None:
    """Each of its calls is run: answered, or stopped only by Kafka or Redis, which are away."""
    call, end = CLIENT_OPERATIONS[operation]
    async with GatewayClient(gateway, publishable_key=PUBLISHABLE_KEY, secret_key=SECRET_KEY, deadline_s=10, timeout_s=10) as client:
        try:
            assert await call(client)
            found = DONE
        except TryLater as stopped:
            found = stopped.code
    assert found == end


@pytest.mark.parametrize("text", [DOCUMENT + "\n", "{ __typename }", "query Ask { banners(placements: []) { id } }"])
async def test_nothing_else_works(gateway: str, text: str) -> None:
    """Another text is FORBIDDEN, and so is a known one that differs by a line break; its id is not found."""
    assert code_of(await first_answer(gateway, {"query": text, "operationName": None})) == "FORBIDDEN"
    assert code_of(await first_answer(gateway, {"query": text, "documentId": document_id(text)})) == "FORBIDDEN"
    assert code_of(await first_answer(gateway, {"documentId": document_id(text)})) == "PERSISTED_QUERY_NOT_FOUND"
