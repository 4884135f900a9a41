"""Configuration, all of it: environment variables with the prefix GATEWAY_. `gateway settings` documents them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError


class Settings(BaseSettings):
    """Validated at start; a mistake names the variable and what it takes."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", extra="ignore", frozen=True)

    environment: Literal["development", "production"] = Field(
        "production", description="development shows introspection and suggestions; production hides them"
    )
    kafka_bootstrap: str = Field("127.0.0.1:9092", description="addresses of Kafka brokers, comma-separated")
    redis_url: str = Field("redis://127.0.0.1:6379/0", description="address of Redis 7+ or Valkey 8+")
    ruleset_file: Path = Field(Path("campaigns.yaml"), description="the first ruleset: published once, where none is yet; checked at start")
    log_epoch: int = Field(1, ge=0, description="raise it when the Kafka topics are made anew: positions begin at 0 again")
    secret_keys: list[SecretStr] = Field(default_factory=list, description='JSON list of keys "sk_…" for servers: any visitor')
    publishable_keys: list[SecretStr] = Field(default_factory=list, description='JSON list of keys "pk_…" for pages: startVisit')
    token_secret: SecretStr = Field(
        description="signs visitor tokens (JWT, HS256), anonymous ids and decision ids; at least 32 characters, shared with the "
        "shop's server where it makes tokens of its own; erasures are known by hashes made with it, so never change it "
        "while they must hold (docs/privacy.md)"
    )
    visitor_token_minutes: int = Field(60, ge=1, le=1440, description="how long a token of startVisit holds")
    visitor_renewal_days: int = Field(30, ge=0, le=400, description="how long after its end a token of startVisit can be renewed")
    consent_default: bool = Field(True, description="whether a visitor who was never asked is personalized")
    orders_from_browser: bool = Field(True, description="whether a visitor token may send ORDER_* events, or a secret key only")
    public_traits: list[str] = Field(default_factory=list, description="JSON list of traits that a visitor token may set")
    allowed_origins: list[str] = Field(default_factory=list, description="JSON list of web origins that may call from a browser")
    context_retention_days: int = Field(90, ge=1, le=3650, description="a context expires this long after its last event")
    publish_deadline_ms: int = Field(3000, ge=100, le=60_000, description="Kafka must acknowledge within, else UNKNOWN")
    max_wait_ms: int = Field(10_000, ge=0, le=60_000, description="upper limit of maxWaitMs")
    max_batch_events: int = Field(100, ge=1, le=1000, description="events in one track")
    max_in_flight_events: int = Field(5_000, ge=1, description="events handed to Kafka and not yet acknowledged; more are THROTTLED")
    redis_timeout_ms: int = Field(500, ge=10, le=60_000, description="a context that takes longer is answered by the fallback")
    max_subscriptions: int = Field(20_000, ge=1, description="open subscriptions of one process; more are THROTTLED")
    poll_seconds: float = Field(20.0, ge=0.05, le=600, description="each open subscription is looked at again this often, as a backstop")
    keep_alive_seconds: int = Field(
        75,
        ge=1,
        le=3600,
        description="an idle HTTP connection is kept open this long; longer than the proxy in front keeps it, or its next request may fail",
    )
    documents_file: list[Path] = Field(
        default_factory=list, description="JSON list of manifests of trusted documents (gateway documents build); checked at start"
    )
    documents_only: bool = Field(False, description="run only the documents of documents_file; what clients send beside them is refused")
    public_cache_seconds: int = Field(
        60, ge=0, le=86_400, description="shared caches may keep a public answer to a GET of a persisted document so long; 0: not at all"
    )
    graphiql_dir: Path | None = Field(
        None, description="the built page GraphiQL (graphiql/dist), shown to browsers at /graphql; in development only"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least severe log line shown")

    @field_validator("token_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) < 32:
            raise ValueError("must have at least 32 characters; make one with: openssl rand -hex 32")
        return value

    @field_validator("secret_keys", "publishable_keys")
    @classmethod
    def _key_form(cls, value: list[SecretStr], info: ValidationInfo) -> list[SecretStr]:
        prefix = "sk_" if info.field_name == "secret_keys" else "pk_"
        for key in value:
            if not key.get_secret_value().startswith(prefix) or len(key.get_secret_value()) < 16:
                raise ValueError(f'each key begins with "{prefix}" and has at least 16 characters')
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _origin_form(cls, value: list[str]) -> list[str]:
        for origin in value:
            if "://" not in origin or origin.count("/") != 2:
                raise ValueError(f"{origin!r} is no origin; it looks like https://shop.example")
        return value

    @field_validator("documents_only")
    @classmethod
    def _has_documents(cls, value: bool, info: ValidationInfo) -> bool:
        if value and not info.data.get("documents_file"):
            raise ValueError("needs GATEWAY_DOCUMENTS_FILE: without a manifest nothing could be run")
        return value

    @property
    def signing_key(self) -> bytes:
        """The key that signs tokens and ids."""
        return self.token_secret.get_secret_value().encode()


class InvalidSettings(Exception):
    """Environment variables that cannot be used; the text lists each with its remedy."""


def load_settings(**given: object) -> Settings:
    """Read the environment, or raise `InvalidSettings`. `given` goes before what the environment says."""
    try:
        return Settings(**given)  # type: ignore[arg-type]  # pydantic checks them; the environment gives the others
    except ValidationError as problem:
        lines = [
            f"  GATEWAY_{'_'.join(str(part) for part in error['loc'][:1]).upper()}: {error['msg']}"
            for error in problem.errors(include_input=False)
        ]
        raise InvalidSettings("settings that cannot be used (gateway settings lists all):\n" + "\n".join(lines)) from None
    except SettingsError as problem:
        # Its text names the field, never the value.
        named = re.search(r'field "(\w+)"', str(problem))
        name = named[1].upper() if named else "?"
        raise InvalidSettings(f'settings that cannot be used:\n  GATEWAY_{name}: a list is JSON, such as ["one", "two"]') from None


def describe_settings() -> str:
    """Every setting with its default and meaning, as `gateway settings` prints it."""
    lines = []
    for name, info in Settings.model_fields.items():
        default = info.get_default(call_default_factory=True) if not info.is_required() else "(required)"
        lines.append(f"GATEWAY_{name.upper()}\n    {info.description}\n    default: {default}")
    return "\n".join(lines)
