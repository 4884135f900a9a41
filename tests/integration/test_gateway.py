"""The gateway on the real stack: who may do what, what becomes of wrong input, what stands in Kafka."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any, Final

import pytest

from gateway.model.events.topics import SOURCE_TOPICS, Topic
from gateway.model.events.visitor_ids import new_anonymous_id
from local_stack.api import PLACEMENT, Api, event, product_added
from tests.support.stack_site import Site, answer, codes_of, subscription_refusal

pytestmark = pytest.mark.integration

ROOTS: Final = {
    "track": "mutation($u: ID) { track(events: [{messageId: \"m\", type: PAGE_VIEWED, timestamp: \"NOW\", userId: $u}])"
    " { results { status error { field } } } }",
    "banner": 'query($u: ID) { banner(placement: "homepage-hero", userId: $u) { id } }',
    "banners": 'query($u: ID) { banners(placements: ["homepage-hero"], userId: $u) { id } }',
    "userContext": "query($u: ID) { userContext(userId: $u) { version } }",
    "setConsent": 'mutation($u: ID) { setConsent(personalization: true, messageId: "c", userId: $u) { results { status } } }',
    "identify": 'mutation($u: ID) { identify(messageId: "i", userId: $u) { results { status } } }',
    "deleteUser": 'mutation($u: ID) { deleteUser(userId: $u, messageId: "d") { results { status } } }',
    "bannerChanged": 'subscription($u: ID) { bannerChanged(placements: ["homepage-hero"], userId: $u) { id } }',
}  # fmt: skip
VISITORLESS: Final = ("banner", "banners", "bannerChanged")
"""What a publishable key reaches, for nobody in particular."""


async def refusals(api: Api, user_id: str | None) -> dict[str, str]:
    """What each root answers, over each of its transports: an error code, "none", or how the socket was closed."""
    found = {}
    for root, query in ROOTS.items():
        text = query.replace("NOW", event("PAGE_VIEWED")["timestamp"])
        if root == "deleteUser":
            text = text.replace("$u: ID)", "$u: ID!)")
        variables: dict[str, Any] = {"u": user_id or "somebody" if root == "deleteUser" else user_id}
        if root == "bannerChanged":
            for transport in ("websocket", "sse"):
                found[f"{root} by {transport}"] = await subscription_refusal(api, transport, text, **variables)
        else:
            found[root] = (await codes_of(api, text, **variables) or ["none"])[0]
    return found


async def test_without_a_credential_nothing_is_answered(site: Site) -> None:
    """No token: UNAUTHENTICATED, over HTTP, WebSocket and SSE."""
    assert set((await refusals(site.nobody, None)).values()) == {"UNAUTHENTICATED"}


@pytest.mark.parametrize("kind", ["other secret", "expired", "unsigned", "no end", "forged anonymous id", "unknown key", "other scheme"])
async def test_a_forged_or_expired_credential_is_unauthenticated(site: Site, kind: str) -> None:
    """Over HTTP and SSE with that code, over WebSocket by close code 4403 before anything is answered."""
    visitor_id, _ = site.known()
    credential = {
        "other secret": site.token(visitor_id, secret="another secret of more than 32 characters"),
        "expired": site.token(visitor_id, expires_in_s=-1),
        "unsigned": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4IiwiZXhwIjo5OTk5OTk5OTk5fQ.",
        "no end": site.token(visitor_id, exp=None),
        "forged anonymous id": site.token(new_anonymous_id(b"a key of somebody else, 32 characters")),
        "unknown key": "sk_dev_0123456789abcdef",
        "other scheme": "",
    }[kind]
    api = site.nobody.with_credential(credential or "x y")
    found = await refusals(api, None)
    assert found.pop("bannerChanged by websocket") == "closed 4403"
    assert set(found.values()) == {"UNAUTHENTICATED"}


async def test_a_publishable_key_reaches_no_visitor(site: Site) -> None:
    """It answers banners for a page alone; whatever concerns a visitor is FORBIDDEN, named or not."""
    found = await refusals(site.publishable, None)
    assert {root: code for root, code in found.items() if code != "FORBIDDEN"} == {
        root: "none" for root in found if root.split()[0] in VISITORLESS
    }
    assert set((await refusals(site.publishable, "somebody")).values()) == {"FORBIDDEN"}


async def test_a_visitor_token_reaches_its_own_visitor_only(site: Site) -> None:
    """Another user's id, and another anonymous id, is FORBIDDEN everywhere; its own may be named."""
    _, anonymous = await site.visit()
    other, _ = await site.visit()
    visitor_id, known = site.known()
    for api, named in ((anonymous, "somebody"), (anonymous, other), (known, "somebody"), (known, other)):
        assert set((await refusals(api, named)).values()) == {"FORBIDDEN"}
    found = await refusals(known, visitor_id)
    assert {root for root, code in found.items() if code != "none"} == {"deleteUser"}


async def test_a_secret_key_cannot_invent_an_anonymous_visitor(site: Site) -> None:
    """A forged anonymous id is BAD_USER_INPUT; in `track` the event is REJECTED."""
    forged = new_anonymous_id(b"a key of somebody else, 32 characters")
    found = await refusals(site.secret, forged)
    assert found.pop("track") == "none"
    assert set(found.values()) == {"BAD_USER_INPUT"}
    result = await site.secret.track(event("PAGE_VIEWED", userId=forged), product_added("p1", "phones", userId=site.known()[0]))
    assert [one["status"] for one in result["results"]] == ["REJECTED", "ACCEPTED"]
    assert result["results"][0]["error"]["field"] == "userId"
    joining = 'mutation($a: ID) { identify(messageId: "i", userId: "u", anonymousId: $a) { results { status } } }'
    assert await codes_of(site.secret, joining, a=forged) == ["BAD_USER_INPUT"]


async def test_a_failing_field_takes_no_other_answer_away(site: Site) -> None:
    """Queries and mutations with a good and a bad root answer the good one beside the error of the bad one."""
    _, visitor = await site.visit()
    queried = await answer(visitor, '{ good: banner(placement: "homepage-hero") { fresh } bad: userContext(userId: "x") { version } }')
    assert queried["data"] == {"good": {"fresh": True}, "bad": None}
    assert [(one["path"], one["extensions"]["code"]) for one in queried["errors"]] == [(["bad"], "FORBIDDEN")]
    mutated = await answer(
        visitor,
        'mutation { bad: deleteUser(userId: "x", messageId: "d") { serverTime }'
        ' good: setConsent(personalization: true, messageId: "c") { results { status } }'
        ' also: startVisit(token: "forged") { token } }',
    )
    assert mutated["data"] == {"bad": None, "good": {"results": [{"status": "ACCEPTED"}]}, "also": None}
    assert {one["path"][0]: one["extensions"]["code"] for one in mutated["errors"]} == {"bad": "FORBIDDEN", "also": "UNAUTHENTICATED"}


@dataclass(frozen=True)
class Wrong:
    """An event that must be rejected: what differs from a good PRODUCT_ADDED, the field that is named, a word of the remedy."""

    changes: dict[str, Any]
    field: str
    remedy: str
    code: str = "INVALID_VALUE"


GOOD: Final = {"productId": "p1", "category": "smartphones", "price": "19.90", "currency": "EUR"}
HOUR_MS: Final = 3_600_000


def product(**changes: Any) -> dict[str, Any]:
    return {"product": {**GOOD, **changes}}


def of_type(event_type: str, **fields: Any) -> dict[str, Any]:
    return {"type": event_type, "product": None, **fields}


WRONG: Final = {
    "null productId": Wrong(product(productId=None), "product.productId", "required", "REQUIRED"),
    "long productId": Wrong(product(productId="x" * 129), "product.productId", "1 to 128"),
    "control character": Wrong(product(name="a\u0000b"), "product.name", "control characters"),
    "price in words": Wrong(product(price="abc"), "product.price", "such as 19.90"),
    "price below zero": Wrong(product(price=-1), "product.price", "from 0"),
    "price of an object": Wrong(product(price={"a": 1}), "product.price", "such as 19.90"),
    "currency": Wrong(product(currency="euro"), "product.currency", "such as EUR"),
    "quantity zero": Wrong(product(quantity=0), "product.quantity", "from 1 to"),
    "quantity in parts": Wrong(product(quantity=1.5), "product.quantity", "must be an integer"),
    "image address": Wrong(product(imageUrl="h" * 2049), "product.imageUrl", "1 to 2048"),
    "missing product": Wrong({"product": None}, "product", "required", "REQUIRED"),
    "timestamp in words": Wrong({"timestamp": "yesterday"}, "timestamp", "RFC 3339"),
    "timestamp without offset": Wrong({"timestamp": "2026-01-31T12:00:00"}, "timestamp", "offset"),
    "timestamp as a number": Wrong({"timestamp": 1_790_000_000_000}, "timestamp", "RFC 3339"),
    "too old": Wrong({"at": -8 * 24 * HOUR_MS}, "timestamp", "at most 7 days", "TIMESTAMP_TOO_OLD"),
    "two thousand years old": Wrong({"timestamp": "0001-01-01T00:00:00Z"}, "timestamp", "at most 7 days", "TIMESTAMP_TOO_OLD"),
    "too far ahead": Wrong({"at": 2 * 60_000}, "timestamp", "sentAt", "TIMESTAMP_AHEAD"),
    "sequence in words": Wrong({"sequence": "first"}, "sequence", "must be an integer"),
    "sequence below zero": Wrong({"sequence": -1}, "sequence", "from 0"),
    "empty message id": Wrong({"messageId": ""}, "messageId", "1 to 128"),
    "long message id": Wrong({"messageId": "m" * 129}, "messageId", "1 to 128"),
    "long session id": Wrong({"sessionId": "s" * 129}, "sessionId", "1 to 128"),
    "long page title": Wrong({"page": {"title": "t" * 513}}, "page.title", "1 to 512"),
    "large properties": Wrong({"properties": {"a": "x" * 5000}}, "properties", "at most 4096 bytes", "TOO_LARGE"),
    "search without text": Wrong(of_type("PRODUCTS_SEARCHED"), "search", "required", "REQUIRED"),
    "custom without name": Wrong(of_type("CUSTOM"), "name", "required", "REQUIRED"),
    "cart without products": Wrong(of_type("CART_UPDATED"), "products", "required", "REQUIRED"),
    "second product wrong": Wrong(
        of_type("CART_UPDATED", products=[GOOD, {**GOOD, "price": "abc"}]), "products[1].price", "such as 19.90"
    ),
    "too many products": Wrong(of_type("CART_UPDATED", products=[GOOD] * 101), "products", "at most 100", "TOO_LARGE"),
    "order without id": Wrong(of_type("ORDER_COMPLETED", order={"value": 1, "currency": "EUR"}), "order.orderId", "required", "REQUIRED"),
    "order without currency": Wrong(
        of_type("ORDER_COMPLETED", order={"orderId": "o", "value": 1}), "order.currency", "required", "REQUIRED"
    ),
    "banner without decision": Wrong(of_type("BANNER_VIEWED"), "decisionId", "required", "REQUIRED"),
    "unknown decision": Wrong(of_type("BANNER_VIEWED", decisionId="made up"), "decisionId", "send the id of a BannerDecision"),
}  # fmt: skip


def wrong_event(wrong: Wrong) -> dict[str, Any]:
    changes = dict(wrong.changes)
    at_ms = int(time.time() * 1000) + changes.pop("at", 0)
    return event("PRODUCT_ADDED", at_ms=at_ms, product=GOOD) | changes


async def test_wrong_values_reject_their_event_and_no_other(site: Site) -> None:
    """Each is named by its field and remedy; the good event of the same batch is accepted and reaches the context."""
    _, other = await site.visit()
    elsewhere = (await other.banner())["id"]
    table = WRONG | {
        "decision of another": Wrong(of_type("BANNER_CLICKED", decisionId=elsewhere), "decisionId", "another visitor", "FORBIDDEN")
    }
    visitor_id, visitor = await site.visit()
    for number, (name, wrong) in enumerate(table.items()):
        result = await visitor.track(wrong_event(wrong), event("PRODUCT_VIEWED", product={"productId": f"good-{number}"}))
        rejected, accepted = result["results"]
        assert (rejected["status"], accepted["status"], accepted["error"]) == ("REJECTED", "ACCEPTED", None), (name, rejected)
        error = rejected["error"]
        assert (error["field"], error["code"]) == (wrong.field, wrong.code), (name, error)
        assert wrong.remedy in error["message"], (name, error)
        assert "_" not in error["message"].replace("BANNER_*", ""), (name, error)
    found = await site.context_when(visitor_id, lambda context: context["version"] == len(table))
    assert found["recent_products"] == [f"good-{number}" for number in reversed(range(len(table)))]


async def test_numbers_and_numeric_texts_are_taken(site: Site) -> None:
    """A price as text or number, a sequence of Date.now(), a quantity as text: accepted, and exact in the context."""
    visitor_id, visitor = await site.visit()
    now = int(time.time() * 1000)
    result = await visitor.track(
        event("PRODUCT_ADDED", sequence=now, product={**GOOD, "price": "19.90", "quantity": "2"}),
        event("PRODUCT_ADDED", sequence=str(now + 1), product={**GOOD, "productId": "p2", "price": 0.1}),
        event("PRODUCT_ADDED", sequence=float(now + 2), product={**GOOD, "productId": "p3", "price": 5}),
    )
    assert {one["status"] for one in result["results"]} == {"ACCEPTED"}
    found = await site.context_when(visitor_id, lambda context: len(context["cart"]) == 3)
    assert [(line["product_id"], line["quantity"], line["price"]) for line in found["cart"]] == [
        ("p1", 2, "19.90"), ("p2", 1, "0.1"), ("p3", 1, "5"),
    ]  # fmt: skip


async def test_a_clock_that_is_hours_off_is_corrected_by_sent_at(site: Site) -> None:
    """With `sentAt` of the same clock the event is accepted and dated by ours."""
    visitor_id, visitor = await site.visit()
    ahead = event("PRODUCT_ADDED", at_ms=int(time.time() * 1000) + 5 * HOUR_MS, product=GOOD)
    query = "mutation($events: [EventInput!]!, $sent: DateTime) { track(events: $events, sentAt: $sent) { results { status } } }"
    data = await visitor.run(query, events=[ahead], sent=ahead["timestamp"])
    assert data["track"]["results"] == [{"status": "ACCEPTED"}]
    found = await site.context_when(visitor_id, lambda context: context["version"] == 1)
    assert found["updated_at"] < ahead["timestamp"]


TOPICS: Final = {
    "PAGE_VIEWED": Topic.PAGE_VIEWS, "PRODUCTS_SEARCHED": Topic.PAGE_VIEWS, "PRODUCT_LIST_VIEWED": Topic.PAGE_VIEWS,
    "PRODUCT_VIEWED": Topic.PAGE_VIEWS, "BANNER_VIEWED": Topic.PAGE_VIEWS, "PRODUCT_CLICKED": Topic.USER_CLICKS,
    "BANNER_CLICKED": Topic.USER_CLICKS, "BANNER_DISMISSED": Topic.USER_CLICKS, "ORDER_COMPLETED": Topic.PURCHASE_EVENTS,
    "ORDER_REFUNDED": Topic.PURCHASE_EVENTS, "PRODUCT_ADDED": Topic.USER_ACTIONS, "PRODUCT_REMOVED": Topic.USER_ACTIONS,
    "CART_UPDATED": Topic.USER_ACTIONS, "CHECKOUT_STARTED": Topic.USER_ACTIONS, "CUSTOM": Topic.USER_ACTIONS,
}  # fmt: skip


async def test_records_stand_in_the_topic_of_their_type_with_key_and_headers(site: Site) -> None:
    """Keyed by visitor, with CloudEvents headers, the caller's traceparent, and no credential anywhere."""
    visitor_id, visitor = await site.visit()
    decision_id = (await visitor.banner())["id"]
    fields = {"product": GOOD, "products": [GOOD], "search": "usb", "name": "n", "decisionId": decision_id, "order": {"orderId": "o1"}}
    events = [event(event_type, **fields) for event_type in TOPICS]
    since = await site.ends(SOURCE_TOPICS)
    trace = f"00-{uuid.uuid4().hex}-00f067aa0ba902b7-01"
    query = "mutation($events: [EventInput!]!) { track(events: $events) { results { status error { message } } } }"
    response = await site.http.post(
        visitor.url, json={"query": query, "variables": {"events": events}}, headers={**visitor.headers, "traceparent": trace}
    )
    assert {one["status"] for one in response.json()["data"]["track"]["results"]} == {"ACCEPTED"}, response.text
    records = await site.records(since, lambda found: len([r for r in found if r.key == visitor_id.encode()]) == len(events))
    by_message = {record.body["message_id"]: record for record in records}
    assert visitor.credential is not None
    for sent in events:
        record = by_message[sent["messageId"]]
        assert record.topic == TOPICS[sent["type"]]
        assert record.headers == {
            "ce_specversion": b"1.0", "ce_id": sent["messageId"].encode(), "ce_type": sent["type"].encode(),
            "ce_source": b"personalization-gateway", "ce_time": sent["timestamp"].encode(),
            "content-type": b"application/json", "traceparent": trace.encode(),
        }  # fmt: skip
        assert (record.body["type"], record.body["visitor_id"]) == (sent["type"], visitor_id)
        assert visitor.credential.encode() not in record.value
        if sent["type"].startswith("BANNER_"):
            assert record.body["payload"]["decision"]["placement"] == PLACEMENT
