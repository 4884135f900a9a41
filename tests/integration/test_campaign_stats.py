"""Campaign statistics by the real batch job over the real log, against a naive reading of the same log."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any, Final

import orjson
import pytest

from gateway.cli import main
from gateway.model.events.topics import SOURCE_TOPICS
from gateway.model.statistics.results import Coverage, StatsRow
from gateway.store.keys import STATS_AS_OF_KEY, STATS_CAMPAIGNS_KEY, campaign_stats_key
from gateway.store.stats import RETENTION_DAYS, CampaignStatsStore
from local_stack.api import event
from local_stack.project import PROJECT_ROOT
from local_stack.stack.local_stack import LocalStack
from tests.integration.test_rulesets import published
from tests.support.naive_stats import DAY_MS, HOUR_MS, Numbers, naive_stats, totals
from tests.support.stack_site import Logged, Site, codes_of

pytestmark = pytest.mark.integration

VISITORS: Final = 300
TOLD: Final = ("views", "clicks", "conversions", "visitors", "converted")
SHIPPED: Final = (PROJECT_ROOT / "examples" / "storefront" / "campaigns.yaml").read_text(encoding="utf-8")
BANNERS: Final = 'query($user: ID!) { banners(placements: ["hero", "side"], userId: $user) { id campaignId variant } }'
IDENTIFY: Final = """mutation($id: ID!, $anonymous: ID!, $message: ID!) {
  identify(userId: $id, anonymousId: $anonymous, messageId: $message) { cursor } }"""
CONSENT: Final = """mutation($id: ID!, $personalization: Boolean!, $measurement: Boolean, $message: ID!) {
  setConsent(userId: $id, personalization: $personalization, measurement: $measurement, messageId: $message) { cursor } }"""
DELETE: Final = "mutation($id: ID!, $message: ID!) { deleteUser(userId: $id, messageId: $message) { cursor results { status } } }"
STATS: Final = """query($id: ID!, $from: DateTime, $to: DateTime) { campaignStats(campaignId: $id, from: $from, to: $to) {
  campaignId asOf from to attributionDays movedVisitors
  sampleRatio { pValue mismatch versionsLeftOut variants { variant observed expected } }
  variants { variant views clicks conversions visitors converted clickRate conversionRate revenue { amount currency }
    clickRateInterval { low high } conversionRateInterval { low high } comparison { control difference pValue interval { low high } }
    clickComparison { control pValue } } } }"""


def rules(name: str, weight: int) -> str:
    """A split with a holdout in one placement, a campaign without a split in another."""
    return f"""version: 1
placements: {{hero: {{fallback: {{headline: Hello}}}}, side: {{fallback: {{headline: Hello}}}}, homepage-hero: {{}}}}
campaigns:
  - id: split-{name}
    placement: hero
    when: 'true'
    holdout: 0.2
    split:
      - {{variant: b, weight: {weight}, banner: {{headline: B}}}}
      - {{variant: a, weight: 1, banner: {{headline: A}}}}
  - {{id: plain-{name}, placement: side, when: 'true', banner: {{headline: Plain}}}}
"""


@pytest.fixture(autouse=True)
async def shipped_again(site: Site) -> AsyncIterator[None]:
    """Other tests rely on the shipped campaigns."""
    yield
    await published(site.secret, SHIPPED)


class Shop:
    """Visitors who look, click and buy through the real gateway, at times of the last days, in any order."""

    def __init__(self, site: Site, chance: random.Random) -> None:
        self._site = site
        self._chance = chance
        self._now_ms = int(time.time() * 1000)
        self.events: list[dict[str, Any]] = []

    async def look(self, visitor_id: str) -> None:
        """Look at both banners once; perhaps click; some reports come twice, some views get lost."""
        chance = self._chance
        found = (await self._site.secret.run(BANNERS, user=visitor_id))["banners"]
        for decision in found:
            seen_ms = self._now_ms - chance.randrange(6 * DAY_MS)
            about = {"userId": visitor_id, "decisionId": decision["id"]}
            viewed = [event("BANNER_VIEWED", at_ms=seen_ms + n, **about) for n in range(chance.choice((1, 1, 1, 2)))]
            clicked = chance.random() < 0.3
            if clicked:
                self.events += [event("BANNER_CLICKED", at_ms=seen_ms + 900 * n, **about) for n in (1, 2)[: chance.choice((1, 1, 2))]]
                viewed = viewed[: chance.choice((0, 1, 2))]
            self.events += viewed
            if viewed and chance.random() < 0.2:
                self.events.append(viewed[0])

    def buy(self, visitor_id: str, order_id: str, *others: str) -> None:
        """Order, perhaps reported by other ids of the person, too, and perhaps given back in part."""
        chance = self._chance
        amount, currency = f"{chance.randrange(100, 20000) / 100:.2f}", chance.choice(("EUR", "USD"))
        at_ms = self._now_ms - chance.randrange(6 * DAY_MS)
        order = {"orderId": order_id, "value": amount, "currency": currency}
        self.events += [event("ORDER_COMPLETED", at_ms=at_ms + n, userId=one, order=order) for n, one in enumerate((visitor_id, *others))]
        if chance.random() < 0.3:
            refund = {"orderId": order_id, "value": "1.5", "currency": currency}
            self.events.append(event("ORDER_REFUNDED", userId=visitor_id, order=refund))

    async def send(self) -> None:
        """Send what happened, shuffled."""
        self._chance.shuffle(self.events)
        for start in range(0, len(self.events), 100):
            result = await self._site.secret.track(*self.events[start : start + 100])
            assert {one["status"] for one in result["results"]} == {"ACCEPTED"}
        self.events = []


async def visit(site: Site, shop: Shop, number: int) -> tuple[str, str | None]:
    """One visitor's days; gives its ids."""
    anonymous_id, _ = await site.visit()
    user_id = site.known("stats")[0] if number % 3 == 0 else None
    for one in (anonymous_id, user_id, anonymous_id)[: 1 + number % 3]:
        if one is not None:
            await shop.look(one)
    if number % 4 == 0:
        others = (user_id,) if user_id is not None else ()
        shop.buy(anonymous_id, f"o-{anonymous_id}", *others)
    if number % 24 == 0 and user_id is not None:
        shop.buy(user_id, f"o2-{anonymous_id}")
    return anonymous_id, user_id


async def answer_consent(site: Site, number: int, visitor_id: str) -> None:
    """Some may not be measured, some took that back, some withdrew only personalization."""
    answers: dict[int, list[tuple[bool, bool | None]]] = {
        1: [(True, False)],
        2: [(True, False), (True, True)],
        3: [(False, None)],
        4: [(True, False), (True, None)],
        5: [(False, True)],
    }
    for personalization, measurement in answers.get(number % 30, []):
        variables = {"personalization": personalization, "measurement": measurement, "message": uuid.uuid4().hex}
        await site.secret.run(CONSENT, id=visitor_id, **variables)


async def erase(site: Site, anonymous_id: str, user_id: str) -> None:
    """Erase a person whose anonymous id has joined."""
    await site.context_when(user_id, lambda context: anonymous_id in context["anonymous_ids"])
    erased = (await site.secret.run(DELETE, id=user_id, message=uuid.uuid4().hex))["deleteUser"]
    assert [one["status"] for one in erased["results"]] == ["ACCEPTED"]


def long_ago(chance: random.Random, campaign: str) -> list[tuple[str, bytes, bytes]]:
    """Records of two months, as a gateway would have written them: long absences, and orders around the end of the window."""
    now_ms = int(time.time() * 1000)
    found = []
    for number in range(60):
        known, anonymous = f"old-{campaign}-{number}", f"anon_old-{campaign}-{number}"
        at_ms = now_ms - 60 * DAY_MS
        for step in range(chance.randrange(5, 30)):
            # Just before, just after, and far from the ends of both windows.
            ends = (7 * DAY_MS, 7 * DAY_MS + 1, 14 * DAY_MS, 14 * DAY_MS + 1)
            at_ms += chance.choice((0, 1, 30_000, DAY_MS, chance.choice(ends), chance.randrange(5 * DAY_MS)))
            if at_ms > now_ms:
                break
            visitor = chance.choice((known, anonymous))
            kind = chance.choice(("BANNER_VIEWED", "BANNER_VIEWED", "BANNER_CLICKED", "ORDER_COMPLETED", "ORDER_REFUNDED", "IDENTIFY"))
            user = chance.choice((known, known, f"other-{campaign}-{number}"))
            if kind == "IDENTIFY":
                payload: dict[str, Any] = {"user_id": user} if visitor == anonymous else {"user_id": known}
            elif kind.startswith("ORDER"):
                order = {"order_id": f"{known}-{chance.randrange(3)}", "value": f"{chance.randrange(99)}.{chance.randrange(10)}"}
                payload = {"order": {**order, "currency": "EUR"}}
            else:
                # One decision has one variant.
                which = chance.randrange(max(1, step))
                about = {"id": f"{known}-{which}", "placement": "p", "campaign_id": campaign}
                payload = {"decision": {**about, "variant": "ab"[which % 5 == 0], "ruleset_version": 1}}
            topic = {"B": "page_views", "O": "purchase_events", "I": "user_actions"}[kind[0]]
            times = {"event_time_ms": at_ms, "received_at_ms": at_ms + chance.randrange(1000), "sequence": None, "session_id": None}
            record = {"message_id": f"{known}-{chance.randrange(200)}", "type": kind, "visitor_id": visitor, "payload": payload, **times}
            found.append((topic, visitor.encode(), orjson.dumps(record)))
    chance.shuffle(found)
    return found


TWICE: Final = """
import sys
from processors import cli
from processors.jobs import campaign_stats
once = campaign_stats.count_and_store
campaign_stats.count_and_store = lambda *given: once(*given) or once(*given)
sys.exit(cli.main(sys.argv[1:]))
"""


def compute(stack: LocalStack, *, twice: bool = False) -> None:
    """Run the batch job to its end, or two in one process, since Spark takes longer to start than the job."""
    program = ["-c", TWICE] if twice else ["-m", "processors"]
    command = [sys.executable, *program, "campaign-stats", "--bootstrap", stack.wiring.bootstrap]
    environment = {**os.environ, **stack.environment("context_stream"), **stack.environment("gateway")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr


async def test_older_hours_stay_and_an_older_run_changes_nothing(site: Site) -> None:
    """Hours before the first one that is counted anew, and all that topics held which were made anew since."""
    store, campaign = CampaignStatsStore(site.redis), f"{{kept}}-{uuid.uuid4().hex[:8]}"
    now = int(time.time() * 1000) // HOUR_MS

    async def save(as_of: int, epoch: int, first: int, *hours: int, began: int = 0) -> dict[int, int]:
        """Store a row in each of some hours, with `as_of` as its views; gives what is stored then."""
        coverage = Coverage((now + as_of) * HOUR_MS, 7, 14, epoch, now + first)
        await store.save({campaign: {now + hour: [StatsRow("a", 1, views=as_of)] for hour in hours}}, coverage, now + began)
        stored = await store.load(campaign)
        assert stored is not None
        return {hour - now: rows[0].views for hour, rows in stored.hours.items()}

    as_of = await site.redis.get(STATS_AS_OF_KEY)
    others = await site.redis.smembers(STATS_CAMPAIGNS_KEY)
    try:
        await site.redis.delete(STATS_CAMPAIGNS_KEY)
        too_old = -24 * RETENTION_DAYS - 1
        assert await save(1, 1, -(10**5), too_old, -9, -8) == {-9: 1, -8: 1}
        assert await save(2, 1, -8, -9, -7) == {-9: 1, -7: 2}
        assert await save(1, 1, -9, -6) == {-9: 1, -7: 2}
        assert await save(3, 2, -(10**5), -9, -7, -6, began=-7) == {-9: 1, -7: 3, -6: 3}
        assert await save(4, 2, -(10**5), -9, -5, began=-7) == {-9: 1, -5: 4}
        assert await save(9, 1, -(10**5), -4) == {-9: 1, -5: 4}
        # A campaign that a run found nothing of has nothing in the hours that it counted.
        await store.save({}, Coverage((now + 5) * HOUR_MS, 7, 14, 2, now - 9), now)
        stored = await store.load(campaign)
        assert stored is not None
        assert list(stored.hours) == [now - 9]
        assert stored.coverage.first_hour == now - 7
    finally:
        await site.redis.delete(campaign_stats_key(campaign), STATS_AS_OF_KEY, STATS_CAMPAIGNS_KEY)
        if as_of is not None:
            await site.redis.set(STATS_AS_OF_KEY, as_of)
        if others:
            await site.redis.sadd(STATS_CAMPAIGNS_KEY, *others)


async def rows_in(site: Site, campaign: str) -> dict[tuple[int, str, int], Numbers]:
    """What the job stored of a campaign."""
    stored = await CampaignStatsStore(site.redis).load(campaign)
    assert stored is not None
    return {(hour, row.variant, row.ruleset_version): numbers(row) for hour, rows in stored.hours.items() for row in rows}


def numbers(row: StatsRow) -> Numbers:
    """A row as the naive reading gives it."""
    sums = row.visitors
    names = {"views": row.views, "clicks": row.clicks, "conversions": row.conversions, "converted": row.converted, "moved": row.moved}
    visitors = {"visitors": sums.visitors, "v": sums.trials, "c": sums.successes}
    squares = {"vv": sums.trials_squared, "cc": sums.successes_squared, "vc": sums.products}
    return Numbers(Counter({**names, **visitors, **squares}), {name: amount for name, amount in row.revenue.items() if amount})


async def a_week(site: Site, chance: random.Random, name: str) -> list[Logged]:
    """All that happens in the test; gives the log of it."""
    before = await site.ends([topic.value for topic in SOURCE_TOPICS])
    await published(site.secret, rules(name, 1))
    assert (await site.secret.run(STATS, id=f"split-{name}"))["campaignStats"] is None
    shop = Shop(site, chance)
    people = await asyncio.gather(*(visit(site, shop, number) for number in range(VISITORS // 2)))
    await published(site.secret, rules(name, 3))
    people += await asyncio.gather(*(visit(site, shop, number) for number in range(VISITORS // 2)))
    await shop.send()
    for number, (anonymous_id, user_id) in enumerate(people):
        await answer_consent(site, number, anonymous_id)
        if user_id is not None and number % 2 == 0:
            await site.secret.run(IDENTIFY, id=user_id, anonymous=anonymous_id, message=uuid.uuid4().hex)
    joined = [(one, user) for one, user in people[::6] if user is not None]
    await site.secret.run(IDENTIFY, id=joined[9][1], anonymous=joined[8][0], message=uuid.uuid4().hex)
    for anonymous_id, user_id in joined[:6]:
        await erase(site, anonymous_id, user_id)
    for _, user_id in joined[:3]:
        await shop.look(user_id)
    await shop.send()
    await site.write(long_ago(chance, f"old-{name}"))
    after = await site.ends([topic.value for topic in SOURCE_TOPICS])
    return await site.records(before, lambda found: len(found) == sum(after.values()) - sum(before.values()))


@pytest.mark.long
async def test_campaign_stats_are_what_a_naive_reading_of_the_log_says(
    site: Site, stack: LocalStack, capsys: pytest.CaptureFixture[str]
) -> None:
    """Duplicates, lost views, logins, consent, erasure, long absences, two versions: to the last row, also after a second run."""
    chance, name = random.Random(5), uuid.uuid4().hex[:8]
    split, plain, old = f"split-{name}", f"plain-{name}", f"old-{name}"
    await site.redis.delete(STATS_AS_OF_KEY)
    log = await a_week(site, chance, name)
    expected = naive_stats(log, attribution_days=7, return_days=14)
    await asyncio.to_thread(compute, stack, twice=True)
    for campaign in (split, plain, old):
        assert await rows_in(site, campaign) == expected[campaign]

    # The data must hold what the test is about.
    kinds = totals(expected[old])
    assert min(one.counts["conversions"] for one in kinds.values()) > 5
    assert sum(one.counts["moved"] for one in kinds.values()) > 5
    assert kinds["a"].counts["visitors"] > 60  # more than there are people: some came back
    await check_answers(site, split, expected[split])
    code = await asyncio.to_thread(main, ["stats", split, "--url", stack.wiring.gateway_url, "--key", stack.wiring.keys.secret])
    printed = capsys.readouterr().out
    assert (code, "conversion rate, compared with holdout" in printed) == (0, True)
    print(printed)


async def check_answers(site: Site, campaign: str, expected: dict[tuple[int, str, int], Numbers]) -> None:
    """`campaignStats` adds the rows up, of all time and of some hours."""
    found = (await site.secret.run(STATS, id=campaign))["campaignStats"]
    assert [one["variant"] for one in found["variants"]] == ["b", "a", "holdout"]
    assert told(found) == totals(expected, TOLD)
    hours = sorted({hour for hour, _, _ in expected})
    assert found["from"] == rfc3339(hours[0] * HOUR_MS)
    assert found["attributionDays"] == 7
    assert found["movedVisitors"] == sum(one.counts["moved"] for one in expected.values())
    assert found["sampleRatio"]["versionsLeftOut"] == []
    assert {one["variant"]: one["observed"] for one in found["sampleRatio"]["variants"]} == {
        variant: one.counts["visitors"] for variant, one in totals(expected).items()
    }
    for one in found["variants"]:
        assert one["clickRateInterval"]["low"] <= one["clickRate"] <= one["clickRateInterval"]["high"]
        assert (one["comparison"] is None) == (one["variant"] == "holdout")
    begin, end = hours[len(hours) // 3], hours[2 * len(hours) // 3]
    part = {"from": rfc3339(begin * HOUR_MS + 1), "to": rfc3339(end * HOUR_MS - 1)}
    some = (await site.secret.run(STATS, id=campaign, **part))["campaignStats"]
    assert (some["from"], some["to"]) == (rfc3339(begin * HOUR_MS), rfc3339(end * HOUR_MS))
    assert told(some) == totals({key: one for key, one in expected.items() if begin <= key[0] < end}, TOLD)
    assert await codes_of(site.secret, STATS, id=campaign, **{"from": part["to"], "to": part["from"]}) == ["BAD_USER_INPUT"]
    assert await codes_of(site.secret, STATS, id=campaign, to="yesterday") == ["BAD_USER_INPUT"]
    assert await codes_of(site.secret, STATS, id="nobody") == ["NOT_FOUND"]
    assert await codes_of(site.publishable, STATS, id=campaign) == ["FORBIDDEN"]


def told(found: dict[str, Any]) -> dict[str, Numbers]:
    """The numbers of an answer by variant."""
    return {
        one["variant"]: Numbers(
            Counter({name: one[name] for name in TOLD}), {money["currency"]: Decimal(money["amount"]) for money in one["revenue"]}
        ).only(TOLD)
        for one in found["variants"]
    }


def rfc3339(time_ms: int) -> str:
    """A time as the API writes it."""
    moment = time.gmtime(time_ms // 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", moment) + f".{time_ms % 1000:03d}Z"
