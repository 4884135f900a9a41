"""The HTTP clients that the client works on."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from personalization_gateway import http_client


@pytest.fixture(params=http_client.LIBRARIES)
def http_library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Each HTTP client in turn, as if it were the only one installed."""
    monkeypatch.setattr(http_client, "LIBRARIES", (request.param,))
    return import_module(request.param)
