"""The storefront's settings: environment variables with the prefix STOREFRONT_."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Validated at the start. Browsers reach the gateway under a path of the shop's own origin, so they need no address for it."""

    model_config = SettingsConfigDict(env_prefix="STOREFRONT_", extra="ignore", frozen=True)

    gateway_url: str = Field("http://127.0.0.1:8000", description="address at which the shop's server reaches the gateway")
    publishable_key: SecretStr = Field(SecretStr(""), description='key "pk_…" that starts visits; without it nothing is personalized')
    secret_key: SecretStr = Field(SecretStr(""), description='key "sk_…" with which the panel explains decisions; pages do not need it')
    panel: bool = Field(False, description="whether /?panel shows what is known about the visitor, and why; for development only")
    banner_deadline_ms: int = Field(150, ge=1, le=10_000, description="milliseconds after which the page is rendered with its own content")

    @field_validator("gateway_url")
    @classmethod
    def _http_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be an http or https address such as http://127.0.0.1:8000")
        return value.rstrip("/")

    @property
    def endpoint(self) -> str:
        """The gateway's GraphQL endpoint for the shop's server."""
        return self.gateway_url + "/graphql"
