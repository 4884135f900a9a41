"""The wiring of the application, without Kafka and Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.api.request_context import RequestContext
from gateway.app import Gateway, _same_caller
from gateway.auth import Credential, CredentialKind
from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.settings import Settings
from gateway.transport.documents.manifest import document_id, write_manifest

CAMPAIGNS = Path(__file__).parents[2] / "examples" / "storefront" / "campaigns.yaml"
BANNER = 'query Banner { banner(placement: "homepage-hero") { id reason validUntil } }'
PUBLIC = {"authorization": "Bearer pk_test_0123456789"}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    manifest = tmp_path / "documents.json"
    manifest.write_bytes(write_manifest([BANNER]))
    settings = Settings.model_validate(
        {
            "token_secret": "0123456789abcdef" * 2,
            "publishable_keys": ["pk_test_0123456789"],
            "secret_keys": ["sk_test_0123456789"],
            "environment": "development",
            "documents_file": [manifest],
        }
    )
    gateway = Gateway(settings, load_ruleset(CAMPAIGNS.read_text(encoding="utf-8"), 1))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(gateway.app), base_url="http://gateway.test") as found:
        yield found


async def test_public_banner_may_be_cached(client: httpx.AsyncClient) -> None:
    """By GET, persisted and with a publishable key; the same with a secret key is private."""
    parameters = {"documentId": document_id(BANNER)}
    public = await client.get("/graphql", params=parameters, headers=PUBLIC)
    assert public.json()["data"]["banner"]["id"]
    assert public.headers["cache-control"].startswith("public, max-age=")
    secret = await client.get("/graphql", params=parameters, headers={"authorization": "Bearer sk_test_0123456789"})
    assert secret.json()["data"]["banner"]["id"]
    assert secret.headers["cache-control"] == "private, no-store"


async def test_large_answers_are_compressed(client: httpx.AsyncClient) -> None:
    """For who accepts it, from about a kilobyte; event streams never."""
    names: dict[str, Any] = {"query": "{ __schema { types { name description } } }"}
    large = await client.post("/graphql", json=names, headers={"accept-encoding": "gzip"})
    assert large.headers["content-encoding"] == "gzip"
    assert "Accept-Encoding" in large.headers["vary"]
    assert large.json()["data"]
    small = await client.post("/graphql", json={"query": "{ __typename }"}, headers={"accept-encoding": "gzip"})
    plain = await client.post("/graphql", json=names, headers={"accept-encoding": "identity"})
    stream = await client.post("/graphql", json=names, headers={"accept-encoding": "gzip", "accept": "text/event-stream"})
    assert all("content-encoding" not in other.headers for other in (small, plain, stream))


def test_renewed_token_is_the_same_caller() -> None:
    """Kind and visitor count, not when the token ends."""
    ann = Credential(CredentialKind.VISITOR, "ann", 1.0)
    assert _same_caller(ann, Credential(CredentialKind.VISITOR, "ann", 2.0))
    assert not _same_caller(ann, Credential(CredentialKind.VISITOR, "bob", 1.0))
    assert not _same_caller(ann, Credential(CredentialKind.SECRET))


def test_last_event_id_counts_as_shown() -> None:
    """What a stream gave last is newer than what the page said when it first opened it."""
    credential = Credential(CredentialKind.PUBLISHABLE)
    services: Any = None
    assert RequestContext(services, credential, None, "b").shown_decisions(["a"]) == ["a", "b"]
    assert RequestContext(services, credential, None).shown_decisions(["a"]) == ["a"]
