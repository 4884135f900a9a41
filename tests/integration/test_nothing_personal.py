"""Logs and metrics name nobody: whatever visitors send, well-formed or not, and whatever fails with it."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from gateway.model.events.topics import Topic
from gateway.model.visitors.state_codec import FORMAT
from gateway.store.keys import state_key
from local_stack.api import Api, event, product_added
from local_stack.stack.local_stack import LocalStack
from tests.integration.test_gateway_visitors import CONSENT, CONTEXT, DELETE, identify
from tests.support.stack_site import Site, answer, codes_of, subscription_refusal, until

pytestmark = pytest.mark.integration

ASK: Final = """query($user: ID, $page: PageInput, $preview: String, $after: Cursor) {
  banner(placement: "homepage-hero", userId: $user, page: $page, previewToken: $preview, after: $after) { id } }"""
FOLLOW: Final = """subscription($user: ID, $preview: String) {
  bannerChanged(placements: ["homepage-hero"], userId: $user, previewToken: $preview) { id } }"""
LOOK: Final = """query($user: ID!, $page: PageInput, $context: JSON!) {
  exportUser(userId: $user)
  explain(placement: "homepage-hero", userId: $user, page: $page) { notes }
  preview(placement: "homepage-hero", context: $context) { id } }"""


def everything(marker: str) -> list[dict[str, Any]]:
    """Events with the marker in every field that takes a text."""
    page: dict[str, Any] = dict.fromkeys(("title", "type", "productId", "category"), marker)
    page |= {"url": f"https://shop.example/{marker}", "referrer": f"https://other.example/?q={marker}"}
    product = dict.fromkeys(("productId", "variantId", "sku", "category", "brand", "name", "listId"), marker)
    order: dict[str, Any] = {"orderId": marker, "value": "9.99", "currency": "EUR", "products": [product]}
    common: dict[str, Any] = {"page": page, "sessionId": marker, "properties": {marker: marker}}
    events = [
        event("PAGE_VIEWED", **common),
        event("PRODUCTS_SEARCHED", search=marker, **common),
        event("PRODUCT_ADDED", product=product, **common),
        event("ORDER_COMPLETED", order=order, **common),
        event("CUSTOM", name=marker, **common),
    ]
    return [{**one, "messageId": f"{marker}-{number}"} for number, one in enumerate(events)]


def refused(marker: str) -> list[dict[str, Any]]:
    """Events that are rejected, with the marker in what is wrong with them."""
    return [
        event("PRODUCT_ADDED", messageId=marker, sessionId=marker),
        event("PRODUCTS_SEARCHED", search=marker * 100),
        event("PRODUCT_ADDED", product={"productId": marker, "price": marker}),
        event("BANNER_VIEWED", decisionId=marker),
        event("CUSTOM", name=marker, properties={marker: "x" * 5000}),
    ]


async def ask_wrongly(site: Site, known: Api, user_id: str, marker: str) -> None:
    """Requests that are refused, each with the marker in it."""
    forged = site.token(user_id, secret="another secret of more than 32 characters")
    for api in (known.with_credential(forged), known.with_credential(marker), known.with_credential(f"sk_{marker}{marker}")):
        assert await codes_of(api, CONTEXT) == ["UNAUTHENTICATED"]
        for transport in ("websocket", "sse"):
            assert await subscription_refusal(api, transport, FOLLOW) != "none"
    assert await codes_of(known, FOLLOW.replace("subscription", "query").replace("bannerChanged", f"{marker[:8]}"))
    assert await codes_of(known, ASK, user="somebody-else") == ["FORBIDDEN"]
    assert await codes_of(known, ASK, preview=marker, after=marker)
    assert await codes_of(known, ASK, page={marker: marker})
    for transport in ("websocket", "sse"):
        assert await subscription_refusal(known, transport, FOLLOW, preview=marker) != "none"
    for body in (f"{{{marker}", json.dumps({"query": f"{{ {marker}", "variables": {marker: marker}})):
        await site.http.post(known.url, content=body, headers={**known.headers, "content-type": "application/json"})
    await site.http.get(known.url, params={"query": ASK, "variables": json.dumps({"user": marker})}, headers={"x-user": marker})


@asynccontextmanager
async def refusing(site: Site, visitor_id: str) -> AsyncIterator[None]:
    """While the store holds something under the visitor's key that it refuses to read as a state."""
    await site.redis.delete(state_key(visitor_id))
    await site.redis.lpush(state_key(visitor_id), visitor_id)
    try:
        yield
    finally:
        await site.redis.delete(state_key(visitor_id))


async def test_logs_and_metrics_name_nobody(site: Site, stack: LocalStack, metrics_pages: list[str]) -> None:
    """Neither ids, tokens and keys nor searches, pages, products, orders, traits and message ids: also of what is refused or fails."""
    marker = f"zqx{uuid.uuid4().hex[:12]}"
    user_id = f"{marker}@example.org"
    known = site.nobody.with_credential(site.token(user_id))
    anonymous_id, anonymous = await site.visit()
    since = await site.ends([Topic.DEAD_LETTERS])
    for transport in ("websocket", "sse"):
        async with anonymous.frames(transport, []):
            await anonymous.track(*everything(f"{marker}{transport}"), ask=True)
    rejected = await anonymous.track(*refused(marker))
    assert {result["status"] for result in rejected["results"]} == {"REJECTED"}
    await identify(site.secret, user=user_id, anonymous=anonymous_id, traits={"email": user_id, marker: marker})
    await identify(site.secret, user=f"{marker}-other", anonymous=anonymous_id)
    poison = json.dumps({"message_id": marker, "type": marker, "visitor_id": user_id, "payload": {marker: marker}}).encode()
    await site.write((Topic.USER_ACTIONS, user_id.encode(), value) for value in (poison, marker.encode()))
    await site.records(since, lambda found: len(found) >= 3)
    await site.context_when(user_id, lambda context: context["version"] == 11)
    looked = await answer(site.secret, LOOK, user=user_id, page={"url": f"https://{marker}"}, context={"traits": {marker: marker}})
    assert looked["data"]["exportUser"]["user_id"] == user_id
    await ask_wrongly(site, known, user_id, marker)

    # The store refuses, then holds what is no state, then is well again.
    writer_log, gateway_log = stack.log_path("context_writer"), stack.log_path("gateway")
    async with refusing(site, user_id):
        await known.run(CONSENT, to=True, message=f"{marker}-consent")

        async def is_logged() -> bool:
            return "trying again" in writer_log.read_text(encoding="utf-8").split("context writer ready")[-1]

        await until(is_logged, lambda: "the writer did not tell that the store refuses")
    await site.redis.set(state_key(user_id), bytes(16) + bytes([FORMAT]) + marker.encode())
    await known.track(product_added(marker, marker))
    await site.context_when(user_id, lambda context: 0 < context["version"] < 11)

    async def is_refused() -> bool:
        # The writer may be about to write what it could not write before.
        await site.redis.set(f"context:{user_id}", marker)
        return "errors" in await answer(known, ASK)

    await until(is_refused, lambda: "the gateway took what is no context")
    await site.redis.delete(f"context:{user_id}")
    await site.secret.run(DELETE, user=user_id, message=f"{marker}-delete")

    keys = stack.wiring.keys
    assert anonymous.credential is not None
    assert known.credential is not None
    personal = [marker, anonymous_id, anonymous.credential, known.credential, keys.secret, keys.publishable, keys.token_secret]
    told = {page: (await site.http.get(page)).text for page in metrics_pages}
    told |= {str(path): path.read_text(encoding="utf-8", errors="replace") for path in stack.folder.log.iterdir()}
    for what in ("a state starts over", "dead letter from", "trying again"):
        assert what in told[str(writer_log)]
    assert "could not be applied at once" in told[str(gateway_log)]
    assert 'status="REJECTED"' in told[metrics_pages[0]]
    assert "context_writer_dead_letters_total" in told[metrics_pages[1]]
    for place, text in told.items():
        assert [one for one in personal if one in text] == [], place
