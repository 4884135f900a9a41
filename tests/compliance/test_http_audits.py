"""The audits of graphql-http (the reference of GraphQL over HTTP) against the real gateway's application."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.app import Gateway
from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.settings import Settings
from tests.compliance.conftest import run_node, served

CAMPAIGNS = Path(__file__).parents[2] / "examples" / "storefront" / "campaigns.yaml"


def make_gateway() -> Gateway:
    """The real application; nothing that the audits ask needs Kafka or Redis."""
    settings = Settings(token_secret="0123456789abcdef" * 2, environment="development", _env_file=None)  # type: ignore[call-arg, arg-type]
    return Gateway(settings, load_ruleset(CAMPAIGNS.read_text(encoding="utf-8"), 1))


async def test_every_must_and_should_passes(packages: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """HTTP-AUDITS: all audits pass; the table is printed."""
    async with served(make_gateway().app) as url:
        results = await run_node("http_audits.mjs", url)
    with capsys.disabled():
        print()
        for one in results:
            print(f"  {one['id']}  {one['status']:6}  {one['name']}  {one['reason']}")
    assert len(results) >= 60
    assert [one for one in results if one["status"] != "ok"] == []
