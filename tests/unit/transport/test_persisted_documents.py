"""Persisted documents: by documentId and by Apollo's hash, from a manifest and registered, over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.api.schema import build_schema
from gateway.cli import main
from gateway.commands.documents import command_documents
from gateway.transport.documents.manifest import InvalidManifest, document_id, documents_of, read_manifests, write_manifest
from gateway.transport.documents.persisted_documents import check_documents
from tests.support.toy_gateway import Board
from tests.unit.transport.test_http import PREFLIGHT, RESPONSE_JSON, code, opened, post

HELLO = "query Hello($n: String) { hello(name: $n) }"
ID = document_id(HELLO)
HEX = ID.removeprefix("sha256:")


def apollo(sha256: str = HEX, **more: Any) -> dict[str, Any]:
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": sha256}}, **more}


def test_document_id_is_that_of_the_specification() -> None:
    """PD-ID: the two examples of the specification's appendix have the ids that it says."""
    spaced = "query ($id: ID!) {\n  user(id: $id) {\n    name\n  }\n}"
    assert document_id(spaced) == "sha256:7dba4bd717b41f10434822356a93c32b1fb4907b983e854300ad839f84cdcd6e"
    dense = "query($id:ID!){user(id:$id){name}}"
    assert document_id(dense) == "sha256:71f7dc5758652baac68e4a10c50be732b741c892ade2883a99358f52b555286b"


@pytest.mark.parametrize("body", [{"documentId": ID}, {"documentId": HEX}, {"documentId": ID, "query": ""}, apollo(), apollo(query=None)])
async def test_trusted_document_is_run_by_its_hash(body: dict[str, Any]) -> None:
    """PD-TRUSTED: a document of the manifest is run by its hash alone, with variables, however the hash is named."""
    answer = await post({**body, "variables": {"n": "x"}}, manifest={ID: HELLO})
    assert answer.json() == {"data": {"hello": "hello x"}}


async def test_unknown_hash_is_answered_as_clients_of_the_protocol_expect() -> None:
    """PD-NOT-FOUND: one error with Apollo's code and message; 200 for application/json, 400 for graphql-response+json."""
    for body in (apollo(), {"documentId": ID}):
        for accept, status in (("application/json", 200), (RESPONSE_JSON, 400)):
            response = await post(body, accept)
            assert response.status_code == status
            (error,) = response.json()["errors"]
            assert error == {"message": "PersistedQueryNotFound", "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"}}
            assert response.headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize("named", [apollo(), {"documentId": ID}])
async def test_registered_document_is_remembered(named: dict[str, Any]) -> None:
    """PD-REGISTER: hash and text together are run and remembered; from then on the hash is enough, by POST and by GET."""
    async with opened() as client:
        assert (await client.post("/graphql", json={**named, "query": HELLO})).json() == {"data": {"hello": "hello world"}}
        assert (await client.post("/graphql", json=apollo())).json() == {"data": {"hello": "hello world"}}
        parameters = {name: json.dumps(value) if name == "extensions" else value for name, value in named.items()}
        assert (await client.get("/graphql", params=parameters, headers=PREFLIGHT)).json() == {"data": {"hello": "hello world"}}


async def test_memory_of_registered_documents_is_bounded() -> None:
    """PD-BOUND: the least recently used registration is forgotten first; what is not valid is not remembered at all."""
    documents = [f"{{ a{n}: hello }}" for n in range(3)]
    async with opened(remembered_documents=2) as client:
        for text in documents:
            await client.post("/graphql", json={"documentId": document_id(text), "query": text})
        answers = [(await client.post("/graphql", json={"documentId": document_id(text)})).json() for text in documents]
        assert ["errors" in answer for answer in answers] == [True, False, False]
        for _ in range(2):
            invalid = await client.post("/graphql", json={"documentId": document_id("{ nope }"), "query": "{ nope }"})
            assert code(invalid) == "GRAPHQL_VALIDATION_FAILED"
        assert code(await client.post("/graphql", json={"documentId": document_id("{ nope }")})) == "PERSISTED_QUERY_NOT_FOUND"


@pytest.mark.parametrize(
    "body",
    [
        {"documentId": "sha256:" + "0" * 64, "query": HELLO},
        apollo("0" * 64, query=HELLO),
        apollo(documentId="0" * 64),
        {"documentId": "sha256:" + HEX.upper()},
        {"documentId": HEX[:-1]},
        {"documentId": "md5:" + HEX},
        {"documentId": 7},
        {"documentId": ""},
        {"extensions": {"persistedQuery": {"version": 2, "sha256Hash": HEX}}},
        {"extensions": {"persistedQuery": {"version": 1}}},
        {"extensions": {"persistedQuery": HEX}},
    ],
    ids=str,
)
async def test_mistaken_hash_is_a_bad_request(body: dict[str, Any]) -> None:
    """PD-MISMATCH: a hash that is malformed, or not of the text beside it, is BAD_REQUEST, and nothing is run."""
    board = Board()
    async with opened(board, manifest={ID: HELLO}) as client:
        response = await client.post("/graphql", json=body, headers={"accept": RESPONSE_JSON})
    assert (response.status_code, code(response)) == (400, "BAD_REQUEST")
    assert board.infos == []


async def test_only_documents_of_the_manifest() -> None:
    """PD-ONLY: with only_manifest its documents run, by hash or by text; others are FORBIDDEN and never registered."""
    other = "{ hello }"
    async with opened(manifest={ID: HELLO}, only_manifest=True) as client:
        client.headers["accept"] = RESPONSE_JSON
        for body in ({"documentId": ID}, {"query": HELLO}, apollo(query=HELLO)):
            assert (await client.post("/graphql", json=body)).status_code == 200
        for body in ({"query": other}, {"query": other, "documentId": document_id(other)}, {"query": HELLO + " "}, {"query": "{"}):
            refused = await client.post("/graphql", json=body)
            assert (refused.status_code, code(refused)) == (403, "FORBIDDEN")
            assert "manifest" in refused.text
        unknown = await client.post("/graphql", json={"documentId": document_id(other)})
        assert code(unknown) == "PERSISTED_QUERY_NOT_FOUND"


async def test_manifest_is_checked_at_start() -> None:
    """PD-CHECK: a trusted document that the schema refuses keeps the endpoint from being made; its id is named."""
    with pytest.raises(InvalidManifest, match=document_id("{ nope }")):
        async with opened(manifest={document_id("{ nope }"): "{ nope }"}):
            pass


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "JSON"),
        ("[]", '{"documents"'),
        ("{}", '{"documents"'),
        (json.dumps({"documents": {"sha256:0": "{ hello }"}}), "sha256:0 is not the id of its document"),
        (json.dumps({"documents": {document_id("x"): 1}}), "is not the id of its document"),
    ],
)
def test_manifest_that_is_no_good_is_named_with_its_mistake(tmp_path: Path, text: str, told: str) -> None:
    """PD-FILE: a manifest that is no JSON, of another form, or with a wrong id says so and names the file."""
    path = tmp_path / "documents.json"
    path.write_text(text)
    with pytest.raises(InvalidManifest, match=str(path)) as found:
        read_manifests([path])
    assert told in str(found.value) or "unexpected" in str(found.value)


def test_manifest_is_made_from_files(tmp_path: Path) -> None:
    """PD-BUILD: a file is a document, fragments of other files are added to it; reading gives what was written."""
    (tmp_path / "a.graphql").write_text('query A { banner(placement: "p") { ...B } }\n')
    (tmp_path / "fragments.graphql").write_text("fragment B on BannerDecision { banner { ...C } }\nfragment C on Banner { headline }\n")
    (tmp_path / "self.graphql").write_text("mutation S { startVisit { token } }")
    texts = documents_of([tmp_path])
    own, other = 'query A { banner(placement: "p") { ...B } }', "mutation S { startVisit { token } }"
    assert texts == [f"{own}\n\nfragment B on BannerDecision {{ banner {{ ...C }} }}\n\nfragment C on Banner {{ headline }}", other]
    check_documents(build_schema(), texts, production=True)
    path = tmp_path / "documents.json"
    path.write_bytes(write_manifest(texts))
    assert sorted(read_manifests([path]).values()) == sorted(texts)
    assert json.loads(path.read_text())["operations"] == {"A": document_id(texts[0]), "S": document_id(texts[1])}


def test_build_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """PD-BUILD: the command writes a manifest that a gateway takes, with what its own commands send when asked to."""
    source, out = tmp_path / "a.graphql", tmp_path / "documents.json"
    source.write_text("mutation { startVisit { token } }")
    assert main(["documents", "build", str(source), "--with-commands", "--out", str(out)]) == 0
    texts = set(read_manifests([out]).values())
    assert texts == {"mutation { startVisit { token } }", *command_documents()}
    assert any("publishRuleset" in text for text in texts)
    assert f"{len(texts)} documents" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("query {", "a.graphql:1:8: Syntax Error"),
        ("{ nope }", "Cannot query field 'nope'"),
        ("{ ...F }", "no file has the fragment F"),
        ("fragment F on Query { __typename }", "no operation was found"),
    ],
)
def test_build_command_names_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, told: str) -> None:
    """PD-BUILD: a document that does not parse or validate is named, and nothing is written."""
    (tmp_path / "a.graphql").write_text(text)
    assert main(["documents", "build", str(tmp_path), "--out", str(tmp_path / "out.json")]) == 1
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()
