"""Trends on the real stack: events are counted, snapshots shape decisions and open pages, and explanations repeat them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from aiokafka import AIOKafkaProducer

from gateway.model.events.topics import Topic
from gateway.model.trends.windows import WINDOW_MS, window_of
from gateway.model.visitors.erasure import erasure_key, erasure_value
from gateway.store.keys import trends_snapshot_key, trends_window_key
from local_stack.api import event
from local_stack.project import PROJECT_ROOT
from tests.support.stack_site import Site, codes_of, until

pytestmark = pytest.mark.integration

TRENDING: Final = "query($category: String, $first: Int!) { trending(category: $category, first: $first) { productId category score } }"
PUBLISH: Final = "mutation($yaml: String!) { publishRuleset(yaml: $yaml) { problems { message } } }"
BANNER: Final = """query($user: ID) { banner(placement: "homepage-hero", userId: $user) {
  id campaignId banner { id headline products { productId category } } } }"""
EXPLAIN: Final = """query($id: ID, $at: DateTime, $user: ID) {
  explain(placement: "homepage-hero", decisionId: $id, at: $at, userId: $user) {
  notes decision { id campaignId banner { id } } steps { campaignId outcome detail } } }"""
PREVIEW: Final = """query($context: JSON!) { preview(placement: "homepage-hero", context: $context) {
  banner { products { productId } } } }"""
SHIPPED: Final = (PROJECT_ROOT / "examples" / "storefront" / "campaigns.yaml").read_text(encoding="utf-8")


def new_name() -> str:
    """A category or a prefix of ids that no other test has."""
    return f"t{uuid.uuid4().hex[:8]}"


def viewed(visitor_id: str, product_id: str, category: str, **fields: Any) -> dict[str, Any]:
    return event("PRODUCT_VIEWED", userId=visitor_id, product={"productId": product_id, "category": category}, **fields)


def ordered(visitor_id: str, order_id: str, *product_ids: str, category: str | None = None, **fields: Any) -> dict[str, Any]:
    products = [{"productId": product_id, "category": category} for product_id in product_ids]
    return event("ORDER_COMPLETED", userId=visitor_id, order={"orderId": order_id, "products": products}, **fields)


async def scores(site: Site, category: str) -> dict[str, float]:
    found = (await site.publishable.run(TRENDING, category=category, first=100))["trending"]
    assert {one["category"] for one in found} <= {category}
    return {one["productId"]: one["score"] for one in found}


async def until_trending(site: Site, category: str, *product_ids: str) -> dict[str, float]:
    """The scores once all of these trend."""
    found: dict[str, float] = {}

    async def holds() -> bool:
        nonlocal found
        found = await scores(site, category)
        return found.keys() >= set(product_ids)

    await until(holds, lambda: f"only {found}")
    return found


async def counts(site: Site, since_ms: int) -> dict[tuple[int, str], Any]:
    """What Redis holds of the windows from a moment on, by window and product."""
    found: dict[tuple[int, str], Any] = {}
    for start in range(window_of(since_ms), window_of(int(time.time() * 1000)) + WINDOW_MS, WINDOW_MS):
        held: dict[Any, Any] = await site.redis.hgetall(trends_window_key(start))
        found |= {(start, product_id.decode()): json.loads(raw) for product_id, raw in held.items()}
    return found


@pytest.fixture
async def shipped_again(site: Site) -> AsyncIterator[None]:
    """Other tests rely on the shipped campaigns."""
    yield
    await site.secret.run(PUBLISH, yaml=SHIPPED)


async def test_visitors_are_counted_not_events(site: Site) -> None:
    """A visitor who reloads a hundred times, and an event sent twice, count once; purchases and carts weigh more."""
    category, began_ms = new_name(), int(time.time() * 1000)
    twice = ordered("u1", "o1", "bought", category=category)
    await site.secret.track(twice)
    await site.secret.track(twice)
    await site.secret.track(*[viewed("u1", "reloaded", category) for _ in range(100)])
    await site.secret.track(*[viewed(f"u{n}", "liked", category) for n in range(12)])
    await site.secret.track(event("PRODUCT_ADDED", userId="u2", product={"productId": "added", "category": category}))
    await site.secret.track(viewed("u1", "last", category))
    found = await until_trending(site, category, "bought", "reloaded", "liked", "added", "last")
    held = {product_id: value for (_, product_id), value in (await counts(site, began_ms)).items() if value[3] == category}
    assert {name: held[name][:3] for name in ("reloaded", "bought", "added")} == {
        "reloaded": [1, 0, 0], "bought": [0, 0, 1], "added": [0, 1, 0],
    }  # fmt: skip
    assert found["bought"] > found["liked"] > found["added"] > found["reloaded"]
    assert 11 <= found["liked"] <= 13  # approximate


async def test_trending_takes_any_credential_and_sound_arguments(site: Site) -> None:
    """A publishable key is enough; `first` is from 1 to 100."""
    _, visitor = site.known()
    for api in (visitor, site.publishable, site.secret):
        assert len((await api.run(TRENDING, first=1))["trending"]) <= 1
        assert [await codes_of(api, TRENDING, first=first) for first in (0, 101, -1)] == [["BAD_USER_INPUT"]] * 3
    assert await codes_of(site.nobody, TRENDING, first=1) == ["UNAUTHENTICATED"]
    assert await scores(site, new_name()) == {}


async def test_an_event_dated_ahead_moves_nothing(site: Site) -> None:
    """Not even where its own time in Kafka is forged; what happens afterwards counts as before."""
    category, now_ms = new_name(), int(time.time() * 1000)
    async with AIOKafkaProducer(bootstrap_servers=site.stack.wiring.bootstrap, acks="all") as producer:
        for product_id, ahead_ms, forged_ms in (("ahead", 3_600_000, 0), ("forged", 3_600_000, 3_600_000), ("junk", 0, 0)):
            record = viewed("u1", product_id, category)
            value = {
                "message_id": record["messageId"], "type": "PRODUCT_VIEWED", "visitor_id": "u1", "event_time_ms": now_ms + ahead_ms,
                "received_at_ms": now_ms + ahead_ms, "payload": {"product": {"product_id": product_id, "category": category}},
            }  # fmt: skip
            key = b"u1" if product_id != "junk" else b"somebody else"
            await producer.send_and_wait("page_views", json.dumps(value).encode(), key, timestamp_ms=now_ms + forged_ms)
        await producer.send_and_wait("page_views", b"no JSON at all", b"u1")
    # The watermark of a batch drops what is late from the second batch after it on.
    for n in range(3):
        await site.secret.track(viewed("u1", f"after-{n}", category))
        await until_trending(site, category, f"after-{n}")
    assert (await scores(site, category)).keys() == {"after-0", "after-1", "after-2"}


@pytest.mark.long
async def test_a_killed_stream_goes_on_where_it_was(site: Site) -> None:
    """Windows are as before, and a visitor who was counted before is not counted again in the same window."""
    category, began_ms = new_name(), int(time.time() * 1000)
    # Products of its own: one that another test viewed in the same window may be counted under that test's category.
    products = [f"{category}-p{n}" for n in range(4)]
    events = [viewed(f"u{n}", products[n % 4], category) for n in range(20)]
    await site.secret.track(*events)
    before = await until_trending(site, category, *products)
    async with site.without("context_stream"):
        held = await counts(site, began_ms)
        await site.secret.track(*events)
        await site.secret.track(viewed("u1", f"{category}-while-down", category))
    await site.secret.track(viewed("u1", f"{category}-after", category))
    after = await until_trending(site, category, f"{category}-while-down", f"{category}-after")
    now = await counts(site, began_ms)
    assert {place: now[place] for place in held} == held
    assert {product_id: score for product_id, score in after.items() if product_id in before} == pytest.approx(before, rel=0.05)


async def test_a_snapshot_changes_an_open_page_and_is_explained_by_its_number(site: Site, shipped_again: None) -> None:
    """A decision is repeated by the snapshot it went by, also when another is current; when that is gone, a note says so."""
    category = new_name()
    hot = f"hot-{category}"
    campaign = f"""'"{hot}" in trends.products', banner: {{headline: Hot, products: {{rule: same_category, exclude: []}}}}"""
    yaml = "version: 1\nplacements: {homepage-hero: {fallback: {headline: Calm}}}\ncampaigns:\n- {id: hot, placement: homepage-hero, "
    assert (await site.secret.run(PUBLISH, yaml=f"{yaml}when: {campaign}}}\n"))["publishRuleset"]["problems"] == []
    user, visitor = site.known()
    await visitor.track(event("PRODUCT_CLICKED", product={"productId": "x", "category": category}), ask=True)
    calm = (await visitor.run(BANNER))["banner"]
    async with visitor.frames("websocket", [calm["id"]]) as frames:
        await site.secret.track(*[ordered(f"u{n}", f"o-{category}", hot, category=category) for n in range(30)])
        await frames.until("Hot", 30)
        assert frames.seen[0][0] == "Hot"
    given = (await visitor.run(BANNER))["banner"]
    assert (given["campaignId"], given["banner"]["products"]) == ("hot", [{"productId": hot, "category": category}])
    number = int(await site.metric("gateway_trends_snapshot"))
    await site.secret.track(*[ordered(f"v{n}", f"o-{category}", f"hotter-{category}", category=category) for n in range(60)])
    await until_trending(site, category, f"hotter-{category}")
    newer = (await visitor.run(BANNER))["banner"]
    assert newer["banner"]["id"] != given["banner"]["id"]
    for decision, expected in ((given, "hot"), (newer, "hot"), (calm, None)):
        explained = (await site.secret.run(EXPLAIN, id=decision["id"], user=user))["explain"]
        assert (explained["notes"], explained["decision"]["id"], explained["decision"]["campaignId"]) == ([], decision["id"], expected)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(number))
    then = (await site.secret.run(EXPLAIN, at=at, user=user))["explain"]
    assert (then["notes"], then["decision"]["banner"]["id"]) == ([], given["banner"]["id"])
    await site.redis.delete(trends_snapshot_key(number))
    explained = (await site.secret.run(EXPLAIN, id=given["id"], user=user))["explain"]
    assert f"the trends snapshot {number} is no longer kept: this was decided without trends" in explained["notes"]


async def test_what_is_bought_together_is_shown_together(site: Site, shipped_again: None) -> None:
    """By visitor and day: two orders of one person join, an order sent twice counts once, erased visitors do not count."""
    name = new_name()
    phone, cover, cable, rare, secret, hidden = (f"{kind}-{name}" for kind in ("phone", "cover", "cable", "rare", "secret", "hidden"))
    campaign = "{id: together, placement: homepage-hero, when: 'size(cart) > 0', banner: {headline: T, products: {rule: bought_together}}}"
    yaml = f"version: 1\nplacements: {{homepage-hero: {{fallback: {{headline: F}}}}}}\ncampaigns:\n- {campaign}\n"
    assert (await site.secret.run(PUBLISH, yaml=yaml))["publishRuleset"]["problems"] == []
    user, _ = site.known()
    anonymous_id, anonymous = await site.visit()
    await anonymous.track(event("ORDER_COMPLETED", order={"orderId": f"a-{name}", "products": [{"productId": phone}]}))
    await site.secret.track(ordered(user, f"b-{name}", cover, cable))
    join = "mutation($user: ID!, $anonymous: ID!, $id: ID!) { identify(userId: $user, anonymousId: $anonymous, messageId: $id) { cursor } }"
    await site.secret.run(join, user=user, anonymous=anonymous_id, id=f"i-{name}")
    for n, products in enumerate([(phone, cover), (phone, cover), (phone, cable), (phone, rare), (cable,)]):
        await site.secret.track(ordered(f"{name}-{n}", f"o-{name}", *products))
    erased = [f"{name}-erased-{n}" for n in range(2)]
    for visitor_id in erased:
        await site.secret.track(ordered(visitor_id, f"o-{name}", phone, secret))
        delete = "mutation($id: ID!, $message: ID!) { deleteUser(userId: $id, messageId: $message) { cursor } }"
        await site.secret.run(delete, id=visitor_id, message=f"d-{visitor_id}")
    # Devices of somebody erased who joined, and was erased, in records that are not read any more: only `erasures` tells of them.
    for n in range(2):
        await site.secret.track(ordered(f"{name}-device-{n}", f"o-{name}", phone, hidden))
    key, now_ms = site.stack.wiring.keys.token_secret.encode(), int(time.time() * 1000)
    devices = [erasure_key(key, f"{name}-device-{n}").encode() for n in range(2)]
    await site.write((Topic.ERASURES, device, erasure_value(now_ms)) for device in devices)
    # Sent again, it is still one order, and `rare` still in one basket with the phone.
    await site.secret.track(ordered(f"{name}-3", f"o-{name}", phone, rare))
    await asyncio.to_thread(bought_together, site)
    found: list[str] = []

    async def holds() -> bool:
        nonlocal found
        preview = (await site.secret.run(PREVIEW, context={"cart": [{"product_id": phone}]}))["preview"]
        found = [one["productId"] for one in preview["banner"]["products"]]
        return found == [cover, cable]

    await until(holds, lambda: f"with the phone goes {found}")


def bought_together(site: Site) -> None:
    """Run the batch job to its end."""
    command = [sys.executable, "-m", "processors", "bought-together", "--bootstrap", site.stack.wiring.bootstrap]
    settings = {name: value for name, value in site.stack.environment("gateway").items() if name.startswith("GATEWAY_")}
    subprocess.run(command, env={**site.stack.environment("context_stream"), **settings}, check=True, timeout=300)
