"""The client against the real gateway in process, whose Kafka and Redis are away."""

from __future__ import annotations

import base64
import json
import logging
import time
from typing import Any

import jwt
import pytest

from personalization_gateway import (
    CredentialRefused,
    DecisionReason,
    GatewayClient,
    Refused,
    TryLater,
    event,
    sign_visitor_token,
)
from tests.support.client_gateways import ENDPOINT, PUBLISHABLE_KEY, SECRET_KEY, TOKEN_SECRET, lonely_app

PLACEMENT = "homepage-hero"


@pytest.fixture
def client(http_library: Any) -> GatewayClient:
    network = http_library.ASGITransport(lonely_app())
    return GatewayClient(ENDPOINT, publishable_key=PUBLISHABLE_KEY, secret_key=SECRET_KEY, deadline_s=10, timeout_s=10, transport=network)


async def test_a_visit_is_started_and_renewed(client: GatewayClient) -> None:
    """A visitor has an id, a token and an end; renewed, it stays the same visitor."""
    first = await client.start_visit()
    assert first is not None
    assert first.anonymous_id.startswith("anon_")
    assert first.expires_at > first.server_time
    assert first.token not in repr(first)
    again = await client.start_visit(first.token)
    assert again is not None
    assert again.anonymous_id == first.anonymous_id


@pytest.mark.parametrize("token", ["garbage", sign_visitor_token("alice", TOKEN_SECRET)])
async def test_a_token_that_cannot_be_renewed_gives_a_new_visitor(client: GatewayClient, token: str) -> None:
    """Nonsense and the token of a known user end in a new anonymous visitor, not in none."""
    started = await client.start_visit(token)
    assert started is not None
    assert started.anonymous_id.startswith("anon_")


async def test_a_banner_for_nobody_is_not_personal(client: GatewayClient) -> None:
    """By the publishable key a banner is decided for the page alone; it may go into public pages."""
    decision = await client.banner(PLACEMENT, page={"type": "home"})
    assert decision is not None
    assert not decision.is_personal
    assert decision.reason is DecisionReason.DEFAULT
    assert decision.banner is not None
    assert decision.banner.headline == "Welcome! Fresh deals every day"
    assert decision.banner.image is not None
    assert (decision.banner.image.width, decision.banner.image.height) == (480, 320)


@pytest.mark.parametrize("by", ["token", "user"])
async def test_a_visitors_banner_is_personal_even_when_nothing_is_known(client: GatewayClient, by: str) -> None:
    """Without the context store the fallback comes at once, and says so; it stays the visitor's own."""
    token = sign_visitor_token("alice", TOKEN_SECRET)
    decision = await (client.banner(PLACEMENT, visitor_token=token) if by == "token" else client.banner(PLACEMENT, user_id="alice"))
    assert decision is not None
    assert decision.is_personal
    assert decision.reason is DecisionReason.UNAVAILABLE
    assert not decision.fresh


async def test_a_placement_that_is_unknown_is_a_decision_without_banner(client: GatewayClient) -> None:
    """Several placements come in one round trip, each under its name."""
    found = await client.banners([PLACEMENT, "nowhere"])
    assert set(found) == {PLACEMENT, "nowhere"}
    assert found["nowhere"].banner is None
    assert found["nowhere"].reason is DecisionReason.UNKNOWN_PLACEMENT


async def test_a_page_is_personalized_from_its_cookies(client: GatewayClient) -> None:
    """No cookie: a new visitor and a banner; the kept cookie: nothing to keep; a cursor that is none costs nothing."""
    first = await client.personalize([PLACEMENT], token=None)
    assert first.started is not None
    assert first.token == first.started.token
    assert first.decisions[PLACEMENT].is_personal
    second = await client.personalize([PLACEMENT], token=first.token, after="no cursor of ours")
    assert second.started is None
    assert second.token == first.token
    assert PLACEMENT in second.decisions


@pytest.mark.parametrize("kind", ["other secret", "no token", "no claims", "forged anonymous"])
async def test_a_token_that_is_refused_is_healed_in_the_same_page(client: GatewayClient, kind: str) -> None:
    """Whatever a cookie holds, the page has a visitor that holds, and a banner."""
    later = {"exp": time.time() + 3600}
    token = {
        "other secret": sign_visitor_token("alice", "x" * 32),
        "no token": "../../etc/passwd",
        "no claims": "a." + base64.urlsafe_b64encode(b"[1]").decode().rstrip("=") + ".b",
        "forged anonymous": jwt.encode({"sub": "anon_1", **later}, TOKEN_SECRET, algorithm="HS256"),
    }[kind]
    found = await client.personalize([PLACEMENT], token=token)
    assert found.started is not None
    assert found.decisions[PLACEMENT].banner is not None


@pytest.mark.parametrize("minutes", [1, 10, 30])
async def test_a_known_users_token_is_used_as_it_is(client: GatewayClient, minutes: int) -> None:
    """A token that the shop signed is the shop's to renew: while it holds it is used, also in its last minute."""
    token = sign_visitor_token("alice", TOKEN_SECRET, minutes=minutes)
    found = await client.personalize([PLACEMENT], token=token)
    assert (found.token, found.started) == (token, None)


async def test_what_the_caller_must_know_is_raised(client: GatewayClient) -> None:
    """The event log and the context store being away is temporary, a wrong argument and a wrong token are not."""
    with pytest.raises(TryLater) as away:
        await client.track([event("PAGE_VIEWED", userId="alice")])
    assert away.value.is_temporary
    assert away.value.code == "UNAVAILABLE"
    with pytest.raises(TryLater):
        await client.user_context("alice")
    with pytest.raises(Refused) as wrong:
        await client.identify("alice", anonymous_id="anon_nonsense")
    assert (wrong.value.code, wrong.value.field, wrong.value.is_temporary) == ("BAD_USER_INPUT", "anonymousId", False)
    with pytest.raises(CredentialRefused):
        await client.set_consent(personalization=True, visitor_token=sign_visitor_token("alice", "x" * 32))


async def test_nobody_is_named_twice_or_without_the_key_for_it(client: GatewayClient) -> None:
    """Mistakes of the caller are told at once, in words, and nothing is sent."""
    with pytest.raises(ValueError, match="visitor_token and user_id"):
        await client.banner(PLACEMENT, visitor_token="a", user_id="b")
    with pytest.raises(ValueError, match="visitor_token and user_id"):
        await client.user_context()
    with pytest.raises(ValueError, match="secret_key"):
        await GatewayClient(ENDPOINT).banner(PLACEMENT, user_id="alice")
    with pytest.raises(ValueError, match="publishable_key"):
        await GatewayClient(ENDPOINT).banner(PLACEMENT)
    with pytest.raises(ValueError, match="GraphQL endpoint"):
        GatewayClient("gateway:8000")


async def test_a_failed_part_is_one_line_without_anything_personal(client: GatewayClient, caplog: pytest.LogCaptureFixture) -> None:
    """The log names the part and the cause; no token, key or id, even where the HTTP client logs everything."""
    caplog.set_level(logging.DEBUG)
    token = sign_visitor_token("alice", "x" * 32)
    assert await client.banner(PLACEMENT, visitor_token=token) is None
    ours = [record for record in caplog.records if record.name.startswith("personalization_gateway")]
    assert [record.getMessage() for record in ours] == ["The gateway gave no answer to banner: UNAUTHENTICATED"]
    seen = caplog.text
    for secret in (token, "alice", PUBLISHABLE_KEY, SECRET_KEY, json.dumps("alice")):
        assert secret not in seen
