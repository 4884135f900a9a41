"""Configuration of the storefront: environment variables with the prefix STOREFRONT_."""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Validated at start. The shop acts with the visitor's own token, so it needs the publishable key only."""

    model_config = SettingsConfigDict(env_prefix="STOREFRONT_", extra="ignore", frozen=True)

    gateway_url: str = Field("http://127.0.0.1:8000", description="where the shop's server reaches the gateway")
    browser_gateway_url: str = Field("", description="where browsers reach the gateway; empty: the same address")
    publishable_key: SecretStr = Field(SecretStr(""), description='key "pk_…" that starts visits; without one nothing is personal')
    banner_deadline_ms: int = Field(150, ge=1, le=10_000, description="the page is rendered with its default content after this time")

    @field_validator("gateway_url", "browser_gateway_url")
    @classmethod
    def _http_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
            raise ValueError("must be an http or https address such as http://127.0.0.1:8000")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _gateway_is_named(self) -> Self:
        if not self.gateway_url:
            raise ValueError("gateway_url must not be empty")
        return self

    @property
    def endpoint(self) -> str:
        """The gateway's GraphQL endpoint for the shop's server."""
        return self.gateway_url + "/graphql"

    @property
    def browser_endpoint(self) -> str:
        """The gateway's GraphQL endpoint for the page script."""
        return (self.browser_gateway_url or self.gateway_url) + "/graphql"
