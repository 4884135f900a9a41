"""All configuration: environment variables with the prefix GATEWAY_. `gateway settings` describes them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError


class Settings(BaseSettings):
    """The settings, validated at start. An error names the variable and what it accepts."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", extra="ignore", frozen=True)

    environment: Literal["development", "production"] = Field(
        "production", description="development turns introspection and suggestions on; production turns them off"
    )
    kafka_bootstrap: str = Field("127.0.0.1:9092", description="addresses of Kafka brokers, separated by commas")
    redis_url: str = Field("redis://127.0.0.1:6379/0", description="address of Redis 7+ or Valkey 8+")
    ruleset_file: Path = Field(
        Path("campaigns.yaml"), description="the first ruleset: published once, if there is none yet; checked at start"
    )
    log_epoch: int = Field(1, ge=0, description="increase it when the Kafka topics are re-created: their positions start at 0 again")
    secret_keys: list[SecretStr] = Field(
        default_factory=list, description='JSON list of secret keys "sk_…" for servers: access to every visitor'
    )
    publishable_keys: list[SecretStr] = Field(
        default_factory=list, description='JSON list of publishable keys "pk_…" for pages: startVisit and public banners'
    )
    token_secret: SecretStr = Field(
        description="signs visitor tokens (JWT, HS256), anonymous ids and decision ids; at least 32 characters. Share it with the "
        "shop's server if that signs tokens for known users. Erasures are stored as hashes made with it, so never change it while "
        "they must hold (docs/privacy.md)"
    )
    visitor_token_minutes: int = Field(60, ge=1, le=1440, description="how long a token from startVisit is valid")
    visitor_renewal_days: int = Field(30, ge=0, le=400, description="how long after its expiry a token from startVisit can be renewed")
    consent_default: bool = Field(True, description="whether a visitor who was never asked gets personalized banners")
    orders_from_browser: bool = Field(True, description="whether visitor tokens may send ORDER_* events; if not, only secret keys may")
    public_traits: list[str] = Field(default_factory=list, description="JSON list of traits that a visitor token may set")
    allowed_origins: list[str] = Field(default_factory=list, description="JSON list of web origins whose pages may call the gateway")
    context_retention_days: int = Field(90, ge=1, le=3650, description="a context expires this long after its last event")
    publish_deadline_ms: int = Field(
        3000, ge=100, le=60_000, description="the time for Kafka to acknowledge an event; after it the event is UNKNOWN"
    )
    max_wait_ms: int = Field(10_000, ge=0, le=60_000, description="upper limit of maxWaitMs")
    max_batch_events: int = Field(100, ge=1, le=1000, description="the maximum number of events in one track")
    max_in_flight_events: int = Field(
        5_000, ge=1, description="the maximum number of events that Kafka has not acknowledged yet; more are THROTTLED"
    )
    redis_timeout_ms: int = Field(500, ge=10, le=60_000, description="the time to read a context; after it the answer is the fallback")
    max_subscriptions: int = Field(20_000, ge=1, description="the maximum number of open subscriptions per process; more are THROTTLED")
    poll_seconds: float = Field(20.0, ge=0.05, le=600, description="how often each open subscription is checked again, as a backstop")
    keep_alive_seconds: int = Field(
        75,
        ge=1,
        le=3600,
        description="an idle HTTP connection is kept open this long; longer than the proxy in front keeps it, or its next request may fail",
    )
    documents_file: list[Path] = Field(
        default_factory=list, description="JSON list of manifests of trusted documents (gateway documents build); checked at start"
    )
    documents_only: bool = Field(False, description="run only the documents of documents_file and refuse all others")
    public_cache_seconds: int = Field(
        60, ge=0, le=86_400, description="how long shared caches may keep a public answer to a GET of a persisted document; 0: not at all"
    )
    graphiql_dir: Path | None = Field(
        None, description="the folder of the built GraphiQL page (graphiql/dist), served to browsers at /graphql; development only"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="the least severe log level that is written")

    @field_validator("token_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) < 32:
            raise ValueError("must have at least 32 characters; create one with: openssl rand -hex 32")
        return value

    @field_validator("secret_keys", "publishable_keys")
    @classmethod
    def _key_form(cls, value: list[SecretStr], info: ValidationInfo) -> list[SecretStr]:
        prefix = "sk_" if info.field_name == "secret_keys" else "pk_"
        for key in value:
            if not key.get_secret_value().startswith(prefix) or len(key.get_secret_value()) < 16:
                raise ValueError(f'each key must start with "{prefix}" and have at least 16 characters')
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _origin_form(cls, value: list[str]) -> list[str]:
        for origin in value:
            if "://" not in origin or origin.count("/") != 2:
                raise ValueError(f"{origin!r} is not an origin; an origin looks like https://shop.example")
        return value

    @field_validator("documents_only")
    @classmethod
    def _has_documents(cls, value: bool, info: ValidationInfo) -> bool:
        if value and not info.data.get("documents_file"):
            raise ValueError("requires GATEWAY_DOCUMENTS_FILE: without a manifest no document could run")
        return value

    @property
    def signing_key(self) -> bytes:
        """The key that signs tokens and ids."""
        return self.token_secret.get_secret_value().encode()


class InvalidSettings(Exception):
    """Environment variables that cannot be used; the text lists each with how to fix it."""


def load_settings(**overrides: object) -> Settings:
    """Read the environment; `overrides` take precedence over it. Raises `InvalidSettings`."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]  # pydantic checks them; the environment has the others
    except ValidationError as problem:
        lines = [
            f"  GATEWAY_{'_'.join(str(part) for part in error['loc'][:1]).upper()}: {error['msg']}"
            for error in problem.errors(include_input=False)
        ]
        raise InvalidSettings("invalid settings (gateway settings lists all):\n" + "\n".join(lines)) from None
    except SettingsError as problem:
        # Its text names the field, never the value.
        match = re.search(r'field "(\w+)"', str(problem))
        name = match[1].upper() if match else "?"
        raise InvalidSettings(f'invalid settings:\n  GATEWAY_{name}: write a list as JSON, such as ["one", "two"]') from None


def describe_settings() -> str:
    """Every setting with its meaning and its default, as `gateway settings` prints them."""
    lines = []
    for name, info in Settings.model_fields.items():
        default = info.get_default(call_default_factory=True) if not info.is_required() else "(required)"
        lines.append(f"GATEWAY_{name.upper()}\n    {info.description}\n    default: {default}")
    return "\n".join(lines)
