"""The recorded events of a real shop on the real stack: past moments and dry runs, against plain readings of the file and the rules."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.commands.replay import replay_events
from gateway.graphql_http import GraphQLErrors
from gateway.model.events.topics import SOURCE_TOPICS
from gateway.model.times import format_time_ms
from local_stack.api import PLACEMENT, Api, event, product_added
from local_stack.check.replay import shuffled_inputs
from local_stack.project import PROJECT_ROOT
from tests.support.stack_site import Site, until
from tests.support.storefront_reading import HEADLINES, HOME, Row, read_rows, reading, shown

pytestmark = [pytest.mark.integration, pytest.mark.long]

PAIRS: Final = 500
FROM_LOG: Final = 12
AT_ONCE: Final = 8
SHIPPED: Final = PROJECT_ROOT / "examples" / "storefront" / "campaigns.yaml"
EXPLAIN: Final = """query($user: ID, $page: PageInput, $at: DateTime) {
  explain(placement: "homepage-hero", userId: $user, page: $page, at: $at) {
    decision { placement reason campaignId variant contextVersion rulesetVersion decidedAt validUntil banner { id headline } }
    context notes steps { campaignId outcome detail } evidence { field topic partition offset messageId occurredAt } } }"""
IDENTIFY: Final = "mutation($u: ID, $a: ID, $m: ID!) { identify(userId: $u, anonymousId: $a, messageId: $m) { cursor } }"
DELETE: Final = "mutation($u: ID!, $m: ID!) { deleteUser(userId: $u, messageId: $m) { cursor results { status } } }"
CONSENT: Final = "mutation($u: ID!, $m: ID!) { setConsent(personalization: false, userId: $u, messageId: $m) { cursor } }"


@dataclass(frozen=True)
class Replayed:
    """A replay of the file. `received`: by row, when the first of its copies was received."""

    run_id: str
    rows: dict[str, list[Row]]
    received: dict[int, int]


_replays: list[Replayed] = []


@pytest.fixture
async def replayed(site: Site) -> Replayed:
    """The whole file, shuffled within half a minute, every tenth event twice; done once for all tests."""
    if _replays:
        return _replays[0]
    run_id, seed = f"real{uuid.uuid4().hex[:8]}", random.randrange(10**6)
    print(f"replay shuffled with seed {seed}")
    inputs = shuffled_inputs(run_id, seed)
    since = await site.ends([topic.value for topic in SOURCE_TOPICS])
    wiring = site.stack.wiring
    result = await replay_events(site.http, wiring.gateway_url, wiring.keys.secret, inputs, sample_every=0)
    assert result.accepted == len(inputs), result
    records = await site.records(since, lambda found: len(found) >= len(inputs))
    received: dict[int, int] = {}
    for body in (record.body for record in records):
        if body["message_id"].startswith(run_id):
            row = int(body["message_id"].rpartition("-")[2])
            received[row] = min(received.get(row, body["received_at_ms"]), body["received_at_ms"])
    found = Replayed(run_id, read_rows(), received)
    assert len(received) == sum(map(len, found.rows.values()))
    await until(lambda: _is_processed(site, found), lambda: "not all of the replay reached the contexts", within_s=90)
    _replays.append(found)
    return found


async def _is_processed(site: Site, replay: Replayed) -> bool:
    stored = await site.redis.mget([f"context:{replay.run_id}-{user_id}" for user_id in replay.rows])
    counts = [0 if one is None else json.loads(one)["version"] for one in stored]
    return counts == [len(rows) for rows in replay.rows.values()]


@dataclass(frozen=True)
class Pair:
    """A visitor, a moment and a page."""

    visitor_id: str
    at_ms: int
    page: dict[str, str] | None

    @property
    def line(self) -> dict[str, Any]:
        return {"visitor": self.visitor_id, "placement": PLACEMENT, "at": format_time_ms(self.at_ms), "page": self.page}


async def explained(api: Api, pair: Pair) -> dict[str, Any]:
    variables = {"user": pair.visitor_id, "page": pair.page, "at": format_time_ms(pair.at_ms)}
    found: dict[str, Any] = (await api.run(EXPLAIN, **variables))["explain"]
    return found


def random_pairs(replay: Replayed, dice: random.Random) -> list[tuple[str, Pair]]:
    """User and pair: mostly of any visitor, some of those who have more to tell; any moment, often one at which something came."""
    users = sorted(replay.rows)
    busy = [user for user in users if any(row.kind != "view" for row in replay.rows[user])]
    times = sorted(set(replay.received.values()))
    pairs = []
    for _ in range(PAIRS):
        user = dice.choice(dice.choice([users, users, busy]))
        own = [replay.received[row.number] for row in replay.rows[user]]
        at_ms = dice.choice([dice.choice(own), dice.choice(times), dice.randint(times[0] - 100, times[-1])])
        pairs.append((user, Pair(f"{replay.run_id}-{user}", at_ms, dice.choice([HOME, HOME, None]))))
    return pairs


async def test_past_moments_of_the_real_data(site: Site, replayed: Replayed, tmp_path: Path) -> None:
    """500 random (visitor, moment) pairs are what the file and the rules say; the batch over the log tells the same, and more."""
    seed = random.randrange(10**6)
    print(f"pairs drawn with seed {seed}")
    dice = random.Random(seed)
    pairs = random_pairs(replayed, dice)
    slots = asyncio.Semaphore(AT_ONCE)

    async def ask(pair: Pair) -> dict[str, Any]:
        async with slots:
            return await explained(site.secret, pair)

    answers = await asyncio.gather(*(ask(pair) for _, pair in pairs))
    for (user, pair), found in zip(pairs, answers, strict=True):
        check_reading(replayed, user, pair, found)
    campaigns = Counter(found["decision"]["campaignId"] for found in answers)
    assert {"interest-deals", "returning-buyer", None} <= set(campaigns), campaigns

    special = await special_pairs(site)
    asked = [(pair, found) for (_, pair), found in zip(pairs, answers, strict=True)][:FROM_LOG] + [(p, a) for p, a in special if a]
    lines = await from_log(site, tmp_path, [pair for pair, _ in asked] + [pair for pair, answer in special if not answer])
    for (pair, answer), found in zip(asked, lines[: len(asked)], strict=True):
        assert found == answer, pair
    erased, sealed = lines[len(asked) :]
    assert "was erased" in erased["error"]
    assert sealed["context"]["version"] == 1
    assert [one["field"] for one in sealed["evidence"]] == ["interested_category", "cart"]


def check_reading(replay: Replayed, user: str, pair: Pair, found: dict[str, Any]) -> None:
    """An explanation says what the rows say that had been received by then."""
    seen = [row for row in replay.rows[user] if replay.received[row.number] <= pair.at_ms]
    known = reading(seen)
    categories = {row.product_id: row.category for row in seen}
    campaign = shown({product: categories[product] for product in known.cart}, known.orders, known.category, pair.page)
    context = found["context"]
    assert found["decision"]["campaignId"] == campaign, pair
    assert found["decision"]["banner"]["headline"] == HEADLINES[campaign].format(known.category), pair
    assert {line["product_id"]: line["quantity"] for line in context.get("cart", [])} == known.cart, pair
    assert context.get("interested_category") == known.category, pair
    assert context.get("purchases", {}).get("count", 0) == known.orders, pair
    assert context.get("version", 0) == len(seen), pair
    assert found["notes"] == []
    numbers = {f"{replay.run_id}-{row.number}" for row in seen}
    assert {one["messageId"] for one in found["evidence"]} <= numbers, pair
    of_category = [one["messageId"] for one in found["evidence"] if one["field"] == "interested_category"]
    if campaign == "interest-deals":
        assert of_category == [f"{replay.run_id}-{known.category_from}"], pair


async def special_pairs(site: Site) -> list[tuple[Pair, dict[str, Any] | None]]:
    """An anonymous visitor before and after joining, with what the gateway says; and what only the log may know, or must not tell."""
    anonymous_id, anonymous = await site.visit()
    known_id, _ = site.known("joined")
    await anonymous.track(product_added("p1", "headphones"), ask=True)
    cursor = (await site.secret.track(product_added("p2", "smartphones", userId=known_id)))["cursor"]
    await site.secret.banner(user_id=known_id, after=cursor)
    before_ms = _now_ms()
    joined = (await site.secret.run(IDENTIFY, u=known_id, a=anonymous_id, m=uuid.uuid4().hex))["identify"]
    await site.secret.banner(user_id=anonymous_id, after=joined["cursor"])
    both = [Pair(one, at_ms, HOME) for one in (anonymous_id, known_id) for at_ms in (before_ms, _now_ms())]
    special: list[tuple[Pair, dict[str, Any] | None]] = [(pair, await explained(site.secret, pair)) for pair in both]
    assert [found["decision"]["campaignId"] for _, found in special if found] == [
        "interest-deals", "phone-with-headphones", "interest-deals", "phone-with-headphones",
    ]  # fmt: skip
    erased_id, _ = site.known("erased")
    await site.secret.track(product_added("p1", "tv", userId=erased_id))
    erased_ms = _now_ms()
    await site.secret.run(DELETE, u=erased_id, m=uuid.uuid4().hex)
    special.append((Pair(erased_id, erased_ms, HOME), None))
    special.append((await _sealed(site), None))
    for pair, words in ((special[-2][0], "erased"), (special[-1][0], f"processors explain --visitor {special[-1][0].visitor_id}")):
        with pytest.raises(GraphQLErrors, match=words) as refused:
            await explained(site.secret, pair)
        assert refused.value.codes == ["NOT_FOUND"]
    return special


async def _sealed(site: Site) -> Pair:
    """A moment behind the seal of a visitor with more events than a state holds singly."""
    visitor_id, _ = site.known("sealed")
    cursor = (await site.secret.track(product_added("p1", "tv", userId=visitor_id)))["cursor"]
    await site.secret.banner(user_id=visitor_id, after=cursor)
    at_ms = _now_ms()
    # Dated after that moment, by the millisecond: so is then what is sealed.
    views = [
        event("PRODUCT_VIEWED", at_ms=at_ms + 1 + n, userId=visitor_id, product={"productId": f"q{n}", "category": "radio"})
        for n in range(600)
    ]
    for start in range(0, len(views), 100):
        cursor = (await site.secret.track(*views[start : start + 100]))["cursor"]
    await site.secret.banner(user_id=visitor_id, after=cursor)
    return Pair(visitor_id, at_ms, HOME)


async def from_log(site: Site, folder: Path, pairs: list[Pair]) -> list[dict[str, Any]]:
    """What `processors explain` says of some pairs."""
    file = folder / "pairs.jsonl"
    file.write_text("".join(json.dumps(pair.line) + "\n" for pair in pairs), encoding="utf-8")
    done = await command(site, "processors", "explain", "--pairs", str(file), "--json", "--bootstrap", site.stack.wiring.bootstrap)
    assert done.stdout, done.stderr
    assert done.returncode == 1  # one of them was erased
    return [json.loads(line) for line in done.stdout.splitlines()]


async def command(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **site.stack.environment("gateway"), **site.stack.environment("context_stream")}
    run = [sys.executable, "-m", *arguments]
    return await asyncio.to_thread(
        subprocess.run, run, env=environment, capture_output=True, text=True, check=False, timeout=240, cwd=PROJECT_ROOT
    )


def _now_ms() -> int:
    return int((datetime.now(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))


NEW_RULES: Final = (
    SHIPPED.read_text(encoding="utf-8")
    .replace("Exclusive deals on", "Offers of")
    .replace("  - id: interest-deals", "  - id: interest-deals\n    caps: {views: [{max: 1}]}")
    .replace("size(cart) >= 3", "size(cart) >= 2")
)
"""Another headline, a cap of one view, and a condition that more visitors meet."""


async def test_a_dry_run_over_all_contexts(site: Site, replayed: Replayed, tmp_path: Path) -> None:
    """Who would see what, against a plain reading of every context; ids are shown only where that is asked for."""
    new = tmp_path / "new.yaml"
    new.write_text(NEW_RULES, encoding="utf-8")
    wiring = site.stack.wiring
    common = ("gateway", "rules", "dry-run", str(new), "--url", wiring.gateway_url, "--key", wiring.keys.secret)
    done = await command(site, *common, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    changes, visitors = Counter[tuple[str, str]](), 0
    async for key in site.redis.scan_iter(match="context:*", count=1000):
        context = json.loads(await site.redis.get(key) or "{}")
        if "alias_of" in context or not context.get("version"):
            continue
        visitors += 1
        if context["consent"]["personalization"] is False:
            continue
        old, then = campaigns_of(context)
        if old != then or old == "interest-deals":
            changes[old, then] += 1
    report = found["placements"][PLACEMENT]
    assert (found["visitors"], report["decisions"]) == (visitors, visitors)
    assert visitors >= len(replayed.rows)
    assert {(one["now"], one["then"]): one["count"] for one in report["changes"]} == dict(changes)
    examples = [one for change in report["changes"] for one in change["examples"]]
    assert all(len(change["examples"]) == min(5, change["count"]) for change in report["changes"])
    assert {one["then"].split(" ")[0] for one in examples if one["now"].startswith("Exclusive deals on")} <= {"Offers", "Free", "Welcome!"}
    for secret in (replayed.run_id, wiring.keys.secret, wiring.keys.token_secret):
        assert secret not in done.stdout + done.stderr
    named = await command(site, *common, "--sample", "20", "--show-ids", "--against", str(SHIPPED))
    assert "\n20 visitors: " in named.stdout, named.stderr
    assert "a sample: the first 20 visitors" in named.stdout
    assert replayed.run_id in named.stdout


def campaigns_of(context: dict[str, Any]) -> tuple[str, str]:
    """The campaigns of the shipped rules and of the new ones for a context on the home page, read by hand."""
    cart = {line["product_id"] + str(line["variant_id"]): line["category"] for line in context["cart"]}
    orders, category = context["purchases"]["count"], context["interested_category"]
    old = shown(cart, orders, category, HOME) or "(fallback)"
    then = "cart-abundance" if len(cart) >= 2 and not (orders and not cart) else old
    if then == "interest-deals" and context["banners"].get("interest-deals", {}).get("views", 0) >= 1:
        then = "(fallback)"
    return old, then


async def test_a_dry_run_over_the_log(site: Site, tmp_path: Path) -> None:
    """At each page and banner looked at, by the context of then; who joined later, withdrew or was erased, as it was or not at all."""
    new = tmp_path / "new.yaml"
    new.write_text(NEW_RULES, encoding="utf-8")
    start_ms = _now_ms()
    looking = [await site.visit() for _ in range(3)]
    for _, visitor in looking:
        await looks(visitor)
    # One joins a known visitor who has a cart already: two products from then on.
    known_id, _ = site.known("merged")
    cursor = (await site.secret.track(product_added("p9", "radio", userId=known_id)))["cursor"]
    await site.secret.banner(user_id=known_id, after=cursor)
    await site.secret.run(IDENTIFY, u=known_id, a=looking[0][0], m=uuid.uuid4().hex)
    await page_viewed(looking[0][1])
    # One withdraws: the fallback, whatever the rules say. One is erased, after which only what came later counts.
    await site.secret.run(CONSENT, u=looking[1][0], m=uuid.uuid4().hex)
    await page_viewed(looking[1][1])
    await site.secret.run(DELETE, u=looking[2][0], m=uuid.uuid4().hex)
    await page_viewed(looking[2][1])
    window = ("--from", format_time_ms(start_ms), "--to", format_time_ms(_now_ms() + 1), "--placement", PLACEMENT)
    arguments = (str(new), "--in-force", *window, "--json", "--bootstrap", site.stack.wiring.bootstrap)
    done = await command(site, "processors", "dry-run", *arguments)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    report = found["placements"][PLACEMENT]
    # Of two visitors: nothing known, interested, the banner looked at, capped; of one more each: joined, without consent, anew.
    assert (found["visitors"], found["decisions"]) == (3, 2 * 4 + 3)
    assert {(one["now"], one["then"]): one["count"] for one in report["changes"]} == {
        ("interest-deals", "interest-deals"): 4,
        ("interest-deals", "(fallback)"): 2,
        ("interest-deals", "cart-abundance"): 1,
    }
    then = {name: {what: n for what, n in sides["then"].items() if n} for name, sides in report["campaigns"].items()}
    assert then == {
        "interest-deals": {"shown": 4, "capped": 2},
        "(fallback)": {"shown": 2 + 2 + 1},
        "cart-abundance": {"shown": 1},
        "(no consent)": {"shown": 1},
    }
    headlines = {(one["now"], one["then"]) for change in report["changes"] for one in change["examples"]}
    assert ("Exclusive deals on tv and accessories!", "Offers of tv and accessories!") in headlines
    assert not any(visitor_id in done.stdout for visitor_id in (known_id, *(one for one, _ in looking)))


async def looks(visitor: Api) -> None:
    """A page, an interest, the page again, its banner seen, and the page once more."""
    await page_viewed(visitor)
    await visitor.track(product_added("p1", "tv"), ask=True)
    await page_viewed(visitor)
    decision = await visitor.banner()
    assert decision["campaignId"] == "interest-deals"
    await visitor.track(event("BANNER_VIEWED", decisionId=decision["id"], page=HOME))
    await page_viewed(visitor)


async def page_viewed(visitor: Api) -> None:
    result = await visitor.track(event("PAGE_VIEWED", page=HOME))
    assert [one["status"] for one in result["results"]] == ["ACCEPTED"], result
