"""Settings: every mistake is named by its variable, and no secret is ever shown."""

from __future__ import annotations

import json

import pytest

from gateway.settings import InvalidSettings, Settings, describe_settings, load_settings

SECRET = "0123456789abcdef" * 2


@pytest.fixture(autouse=True)
def only_what_the_test_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"GATEWAY_{name.upper()}", raising=False)
    monkeypatch.setenv("GATEWAY_TOKEN_SECRET", SECRET)


def test_a_token_secret_is_enough() -> None:
    """Everything else has a default that suits one machine."""
    settings = load_settings()
    assert settings.signing_key == SECRET.encode()
    assert settings.environment == "production"
    assert settings.secret_keys == []


def test_without_a_token_secret_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """And where all of them are listed."""
    monkeypatch.delenv("GATEWAY_TOKEN_SECRET")
    with pytest.raises(InvalidSettings, match="GATEWAY_TOKEN_SECRET: Field required") as found:
        load_settings()
    assert "gateway settings lists all" in str(found.value)


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("TOKEN_SECRET", "short", "must have at least 32 characters; create one with: openssl rand -hex 32"),
        ("ENVIRONMENT", "staging", "'development' or 'production'"),
        ("LOG_EPOCH", "-1", "greater than or equal to 0"),
        ("LOG_EPOCH", "one", "valid integer"),
        ("SECRET_KEYS", json.dumps(["abc"]), 'each key must start with "sk_" and have at least 16 characters'),
        ("SECRET_KEYS", json.dumps(["sk_short"]), "at least 16 characters"),
        ("PUBLISHABLE_KEYS", json.dumps({"a": 1}), "valid list"),
        ("ALLOWED_ORIGINS", json.dumps(["shop.example"]), "https://shop.example"),
        ("ALLOWED_ORIGINS", json.dumps(["https://shop.example/"]), "https://shop.example"),
        ("VISITOR_TOKEN_MINUTES", "0", "greater than or equal to 1"),
        ("PUBLISH_DEADLINE_MS", "1e9", "integer"),
        ("MAX_BATCH_EVENTS", "1001", "less than or equal to 1000"),
        ("CONSENT_DEFAULT", "maybe", "valid boolean"),
        ("LOG_LEVEL", "LOUD", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
    ],
)
def test_a_mistake_is_named_with_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str, remedy: str) -> None:
    """What it takes stands beside it."""
    monkeypatch.setenv(f"GATEWAY_{name}", value)
    with pytest.raises(InvalidSettings) as found:
        load_settings()
    assert f"GATEWAY_{name}: " in str(found.value)
    assert remedy in str(found.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("SECRET_KEYS", "sk_dev_0123456789"), ("SECRET_KEYS", '["pk_dev_0123456789"]'), ("PUBLISHABLE_KEYS", '["sk_dev_0123456789"]')],
)
def test_a_mistaken_list_of_keys_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A key without brackets, and a key of the other kind, which could never be shown."""
    monkeypatch.setenv(f"GATEWAY_{name}", value)
    with pytest.raises(InvalidSettings, match=f"GATEWAY_{name}: "):
        load_settings()


def test_all_mistakes_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one for each start."""
    for name in ("LOG_EPOCH", "REDIS_TIMEOUT_MS", "POLL_SECONDS"):
        monkeypatch.setenv(f"GATEWAY_{name}", "wrong")
    with pytest.raises(InvalidSettings) as found:
        load_settings()
    assert str(found.value).count("GATEWAY_") == 3


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in errors nor in what is printed of settings."""
    monkeypatch.setenv("GATEWAY_SECRET_KEYS", json.dumps(["sk_dev_0123456789"]))
    assert SECRET not in repr(load_settings())
    assert "0123456789" not in repr(load_settings())
    monkeypatch.setenv("GATEWAY_TOKEN_SECRET", "hunter2")
    monkeypatch.setenv("GATEWAY_SECRET_KEYS", json.dumps(["hunter2"]))
    with pytest.raises(InvalidSettings) as found:
        load_settings()
    assert "hunter2" not in str(found.value)


def test_every_setting_is_described() -> None:
    """With its variable, its meaning and its default."""
    text = describe_settings()
    for name, info in Settings.model_fields.items():
        assert f"GATEWAY_{name.upper()}\n    {info.description}\n" in text
    assert "(required)" in text
