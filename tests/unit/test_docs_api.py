"""docs/api.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.api.graphql_transport_ws import CloseCode
from gateway.errors import ErrorCode
from gateway.settings import Settings

TEXT = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")


def test_every_error_code_is_told() -> None:
    """The table has exactly the codes that answers can have."""
    assert re.findall(r"^\| ([A-Z_]+) \|", TEXT, re.MULTILINE) == [code.value for code in ErrorCode]


def test_settings_and_close_codes_are_ours() -> None:
    """What it names exists; every close code but that for a silent or late client is there."""
    settings = {f"GATEWAY_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"GATEWAY_[A-Z_]+", TEXT)) <= settings
    told = set(re.findall(r"\b(?:1\d{3}|4\d{3})\b", TEXT))
    assert {str(int(code)) for code in CloseCode} - told == {"4408", "4499"}
