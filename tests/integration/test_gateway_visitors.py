"""Visitors on the real stack: visits and their renewal, joining, consent, erasure, what banners count."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any, Final

import pytest

from gateway.model.events.topics import Topic
from local_stack.api import Api, deals_on, event, product_added
from tests.support.stack_site import Site, codes_of, until

pytestmark = pytest.mark.integration

IDENTIFY: Final = """mutation($user: ID, $anonymous: ID, $token: String, $message: ID!, $traits: JSON) {
  identify(userId: $user, anonymousId: $anonymous, anonymousToken: $token, messageId: $message, traits: $traits) {
    cursor results { status error { code field } } } }"""
CONSENT: Final = """mutation($to: Boolean!, $message: ID!, $timestamp: DateTime) {
  setConsent(personalization: $to, messageId: $message, timestamp: $timestamp) { cursor results { status } } }"""
DELETE: Final = "mutation($user: ID!, $message: ID!) { deleteUser(userId: $user, messageId: $message) { cursor results { status } } }"
RENEW: Final = "mutation($token: String) { startVisit(token: $token) { anonymousId token expiresAt } }"
CONTEXT: Final = "{ userContext { version interestedCategory cart { productId } consent { personalization } } }"
DAY_S: Final = 86_400


async def identify(api: Api, **arguments: Any) -> dict[str, Any]:
    data = await api.run(IDENTIFY, message=str(uuid.uuid4()), **arguments)
    result: dict[str, Any] = data["identify"]
    return result


async def consent(api: Api, to: bool) -> dict[str, Any]:
    result: dict[str, Any] = (await api.run(CONSENT, to=to, message=str(uuid.uuid4())))["setConsent"]
    assert result["results"] == [{"status": "ACCEPTED"}]
    return result


async def test_a_visit_is_renewed_for_the_same_visitor(site: Site) -> None:
    """Also when its token has ended within the grace time; not later, not a token of the shop's server, not a forged one."""
    visitor_id, visitor = await site.visit()
    renewed = (await site.publishable.run(RENEW, token=visitor.credential))["startVisit"]
    assert renewed["anonymousId"] == visitor_id
    assert (await visitor.with_credential(renewed["token"]).banner())["reason"] == "DEFAULT"
    ended = site.token(visitor_id, expires_in_s=-29 * DAY_S, by="startVisit")
    assert await codes_of(visitor.with_credential(ended), CONTEXT) == ["UNAUTHENTICATED"]
    assert (await site.publishable.run(RENEW, token=ended))["startVisit"]["anonymousId"] == visitor_id
    for token, code in {
        site.token(visitor_id, expires_in_s=-31 * DAY_S, by="startVisit"): "UNAUTHENTICATED",
        site.token("user-1"): "FORBIDDEN",
        site.token(visitor_id, by="startVisit", secret="another secret of more than 32 characters"): "UNAUTHENTICATED",
        "garbage": "UNAUTHENTICATED",
    }.items():
        assert await codes_of(site.publishable, RENEW, token=token) == [code]


async def test_identify_joins_carts_and_open_pages(site: Site) -> None:
    """The open page of the anonymous visitor gets the banner of the united context; its token shows no context any more."""
    visitor_id, anonymous = await site.visit()
    user_id, known = site.known()
    first = await anonymous.track(product_added("cans", "headphones"), ask=True)
    assert first["decisions"][0]["banner"]["headline"] == deals_on("headphones")
    await known.track(product_added("tv", "televisions"), ask=True)
    async with anonymous.frames("websocket", []) as websocket, anonymous.frames("sse", []) as sse:
        await websocket.until(deals_on("headphones"))
        await sse.until(deals_on("headphones"))
        result = await identify(known, token=anonymous.credential)
        await websocket.until(deals_on("televisions"))
        await sse.until(deals_on("televisions"))
    assert (await anonymous.banner(after=result["cursor"]))["banner"]["headline"] == deals_on("televisions")
    assert await codes_of(anonymous, CONTEXT) == ["FORBIDDEN"]
    shown = (await known.run(CONTEXT))["userContext"]
    assert {line["productId"] for line in shown["cart"]} == {"tv", "cans"}
    context = await site.context(user_id)
    assert context["anonymous_ids"] == [visitor_id]
    later = await anonymous.track(event("PRODUCT_VIEWED", product={"productId": "watch", "category": "watches"}))
    assert (await known.banner(after=later["cursor"]))["banner"]["headline"] == deals_on("watches")


async def test_an_anonymous_id_joins_one_user_once(site: Site) -> None:
    """A second identify to another user becomes a dead letter and changes neither of the two; its cursor is still reached."""
    visitor_id, anonymous = await site.visit()
    first_id, first = site.known()
    second_id, _ = site.known()
    await anonymous.track(product_added("phone", "smartphones"))
    await first.banner(after=(await identify(first, token=anonymous.credential))["cursor"])
    before = await site.context_when(first_id, lambda context: len(context["cart"]) == 1)
    since = await site.ends([Topic.DEAD_LETTERS])
    result = await identify(site.secret, user=second_id, anonymous=visitor_id)
    assert result["results"][0]["status"] == "ACCEPTED"
    [letter] = await site.records(since, lambda found: len(found) == 1)
    assert (letter.key, letter.body["code"], letter.body["stage"]) == (visitor_id.encode(), "ALREADY_IDENTIFIED", "context-writer")
    decision = await anonymous.banner(after=result["cursor"])
    assert (decision["fresh"], decision["banner"]["headline"]) == (True, deals_on("smartphones"))
    after = await site.context(first_id)
    assert {**after, "positions": None} == {**before, "positions": None}
    assert await site.context(second_id) == {}


async def test_identify_needs_both_sides_proven(site: Site) -> None:
    """An anonymous id without its token, an anonymous token as the known side, and hidden traits are FORBIDDEN to a visitor."""
    visitor_id, anonymous = await site.visit()
    _, known = site.known()
    assert await codes_of(known, IDENTIFY, message="m", anonymous=visitor_id) == ["FORBIDDEN"]
    assert await codes_of(anonymous, IDENTIFY, message="m") == ["FORBIDDEN"]
    assert await codes_of(known, IDENTIFY, message="m", token=anonymous.credential, traits={"vip": True}) == ["FORBIDDEN"]
    assert await codes_of(known, IDENTIFY, message="m", token=known.credential) == ["BAD_USER_INPUT"]
    assert await codes_of(known, IDENTIFY, message="m", token="forged") == ["UNAUTHENTICATED"]
    user_id, _ = site.known()
    result = await identify(site.secret, user=user_id, traits={"vip": True})
    assert result["results"][0]["status"] == "ACCEPTED"
    assert (await site.context_when(user_id, lambda context: bool(context["traits"])))["traits"] == {"vip": True}


async def test_withdrawn_consent_holds_at_once_while_spark_is_down(site: Site) -> None:
    """NO_CONSENT in the very next answer and in the open page, an empty context; given back within the grace time all returns."""
    visitor_id, visitor = await site.visit()
    assert (await visitor.track(product_added("phone", "smartphones"), ask=True))["decisions"][0]["reason"] == "TARGETING_MATCH"
    async with visitor.frames("sse", []) as frames:
        await frames.until(deals_on("smartphones"))
        async with site.without("context_stream"):
            withdrawn = await consent(visitor, False)
            assert (await visitor.banner())["reason"] == "NO_CONSENT"
            await frames.until("Welcome! Fresh deals every day")
            stored = await site.context(visitor_id)
            empty: dict[str, Any] = {
                "interests": {},
                "cart": [],
                "recent_products": [],
                "banners": {},
                "traits": {},
                "interested_category": None,
            }
            assert {name: stored[name] for name in empty} == empty
            assert stored["consent"] == {"personalization": False, "measurement": None}
            given = await consent(visitor, True)
            assert (await visitor.banner())["banner"]["headline"] == deals_on("smartphones")
        for cursor in (withdrawn["cursor"], given["cursor"]):
            decision = await visitor.banner(after=cursor)
            assert (decision["fresh"], decision["reason"]) == (True, "TARGETING_MATCH")
    assert (await site.context(visitor_id))["version"] == 3


async def test_consent_that_holds_at_once_covers_nothing_before_it(site: Site) -> None:
    """What was sent before it and is not processed yet is not covered by the context: the cursor's answer is not fresh."""
    _, visitor = await site.visit()
    await visitor.track(event("PRODUCT_VIEWED", product={"productId": "p", "category": "tablets"}), ask=True)
    async with site.without("context_writer", orderly=True):
        before = await visitor.track(product_added("phone", "smartphones"))
        await consent(visitor, True)
        decision = await visitor.banner(after=before["cursor"], wait_ms=0)
        assert (decision["fresh"], decision["banner"]["headline"]) == (False, deals_on("tablets"))
    decision = await visitor.banner(after=before["cursor"])
    assert (decision["fresh"], decision["banner"]["headline"]) == (True, deals_on("smartphones"))


async def test_a_deleted_user_starts_anew(site: Site) -> None:
    """The context is empty at once, what the log brings again stays away, and later events count from the beginning."""
    visitor_id, anonymous = await site.visit()
    user_id, known = site.known()
    old = product_added("phone", "smartphones")
    await known.track(old, event("ORDER_COMPLETED", order={"orderId": "o", "value": 5, "currency": "EUR"}), ask=True)
    await anonymous.track(product_added("cans", "headphones"))
    await known.banner(after=(await identify(known, token=anonymous.credential))["cursor"])
    await site.context_when(user_id, lambda context: context["version"] == 4)
    deleted = (await site.secret.run(DELETE, user=user_id, message=str(uuid.uuid4())))["deleteUser"]
    assert deleted["results"] == [{"status": "ACCEPTED"}]
    stored = await site.context(user_id)
    assert (stored["version"], stored["cart"], stored["interests"], stored["purchases"]["count"]) == (0, [], {}, 0)
    assert stored["anonymous_ids"] == []
    assert "headphones" not in json.dumps(await site.context(visitor_id))
    assert (await known.banner(after=deleted["cursor"]))["reason"] == "DEFAULT"
    again = await known.track(old)
    assert (await known.banner(after=again["cursor"]))["reason"] == "DEFAULT"
    fresh = await known.track(product_added("tv", "televisions"), ask=True)
    assert fresh["decisions"][0]["banner"]["headline"] == deals_on("televisions")
    stored = await site.context(user_id)
    assert ([line["product_id"] for line in stored["cart"]], stored["version"]) == (["tv"], 1)


async def test_banner_events_are_counted_by_campaign(site: Site) -> None:
    """BANNER_VIEWED, _CLICKED and _DISMISSED count once each under the campaign that their decision id names."""
    visitor_id, visitor = await site.visit()
    fallback = await visitor.banner()
    result = await visitor.track(product_added("phone", "smartphones"), ask=True)
    shown = result["decisions"][0]["id"]
    viewed = event("BANNER_VIEWED", decisionId=shown)
    await visitor.track(viewed, viewed, event("BANNER_VIEWED", decisionId=shown), event("BANNER_CLICKED", decisionId=shown))
    await visitor.track(event("BANNER_DISMISSED", decisionId=shown), event("BANNER_VIEWED", decisionId=fallback["id"]))
    found = await site.context_when(visitor_id, lambda context: context["version"] == 6)
    counts = found["banners"].pop("interest-deals")
    assert found["banners"] == {}
    assert (counts["views"], counts["clicks"], counts["dismissals"]) == (2, 1, 1)


async def test_a_banner_for_nobody_in_particular_counts_for_whoever_saw_it(site: Site) -> None:
    """A decision that a publishable key got for a page may be named in the events of any visitor."""
    shown = (await site.publishable.banner())["id"]
    _, visitor = await site.visit()
    result = await visitor.track(event("BANNER_VIEWED", decisionId=shown))
    assert result["results"][0]["status"] == "ACCEPTED"


async def test_the_same_message_again_counts_once_also_over_both_ways_in(site: Site) -> None:
    """Sent by the browser and again by the shop's server, in another batch, a message counts once."""
    visitor_id, visitor = await site.visit()
    added = product_added("phone", "smartphones", at_ms=int(time.time() * 1000))
    await visitor.track(added)
    await site.secret.track({**added, "userId": visitor_id}, {**product_added("tv", "televisions"), "userId": visitor_id})

    async def counted() -> bool:
        return len((await site.context(visitor_id)).get("cart", [])) == 2

    await until(counted, lambda: "the second event did not arrive")
    stored = await site.context(visitor_id)
    assert (stored["version"], [line["quantity"] for line in stored["cart"]]) == (2, [1, 1])
