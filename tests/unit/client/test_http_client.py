"""The HTTP client under the client: whichever is installed, and one clear error if none is."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest

from personalization_gateway import GatewayClient, SyncGatewayClient, http_client, render_banner, sign_visitor_token
from tests.support.client_gateways import DECISION, ENDPOINT, TOKEN_SECRET

PLACEMENT = "homepage-hero"
ANSWER = {"data": {"banners": [DECISION]}}


def without(monkeypatch: pytest.MonkeyPatch, *libraries: str) -> None:
    """Make the import of these fail, as it does if they are not installed."""
    for library in libraries:
        monkeypatch.setitem(sys.modules, library, None)


def library_of(client: GatewayClient) -> str:
    """The package of the connection pool."""
    return type(client._transport._http.pool).__module__.partition(".")[0]


@pytest.mark.parametrize("kind", [GatewayClient, SyncGatewayClient])
def test_without_an_http_client_the_error_says_which_one_to_install(
    kind: type[GatewayClient | SyncGatewayClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the client is created, which is at the start of a server, not in its first page."""
    without(monkeypatch, "httpx2", "httpx")
    with pytest.raises(ImportError, match=r"needs an HTTP client, httpx2 or httpx, .*: pip install httpx2$"):
        kind(ENDPOINT)


def test_rendering_and_signing_need_no_http_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that gets its decisions in another way can use them alone."""
    without(monkeypatch, "httpx2", "httpx")
    assert "<live-banner" in render_banner(None, placement=PLACEMENT, page_is_private=False)
    assert sign_visitor_token("alice", TOKEN_SECRET).count(".") == 2


@pytest.mark.parametrize(("missing", "used"), [("httpx2", "httpx"), ("httpx", "httpx2"), (None, "httpx2")])
async def test_the_installed_one_is_used(missing: str | None, used: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The maintained one if both are."""
    if missing is not None:
        without(monkeypatch, missing)
    async with GatewayClient(ENDPOINT) as client:
        assert library_of(client) == used


@pytest.mark.parametrize("name", http_client.LIBRARIES)
async def test_a_transport_brings_its_own_http_client(name: str) -> None:
    """A test's transport of either works, even where both are installed."""
    library = import_module(name)
    transport = library.MockTransport(lambda _: library.Response(200, text=json.dumps(ANSWER)))
    async with GatewayClient(ENDPOINT, publishable_key="pk_test", deadline_s=10, transport=transport) as client:
        assert library_of(client) == name
        assert await client.banner(PLACEMENT) is not None


def test_a_broken_http_client_is_not_called_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is installed without what it needs says so itself."""
    (tmp_path / "half_installed.py").write_text("import what_it_needs\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(http_client, "LIBRARIES", ("half_installed",))
    with pytest.raises(ModuleNotFoundError, match="what_it_needs"):
        GatewayClient(ENDPOINT)
