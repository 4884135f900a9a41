"""What shared caches may keep."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from graphql import parse

from gateway.transport.cache_control import public_seconds
from gateway.transport.documents.execution import GraphQLRequest
from gateway.transport.documents.manifest import document_id
from tests.unit.transport.test_http import PREFLIGHT, opened

PUBLIC = {"banner": frozenset({"placement"})}
NOW_S = 1_700_000_000.0


def seconds(text: str, payload: dict[str, Any] | None = None, **request: Any) -> int:
    return public_seconds(parse(text), GraphQLRequest(text, **request), payload or {"data": {}}, PUBLIC, 60, NOW_S)


@pytest.mark.parametrize(
    ("text", "request_", "kept"),
    [
        ('{ banner(placement: "p") { id } }', {}, 60),
        ('{ a: banner(placement: "p") { id } __typename }', {}, 60),
        ('{ ...F } fragment F on Query { banner(placement: "p") { id } }', {}, 60),
        ("{ ... on Query { userContext { version } } }", {}, 0),
        ("{ userContext { version } }", {}, 0),
        ('{ banner(placement: "p", previewToken: "t") { id } }', {}, 0),
        ("query ($t: String) { banner(previewToken: $t) { id } }", {}, 60),
        ("query ($t: String) { banner(previewToken: $t) { id } }", {"variables": {"t": None}}, 60),
        ("query ($t: String) { banner(previewToken: $t) { id } }", {"variables": {"t": "x"}}, 0),
        ('query ($t: String = "x") { banner(previewToken: $t) { id } }', {}, 0),
        ("query A { banner { id } } query B { userContext { version } }", {"operation_name": "A"}, 60),
        ("query A { banner { id } } query B { userContext { version } }", {"operation_name": "B"}, 0),
    ],
)
def test_only_public_fields_are_kept(text: str, request_: dict[str, Any], kept: int) -> None:
    """CACHE-PUBLIC: only fields that are public, with arguments that leave them so, in the operation that runs."""
    assert seconds(text, **request_) == kept


def test_errors_are_not_kept() -> None:
    """CACHE-ERRORS: an answer with errors is not kept."""
    assert seconds("{ banner { id } }", {"data": None, "errors": [{"message": "m"}]}) == 0


@pytest.mark.parametrize(("ends_in_s", "kept"), [(3600, 60), (20, 20), (0, 0), (-5, 0)])
def test_not_beyond_valid_until(ends_in_s: int, kept: int) -> None:
    """CACHE-UNTIL: not beyond the earliest validUntil that the answer shows."""
    until = datetime.datetime.fromtimestamp(NOW_S + ends_in_s, datetime.UTC).isoformat().replace("+00:00", "Z")
    payload = {"data": {"banners": [{"validUntil": None}, {"validUntil": until}]}}
    assert seconds("{ banner { validUntil } }", payload) == kept
    assert seconds("{ banner { validUntil: id } }", {"data": {"banner": {"validUntil": "no time"}}}) == 0


async def test_cache_control() -> None:
    """CACHE-GET: public for a GET of a persisted document by a caller who sees what all see; else private, no-store."""
    text = "{ hello }"
    named = {"documentId": document_id(text)}
    settings: dict[str, Any] = {
        "manifest": {named["documentId"]: text},
        "public_fields": {"hello": frozenset()},
        "is_public": lambda caller: caller.name == "public",
    }
    async with opened(**settings) as client:
        public = {**PREFLIGHT, "authorization": "Bearer public"}
        kept = await client.get("/graphql", params=named, headers=public)
        assert kept.headers["cache-control"] == "public, max-age=60"
        assert {"Origin", "Accept", "Authorization"} <= set(kept.headers["vary"].split(", "))
        others = [
            await client.get("/graphql", params=named, headers={**PREFLIGHT, "authorization": "Bearer ann"}),
            await client.get("/graphql", params=named, headers=PREFLIGHT),
            await client.get("/graphql", params={"query": text}, headers=public),
            await client.post("/graphql", json=named, headers=public),
        ]
        assert {other.headers["cache-control"] for other in others} == {"private, no-store"}
    async with opened(**settings, public_cache_s=0) as client:
        off = await client.get("/graphql", params=named, headers=public)
        assert off.headers["cache-control"] == "private, no-store"
