"""Explanations on the real stack: now and of given decisions, against a reading of the log apart from the model.

Past moments are told in `test_real_data`, of real events.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from gateway.graphql_http import GraphQLErrors
from gateway.model.events.cursor import decode_cursor
from gateway.model.events.topics import SOURCE_TOPICS
from gateway.model.times import format_time_ms
from local_stack.api import PLACEMENT, Api, event, product_added
from tests.support.stack_site import Logged, Site, codes_of, until

pytestmark = pytest.mark.integration

VISITORS: Final = 36
ROUNDS: Final = 7
HOME: Final = {"type": "home"}
BANNER: Final = """query($user: ID, $page: PageInput, $after: Cursor, $wait: Int!) {
  banner(placement: "homepage-hero", userId: $user, page: $page, after: $after, maxWaitMs: $wait) {
    id reason campaignId variant contextVersion rulesetVersion cursor decidedAt banner { id headline } } }"""
EXPLAIN: Final = """query($user: ID, $page: PageInput, $at: DateTime, $decision: ID, $placement: ID!) {
  explain(placement: $placement, userId: $user, page: $page, at: $at, decisionId: $decision) {
    decision { id reason campaignId variant contextVersion rulesetVersion cursor decidedAt banner { id headline } }
    context notes steps { campaignId outcome detail } evidence { field topic partition offset messageId occurredAt } } }"""
PUBLISH: Final = "mutation($y: String!) { publishRuleset(yaml: $y) { ruleset { version } problems { message } } }"
CAMPAIGNS: Final = ("returning-buyer", "cart-abundance", "phone-with-headphones", "interest-deals")
CATEGORY_OF: Final = {"a1": "smartphones", "a2": "smartphones", "b1": "headphones", "c1": "tv"}


@dataclass(frozen=True)
class Given:
    """A decision as a page got it."""

    visitor_id: str
    page: dict[str, str] | None
    decision: dict[str, Any]


async def explained(api: Api, **variables: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await api.run(EXPLAIN, **{"placement": PLACEMENT, **variables}))["explain"]
    return found


def expected(records: Iterable[dict[str, Any]], page: dict[str, str] | None) -> str | None:
    """The campaign that the storefront's rules show after these records; written apart from the model."""
    cart: dict[str, int] = {}
    orders, category = 0, None
    for record in sorted(records, key=lambda r: (r["event_time_ms"], r["sequence"] or 0, r["message_id"])):
        payload = record["payload"]
        if record["type"] in ("PRODUCT_VIEWED", "PRODUCT_ADDED"):
            category = payload["product"]["category"]
        if record["type"] == "PRODUCT_ADDED":
            cart[payload["product"]["product_id"]] = cart.get(payload["product"]["product_id"], 0) + 1
        elif record["type"] == "PRODUCT_REMOVED":
            cart.pop(payload["product"]["product_id"], None)
        elif record["type"] == "ORDER_COMPLETED":
            orders += 1
            cart.clear()
    at_home = (page or {}).get("type") == "home"
    in_cart = {CATEGORY_OF[product_id] for product_id in cart}
    if at_home and orders and not cart:
        return "returning-buyer"
    if at_home and len(cart) >= 3:
        return "cart-abundance"
    if at_home and {"smartphones", "headphones"} <= in_cart:
        return "phone-with-headphones"
    return "interest-deals" if category else None


async def shop(site: Site, visitor_id: str, dice: random.Random) -> list[Given]:
    """A visitor's time in the shop: events, some of them late, and banners asked for in between."""
    given: list[Given] = []
    cart: set[str] = set()
    cursor = None
    for _ in range(ROUNDS):
        product_id = dice.choice(sorted(CATEGORY_OF))
        product = {"productId": product_id, "category": CATEGORY_OF[product_id]}
        kind = dice.choice(["add", "add", "add", "late view", "remove", "order"])
        if kind == "late view":
            seen = datetime.now(UTC) - timedelta(minutes=dice.randint(1, 30))
            sent = event("PRODUCT_VIEWED", userId=visitor_id, product=product) | {"timestamp": seen.isoformat()}
        elif kind == "remove":
            sent = event("PRODUCT_REMOVED", userId=visitor_id, product=product)
            cart.discard(product_id)
        elif kind == "order" and cart:
            lines = [{"productId": one, "quantity": 9} for one in sorted(cart)]
            sent = event("ORDER_COMPLETED", userId=visitor_id, order={"orderId": uuid.uuid4().hex, "products": lines})
            cart.clear()
        else:
            sent = event("PRODUCT_ADDED", userId=visitor_id, product=product)
            cart.add(product_id)
        result = await site.secret.track(sent)
        assert [one["status"] for one in result["results"]] == ["ACCEPTED"], result
        cursor = result["cursor"]
        for wait_ms in (0, dice.choice([0, 3000])):
            page = dice.choice([HOME, HOME, {"type": "cart"}, None])
            answer = await site.secret.run(BANNER, user=visitor_id, page=page, after=cursor if wait_ms else None, wait=wait_ms)
            given.append(Given(visitor_id, page, answer["banner"]))
    await site.secret.banner(user_id=visitor_id, after=cursor)
    return given


@pytest.fixture
async def shopped(site: Site) -> tuple[list[Given], dict[str, list[Logged]]]:
    """Decisions given under load, and what the log holds of each visitor."""
    since = await site.ends([topic.value for topic in SOURCE_TOPICS])
    visitors = [site.known("explained")[0] for _ in range(VISITORS)]
    given = [one for many in await asyncio.gather(*(shop(site, v, random.Random(v)) for v in visitors)) for one in many]
    keys = {visitor_id.encode() for visitor_id in visitors}
    records = await site.records(since, lambda found: sum(r.key in keys for r in found) >= VISITORS * ROUNDS)
    return given, {visitor_id: [r for r in records if r.key == visitor_id.encode()] for visitor_id in visitors}


async def test_given_decisions_are_explained(site: Site, shopped: tuple[list[Given], dict[str, list[Logged]]]) -> None:
    """By id exactly what was given, by what the log says had been seen; the evidence stands in the log."""
    given, log = shopped
    assert len({one.decision["campaignId"] for one in given}) >= 3
    for one in given:
        offsets = decode_cursor(one.decision["cursor"]).positions.offsets
        seen = [r for r in log[one.visitor_id] if offsets.get((r.topic, r.partition), -1) >= r.offset]
        campaign = expected([r.body for r in seen], one.page)
        found = await explained(site.secret, user=one.visitor_id, page=one.page, decision=one.decision["id"])
        assert campaign == one.decision["campaignId"]
        assert found["decision"] == one.decision
        # A decision from before anything was processed carries the doubt that it may have been given without the store.
        assert [note for note in found["notes"] if seen or not note.startswith("nothing was known")] == []
        _check_steps(found, campaign)
        _check_evidence(found, seen)


def _check_steps(found: dict[str, Any], campaign: str | None) -> None:
    steps = found["steps"]
    assert [step["campaignId"] for step in steps] == list(CAMPAIGNS)
    won = CAMPAIGNS.index(campaign) if campaign else len(CAMPAIGNS)
    outcomes = ["CONDITION_FALSE"] * won + ["MATCHED"] * (campaign is not None) + ["LOWER_PRIORITY"] * (len(CAMPAIGNS) - won - 1)
    assert [step["outcome"] for step in steps] == outcomes


def _check_evidence(found: dict[str, Any], seen: list[Logged]) -> None:
    by_place = {(r.topic, r.partition, str(r.offset)): r.body for r in seen}
    for one in found["evidence"]:
        record = by_place[one["topic"], one["partition"], one["offset"]]
        assert (one["messageId"], one["occurredAt"]) == (record["message_id"], format_time_ms(record["event_time_ms"]))
    fields = {one["field"] for one in found["evidence"]}
    assert ("cart" in fields) == bool(found["context"].get("cart"))
    if found["decision"]["campaignId"] == "interest-deals":
        assert "interested_category" in fields


async def test_now_is_what_the_banner_says(site: Site) -> None:
    """The same decision, with the false part and the values seen; for nobody in particular, too."""
    visitor_id, _ = site.known("now")
    cursor = (await site.secret.track(product_added("p1", "smartphones", userId=visitor_id)))["cursor"]
    given = (await site.secret.run(BANNER, user=visitor_id, page=HOME, after=cursor, wait=10_000))["banner"]
    found = await explained(site.secret, user=visitor_id, page=HOME)
    same = ("reason", "campaignId", "contextVersion", "banner")
    assert {name: found["decision"][name] for name in same} == {name: given[name] for name in same}
    details = {step["campaignId"]: step["detail"] for step in found["steps"]}
    assert details["cart-abundance"].startswith("`size(cart) >= 3` is false; cart = [{")
    assert details["returning-buyer"] == "`purchases.count >= 1` is false; purchases.count = 0"
    assert {one["field"] for one in found["evidence"]} == {"cart", "interested_category"}
    nobody = await explained(site.secret, page=HOME)
    assert (nobody["decision"]["reason"], nobody["context"], nobody["evidence"]) == ("DEFAULT", {}, [])


async def test_what_cannot_be_explained_is_refused(site: Site) -> None:
    """No secret key, another visitor, another placement, no visitor, both ways at once, what lies ahead, an erased past."""
    visitor_id, visitor = site.known("refused")
    result = await site.secret.track(product_added("p1", "smartphones", userId=visitor_id))
    decision = await site.secret.banner(user_id=visitor_id, after=result["cursor"])
    named = {"placement": PLACEMENT, "user": visitor_id, "decision": decision["id"]}
    assert await codes_of(visitor, EXPLAIN, placement=PLACEMENT) == ["FORBIDDEN"]
    assert await codes_of(site.publishable, EXPLAIN, placement=PLACEMENT) == ["FORBIDDEN"]
    wrong: list[dict[str, Any]] = [
        {"user": "somebody-else"}, {"user": None}, {"placement": "other"}, {"decision": decision["id"][:-2] + "xx"},
        {"at": format_time_ms(0)}, {"at": "2999-01-01T00:00:00Z", "decision": None}, {"at": "yesterday", "decision": None},
    ]  # fmt: skip
    for change in wrong:
        assert await codes_of(site.secret, EXPLAIN, **{**named, **change}) == ["BAD_USER_INPUT"], change
    assert await codes_of(site.secret, EXPLAIN, **named) == []
    erase = "mutation($u: ID!, $m: ID!) { deleteUser(userId: $u, messageId: $m) { results { status } } }"
    await site.secret.run(erase, u=visitor_id, m=uuid.uuid4().hex)
    with pytest.raises(GraphQLErrors, match="erased") as refused:
        await explained(site.secret, **named)
    assert refused.value.codes == ["NOT_FOUND"]
    at = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    assert await codes_of(site.secret, EXPLAIN, placement=PLACEMENT, user=visitor_id, at=at) == ["NOT_FOUND"]


async def test_an_anonymous_visitor_who_joined_later(site: Site) -> None:
    """Its decisions are explained by what it knew alone; afterwards by what the known visitor's context holds."""
    anonymous_id, anonymous = await site.visit()
    visitor_id, _ = site.known("joined")
    before = await anonymous.track(product_added("p1", "headphones"))
    alone = (await anonymous.run(BANNER, page=HOME, after=before["cursor"], wait=10_000))["banner"]
    cursor = (await site.secret.track(product_added("p2", "smartphones", userId=visitor_id)))["cursor"]
    await site.secret.banner(user_id=visitor_id, after=cursor)
    join = "mutation($u: ID, $a: ID, $m: ID!) { identify(userId: $u, anonymousId: $a, messageId: $m) { cursor } }"
    joined = await site.secret.run(join, u=visitor_id, a=anonymous_id, m=uuid.uuid4().hex)
    both = (await site.secret.run(BANNER, user=anonymous_id, page=HOME, after=joined["identify"]["cursor"], wait=10_000))["banner"]
    assert (alone["campaignId"], both["campaignId"]) == ("interest-deals", "phone-with-headphones")
    for given in (alone, both):
        found = await explained(site.secret, user=anonymous_id, page=HOME, decision=given["id"])
        assert (found["decision"], found["notes"]) == (given, [])
    at = await explained(site.secret, user=anonymous_id, page=HOME, at=alone["decidedAt"])
    assert at["decision"]["campaignId"] == "interest-deals"


async def test_consent_is_part_of_the_story(site: Site) -> None:
    """While withdrawn no campaign is considered; its evidence is the answer itself."""
    visitor_id, visitor = site.known("consent")
    cursor = (await visitor.track(product_added("p1", "tv")))["cursor"]
    before = (await visitor.run(BANNER, page=HOME, after=cursor, wait=10_000))["banner"]
    consent = "mutation($m: ID!) { setConsent(personalization: false, messageId: $m) { results { status } } }"
    message_id = uuid.uuid4().hex
    await visitor.run(consent, m=message_id)
    after = (await visitor.run(BANNER, page=HOME, wait=0))["banner"]
    assert after["reason"] == "NO_CONSENT"
    found = await explained(site.secret, user=visitor_id, page=HOME, decision=after["id"])
    assert (found["decision"]["id"], found["decision"]["reason"], found["steps"]) == (after["id"], "NO_CONSENT", [])
    assert [(one["field"], one["messageId"]) for one in found["evidence"]] == [("consent", message_id)]
    earlier = await explained(site.secret, user=visitor_id, page=HOME, decision=before["id"])
    assert earlier["decision"] == before
    past = {"placement": PLACEMENT, "user": visitor_id, "page": HOME, "at": before["decidedAt"]}
    assert await codes_of(site.secret, EXPLAIN, **past) == ["NOT_FOUND"]


async def test_a_decision_by_an_older_ruleset(site: Site) -> None:
    """It is explained by the version that made it, whatever is in force now."""
    visitor_id, _ = site.known("versions")
    cursor = (await site.secret.track(product_added("p1", "tv", userId=visitor_id)))["cursor"]
    given = (await site.secret.run(BANNER, user=visitor_id, page=HOME, after=cursor, wait=10_000))["banner"]
    ruleset = (await site.secret.run("{ ruleset { version yaml } }"))["ruleset"]
    newer = await site.secret.run(PUBLISH, y=ruleset["yaml"].replace("Exclusive deals on", "New deals on"))
    try:
        assert newer["publishRuleset"]["problems"] == []
        now = await explained(site.secret, user=visitor_id, page=HOME)
        assert now["decision"]["banner"]["headline"].startswith("New deals on")
        old = await explained(site.secret, user=visitor_id, page=HOME, decision=given["id"])
        assert (old["decision"], old["notes"]) == (given, [])
        then = await explained(site.secret, user=visitor_id, page=HOME, at=given["decidedAt"])
        assert then["decision"]["banner"] == given["banner"]
    finally:
        await site.secret.run(PUBLISH, y=ruleset["yaml"])


async def test_a_cap_and_what_it_does_not_take_away(site: Site) -> None:
    """A capped campaign is told with its views; the one that a page shows stays, and the explanation says so."""
    visitor_id, visitor = site.known("capped")
    ruleset = (await site.secret.run("{ ruleset { version yaml } }"))["ruleset"]
    capped = ruleset["yaml"].replace("  - id: interest-deals", "  - id: interest-deals\n    caps: {views: [{max: 1}]}")
    assert (await site.secret.run(PUBLISH, y=capped))["publishRuleset"]["problems"] == []
    try:
        cursor = (await visitor.track(product_added("p1", "tv")))["cursor"]
        first = await visitor.banner(after=cursor)
        assert first["campaignId"] == "interest-deals"
        viewed = event("BANNER_VIEWED", decisionId=first["id"])
        cursor = (await visitor.track(viewed))["cursor"]
        again = (await visitor.run(BANNER, after=cursor, wait=10_000))["banner"]
        found = await explained(site.secret, user=visitor_id, decision=again["id"])
        assert (found["decision"], found["notes"]) == (again, [])
        (step,) = [one for one in found["steps"] if one["campaignId"] == "interest-deals"]
        assert (step["outcome"], step["detail"]) == ("CAPPED", "1 views, at most 1")
        assert [one["messageId"] for one in found["evidence"] if one["field"] == "banners"] == [viewed["messageId"]]
        async with visitor.frames("sse", [first["id"]]) as frames:
            await visitor.track(product_added("p2", "headphones"))
            await until(lambda: _is_true(bool(frames.seen)), lambda: "nothing was pushed")
        headline, pushed, _ = frames.seen[-1]
        found = await explained(site.secret, user=visitor_id, decision=pushed)
        assert (found["decision"]["id"], found["decision"]["banner"]["headline"]) == (pushed, headline)
        assert found["notes"] == ["the page already showed this campaign, so its caps did not apply"]
    finally:
        await site.secret.run(PUBLISH, y=ruleset["yaml"])


async def _is_true(value: bool) -> bool:
    return value


async def test_another_page_is_said_to_differ(site: Site) -> None:
    """A decision id does not hold the page: with another one the answer says that this is not what was given."""
    visitor_id, _ = site.known("page")
    events = [product_added(p, "tv", userId=visitor_id) for p in ("p1", "p2", "p3")]
    cursor = (await site.secret.track(*events))["cursor"]
    given = (await site.secret.run(BANNER, user=visitor_id, page=HOME, after=cursor, wait=10_000))["banner"]
    found = await explained(site.secret, user=visitor_id, decision=given["id"])
    assert found["decision"]["campaignId"] == "interest-deals"
    assert found["decision"]["id"] != given["id"]
    assert "cart-abundance" in found["notes"][0]


async def test_the_export_holds_everything(site: Site) -> None:
    """Context and every event with its place; null for a stranger; with a secret key only."""
    query = "query($u: ID!) { exportUser(userId: $u) }"
    anonymous_id, anonymous = await site.visit()
    visitor_id, visitor = site.known("export")
    await anonymous.track(event("PRODUCTS_SEARCHED", search="usb-c"))
    join = 'mutation($u: ID, $a: ID, $m: ID!) { identify(userId: $u, anonymousId: $a, traits: {plan: "gold"}, messageId: $m) { cursor } }'
    cursor = (await site.secret.run(join, u=visitor_id, a=anonymous_id, m=uuid.uuid4().hex))["identify"]["cursor"]
    await site.secret.banner(user_id=anonymous_id, after=cursor)
    cursor = (await site.secret.track(product_added("p1", "tv", userId=visitor_id)))["cursor"]
    await site.secret.banner(user_id=visitor_id, after=cursor)
    found = (await site.secret.run(query, u=visitor_id))["exportUser"]
    assert found["context"] == await site.context(visitor_id)
    kinds = {part: [e["kind"] for e in held["events"]] for part, held in found["state"]["parts"].items()}
    assert kinds == {visitor_id: ["ADD"], anonymous_id: ["SEARCH", "IDENTIFY"]}
    assert found["state"]["parts"][anonymous_id]["events"][0]["search"] == "usb-c"
    assert list(found["aliases"]) == [anonymous_id]
    assert (await site.secret.run(query, u=anonymous_id))["exportUser"]["user_id"] == visitor_id
    assert (await site.secret.run(query, u=site.known()[0]))["exportUser"] is None
    assert await codes_of(visitor, query, u=visitor_id) == ["FORBIDDEN"]


async def test_the_command_prints_the_story(site: Site) -> None:
    """Steps and evidence, readable; a refusal goes to stderr with exit code 1."""
    visitor_id, _ = site.known("command")
    cursor = (await site.secret.track(product_added("p1", "tv", userId=visitor_id)))["cursor"]
    await site.secret.banner(user_id=visitor_id, after=cursor)
    wiring = site.stack.wiring
    common = ["explain", "--placement", PLACEMENT, "--url", wiring.gateway_url, "--key", wiring.keys.secret, "--page", "type=home"]

    async def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gateway", *common, *arguments]
        return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False, timeout=60)

    good = await run("--visitor", visitor_id)
    assert (good.returncode, good.stderr) == (0, "")
    assert f"{PLACEMENT} for {visitor_id}: interest-deals" in good.stdout
    assert "* interest-deals" in good.stdout
    assert "is false" in good.stdout
    assert "user_actions/" in good.stdout
    bad = await run("--visitor", visitor_id, "--at", "2999-01-01T00:00:00Z")
    assert (bad.returncode, bad.stdout) == (1, "")
    assert "BAD_USER_INPUT" in bad.stderr
