"""How uvicorn is told to serve the gateway."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import uvicorn

from gateway.server import serve
from gateway.settings import Settings

CAMPAIGNS = Path(__file__).parents[2] / "examples" / "storefront" / "campaigns.yaml"


@pytest.mark.parametrize(("given", "seconds"), [({}, 75), ({"keep_alive_seconds": 620}, 620)])
def test_idle_connections_are_kept_as_long_as_the_setting_says(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, int], seconds: int
) -> None:
    """By default longer than the 60 s that many proxies keep them."""
    configurations: list[uvicorn.Config] = []

    def run(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
        configurations.append(server.config)
        for listener in sockets:
            listener.close()

    monkeypatch.setattr(uvicorn.Server, "run", run)
    settings = Settings.model_validate({"token_secret": "0123456789abcdef" * 2, "ruleset_file": CAMPAIGNS, **given})
    serve(settings, "127.0.0.1", 0, 1)
    assert [configuration.timeout_keep_alive for configuration in configurations] == [seconds]
