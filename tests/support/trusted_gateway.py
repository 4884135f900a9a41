"""A gateway that runs only the documents of a manifest."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr
from starlette.applications import Starlette

from gateway.app import Gateway
from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.settings import Settings
from tests.support.client_gateways import CAMPAIGNS, NOWHERE, PUBLISHABLE_KEY, SECRET_KEY, TOKEN_SECRET


def trusted_gateway(manifest: Path) -> Starlette:
    """The real gateway as in production; Kafka and Redis are away."""
    settings = Settings(  # type: ignore[call-arg]  # the other fields have defaults
        kafka_bootstrap=NOWHERE,
        redis_url=f"redis://{NOWHERE}/0",
        secret_keys=[SecretStr(SECRET_KEY)],
        publishable_keys=[SecretStr(PUBLISHABLE_KEY)],
        token_secret=SecretStr(TOKEN_SECRET),
        documents_file=[manifest],
        documents_only=True,
    )
    return Gateway(settings, load_ruleset(CAMPAIGNS.read_text(), 1)).app
