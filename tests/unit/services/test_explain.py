"""Explanations by every path: now, at a past time, and of a given decision by each way in which it can have come about."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.errors import BadUserInput, NotFound, Unavailable
from gateway.kafka.ruleset_topic import TopicUnavailable
from gateway.model.decisions.decide import StepOutcome
from gateway.model.decisions.preview_token import ActivePreview, Preview
from gateway.model.trends.codec import Snapshot
from gateway.model.trends.snapshot import TrendingProduct
from gateway.services.banners import BannerRequest, IssuedDecision
from gateway.services.explain import DecisionExplanation
from tests.support.memory.gateway import LOG_EPOCH, MemoryGateway
from tests.support.virtual_time import START_MS, now_ms
from tests.unit.services.pages import ANONYMOUS, AT_ONCE_SECONDS, VISITOR, headline, opened

SALE = {"type": "sale"}


def rules(deals: str = "Deals on", extra: str = "") -> str:
    """A campaign for a page, one for an interest that is shown at most twice, and a fallback in two languages."""
    return f"""version: 1
placements:
  hero: {{fallback: {{headline: Welcome, locales: {{de: {{headline: Willkommen}}}}}}}}
  side: {{fallback: {{headline: Aside}}}}
campaigns:
- {{id: sale, placement: hero, priority: 9, when: 'page.type == "sale"', banner: {{headline: Sale}}}}
- {{id: interest, placement: hero, when: 'interested_category != ""', caps: {{views: [{{max: 2}}]}},
   banner: {{headline: '{deals} {{interested_category}}'}}}}
{extra}"""


TRENDING = "- {id: hot, placement: side, when: '\"p1\" in trends.products', banner: {headline: Hot}}\n"


@pytest.fixture
async def gateway() -> AsyncIterator[MemoryGateway]:
    async with MemoryGateway(rules()) as gateway:
        yield gateway


def request(visitor_id: str | None = VISITOR, page: dict[str, str] | None = None, placement: str = "hero") -> BannerRequest:
    return BannerRequest(visitor_id, (placement,), page)


async def decided(gateway: MemoryGateway, asked: BannerRequest | None = None) -> IssuedDecision:
    (issued,) = await gateway.banners.decisions(asked or request(), None, 0)
    return issued


async def explained(
    gateway: MemoryGateway, decision: IssuedDecision | None = None, *, asked: BannerRequest | None = None, at_ms: int | None = None
) -> DecisionExplanation:
    return await gateway.explanations.explain(asked or request(), None if decision is None else decision.decision_id, at_ms)


async def view_twice(gateway: MemoryGateway) -> None:
    """Reach the cap of the campaign `interest`."""
    for _ in range(2):
        await gateway.write(VISITOR, "BANNER_VIEWED", {"decision": {"placement": "hero", "campaign_id": "interest"}})


async def set_trends(gateway: MemoryGateway, number: int, *product_ids: str, together_version: int = 0) -> None:
    products = tuple(TrendingProduct(product_id, "tv", 1.0) for product_id in product_ids)
    await gateway.snapshots.save_snapshot(Snapshot(number, number * 1000, together_version, products), 0)
    await asyncio.sleep(AT_ONCE_SECONDS)


# Now


async def test_now_is_what_the_banner_says(gateway: MemoryGateway) -> None:
    """With the outcome of each campaign, and the events that it rests on."""
    position = await gateway.add_to_cart(VISITOR, "tv")
    found = await explained(gateway)
    assert headline(found.issued) == headline(await decided(gateway)) == "Deals on tv"
    assert [(step.campaign_id, step.outcome) for step in found.steps] == [
        ("sale", StepOutcome.CONDITION_FALSE), ("interest", StepOutcome.MATCHED),
    ]  # fmt: skip
    assert [one.contribution and one.contribution.position for one in found.evidence if one.field == "interested_category"] == [position]
    assert (found.context["interested_category"], found.notes) == ("tv", [])


async def test_of_an_alias_the_visitor_it_joined_is_explained(gateway: MemoryGateway) -> None:
    """As the banner is."""
    await gateway.write(ANONYMOUS, "IDENTIFY", {"user_id": VISITOR})
    await gateway.add_to_cart(VISITOR, "tv")
    found = await explained(gateway, asked=request(ANONYMOUS))
    assert (headline(found.issued), found.context["user_id"]) == ("Deals on tv", VISITOR)


@pytest.mark.parametrize("visitor_id", [None, VISITOR])
async def test_without_a_visitor_or_a_context_the_page_decides(gateway: MemoryGateway, visitor_id: str | None) -> None:
    """Nothing is stored about either."""
    found = await explained(gateway, asked=request(visitor_id, SALE))
    assert (headline(found.issued), found.context, found.evidence, found.notes) == ("Sale", {}, [], [])


async def test_a_store_that_is_away_explains_nothing(gateway: MemoryGateway) -> None:
    """By none of the paths; a page without a visitor needs none."""
    await gateway.add_to_cart(VISITOR, "tv")
    decision = await decided(gateway)
    gateway.lose_store()
    for given, at_ms in ((None, None), (None, START_MS), (decision, None)):
        with pytest.raises(Unavailable):
            await explained(gateway, given, at_ms=at_ms)
    assert headline((await explained(gateway, asked=request(None))).issued) == "Welcome"


# At a past time


async def test_the_past_is_what_had_been_received_by_then(gateway: MemoryGateway) -> None:
    """And it is decided by the ruleset and at the time of that moment."""
    await gateway.add_to_cart(VISITOR, "radio")
    await asyncio.sleep(10)
    await gateway.add_to_cart(VISITOR, "tv")
    await gateway.publish(rules("New deals on"))
    now, then = [await explained(gateway, at_ms=at_ms) for at_ms in (now_ms(), START_MS + 5_000)]
    assert (headline(now.issued), headline(then.issued)) == ("New deals on tv", "Deals on radio")
    assert (then.issued.decided_at_ms, then.notes) == (START_MS + 5_000, [])


async def test_an_anonymous_visitor_is_its_own_until_it_joined(gateway: MemoryGateway) -> None:
    """Before that it did not see what the known visitor had done."""
    await gateway.add_to_cart(VISITOR, "tv")
    await gateway.write(ANONYMOUS, "PAGE_VIEWED")
    await asyncio.sleep(10)
    await gateway.write(ANONYMOUS, "IDENTIFY", {"user_id": VISITOR})
    before, since = [await explained(gateway, asked=request(ANONYMOUS), at_ms=at_ms) for at_ms in (START_MS + 5_000, now_ms())]
    assert (headline(before.issued), headline(since.issued)) == ("Welcome", "Deals on tv")


async def test_the_future_cannot_be_explained(gateway: MemoryGateway) -> None:
    """The error names the argument."""
    with pytest.raises(BadUserInput) as refusal:
        await explained(gateway, at_ms=now_ms() + 1)
    assert refusal.value.field == "at"


async def test_before_the_first_ruleset_the_first_one_answers(gateway: MemoryGateway) -> None:
    """And says so."""
    found = await explained(gateway, at_ms=START_MS - 1)
    assert "no version of the ruleset was published at that time; this is what version 1 decides" in found.notes


async def test_a_visitor_about_whom_nothing_is_stored_is_noted(gateway: MemoryGateway) -> None:
    """The context may have expired; the log may know more."""
    found = await explained(gateway, at_ms=now_ms())
    assert found.notes == ["nothing is stored about this visitor; if a context expired, read the log instead: processors explain"]


async def test_what_was_erased_cannot_be_explained(gateway: MemoryGateway) -> None:
    """Not even what was held before the erasure."""
    await gateway.add_to_cart(VISITOR, "tv")
    await asyncio.sleep(10)
    await gateway.write(VISITOR, "DELETE")
    with pytest.raises(NotFound, match="was erased"):
        await explained(gateway, at_ms=START_MS + 5_000)


async def test_trends_of_that_time_are_used_if_they_are_kept(gateway: MemoryGateway) -> None:
    """Otherwise a note says that the decision was made without them."""
    await gateway.publish(rules(extra=TRENDING))
    number = START_MS // 1000 + 10
    await asyncio.sleep(10)
    await set_trends(gateway, number, "p1")
    await asyncio.sleep(20)
    await set_trends(gateway, number + 20)
    side = request(placement="side")
    kept = await explained(gateway, asked=side, at_ms=START_MS + 15_000)
    assert (headline(kept.issued), kept.issued.decision.trends_snapshot) == ("Hot", number)
    early = await explained(gateway, asked=side, at_ms=START_MS + 5_000)
    assert "no trends snapshot from that time is kept: this was decided without trends" in early.notes
    gateway.snapshots.expire(number)
    expired = await explained(gateway, asked=side, at_ms=START_MS + 15_000)
    assert f"the trends snapshot {number} is no longer kept: this was decided without trends" in expired.notes


# Of a given decision


async def test_a_decision_is_explained_by_what_it_knew(gateway: MemoryGateway) -> None:
    """Whatever happened since: it is the same decision, with its id and its cursor."""
    await gateway.add_to_cart(VISITOR, "radio")
    decision = await decided(gateway)
    await asyncio.sleep(10)
    await gateway.add_to_cart(VISITOR, "tv")
    await gateway.publish(rules("New deals on"))
    found = await explained(gateway, decision)
    assert (found.issued.decision_id, found.issued.cursor, found.notes) == (decision.decision_id, decision.cursor, [])
    assert found.issued.decision == decision.decision
    assert found.context["interested_category"] == "radio"


async def test_a_campaign_that_the_page_already_showed_is_noted(gateway: MemoryGateway) -> None:
    """Its caps did not apply: the third view came while the page was open."""
    await gateway.add_to_cart(VISITOR, "radio")
    async with opened(gateway, request()) as page:
        await view_twice(gateway)
        await gateway.add_to_cart(VISITOR, "tv")
        await asyncio.sleep(AT_ONCE_SECONDS)
        assert [headline(one) for one in page] == ["Deals on radio", "Deals on tv"]
    found = await explained(gateway, page[-1])
    assert found.notes == ["the page already showed this campaign, so its caps did not apply"]
    assert (headline(found.issued), found.issued.decision_id) == ("Deals on tv", page[-1].decision_id)


async def test_consent_that_had_not_taken_effect_is_noted(gateway: MemoryGateway) -> None:
    """It was received before the decision, and stored after it."""
    await gateway.add_to_cart(VISITOR, "tv")
    withdrawal = gateway.event(VISITOR, "CONSENT", {"personalization": False})
    await asyncio.sleep(1)
    decision = await decided(gateway)
    await gateway.store_event(withdrawal)
    found = await explained(gateway, decision)
    assert found.notes == ["it was decided before the latest answer about consent took effect"]
    assert headline(found.issued) == "Deals on tv"


async def test_a_decision_that_knew_nothing_yet_is_noted(gateway: MemoryGateway) -> None:
    """The event had been received, and was not processed."""
    added = gateway.event(VISITOR, "PRODUCT_ADDED", {"product": {"product_id": "p", "category": "tv"}})
    await asyncio.sleep(1)
    decision = await decided(gateway)
    await gateway.store_event(added)
    found = await explained(gateway, decision)
    (note,) = found.notes
    assert note.startswith("nothing was known about the visitor")
    assert headline(found.issued) == "Welcome"
    later = await explained(gateway, await decided(gateway, request("somebody else")), asked=request("somebody else"))
    assert later.notes == []


async def test_a_fallback_of_a_store_that_was_away_is_noted(gateway: MemoryGateway) -> None:
    """It has no language, so it is not what the page's language would have led to."""
    german = request(page={"locale": "de"})
    await gateway.add_to_cart(VISITOR, "tv")
    gateway.lose_store()
    decision = await decided(gateway, german)
    gateway.return_store()
    found = await explained(gateway, decision, asked=german)
    assert found.notes[-1] == "it was decided while the context store was unavailable: the fallback, without a language"
    assert (headline(found.issued), found.steps, found.issued.decision_id) == ("Welcome", (), decision.decision_id)


@pytest.mark.parametrize(("page", "hint"), [(None, "pass the page"), ({"type": "home"}, "was it another page?")])
async def test_another_page_is_said_to_differ(gateway: MemoryGateway, page: dict[str, str] | None, hint: str) -> None:
    """A decision id does not hold its page. What is explained then has an id of its own."""
    decision = await decided(gateway, request(page=SALE))
    found = await explained(gateway, decision, asked=request(page=page))
    assert found.notes[-1].startswith("this is not the decision that was made, which was campaign sale")
    assert hint in found.notes[-1]
    assert found.issued.decision_id != decision.decision_id


async def test_trends_of_a_decision_are_read_by_their_number(gateway: MemoryGateway) -> None:
    """What is no longer kept is noted: the snapshot, or its products bought together."""
    await gateway.publish(rules(extra=TRENDING))
    side = request(placement="side")
    await gateway.snapshots.save_together(1, {})
    await set_trends(gateway, 10, "p1", together_version=1)
    decision = await decided(gateway, side)
    await set_trends(gateway, 20)
    found = await explained(gateway, decision, asked=side)
    assert (headline(found.issued), found.notes) == ("Hot", [])
    gateway.snapshots.expire_together(1)
    assert (await explained(gateway, decision, asked=side)).notes == [
        "the bought-together list of the trends snapshot 10 is no longer kept"
    ]
    gateway.snapshots.expire(10)
    notes = (await explained(gateway, decision, asked=side)).notes
    assert notes[0] == "the trends snapshot 10 is no longer kept: this was decided without trends"


async def test_a_decision_of_an_expired_context_is_not_found(gateway: MemoryGateway) -> None:
    """The state is gone; the log may know more."""
    await gateway.add_to_cart(VISITOR, "tv")
    decision = await decided(gateway)
    gateway.store.stored.clear()
    with pytest.raises(NotFound, match="the context expired"):
        await explained(gateway, decision)


async def test_a_decision_of_topics_that_were_recreated_is_not_found(gateway: MemoryGateway) -> None:
    """Its positions mean other events now."""
    await gateway.add_to_cart(VISITOR, "tv")
    decision = await decided(gateway)
    await gateway.store_event(gateway.event(VISITOR, "PAGE_VIEWED"), log_epoch=LOG_EPOCH + 1)
    with pytest.raises(NotFound, match="re-created"):
        await explained(gateway, decision)


async def test_a_decision_of_a_version_that_cannot_be_read_is_unavailable(gateway: MemoryGateway) -> None:
    """While the log is away."""
    decision = await decided(gateway)
    for number in range(25):
        await gateway.publish(rules(f"Deals {number}"))
    gateway.versions.caught_up.clear()
    gateway.versions.reading.stay_away(TopicUnavailable("away"))
    with pytest.raises(Unavailable):
        await explained(gateway, decision)


async def preview_id(gateway: MemoryGateway) -> IssuedDecision:
    preview = ActivePreview(Preview(None, None, None, START_MS + 60_000), None)
    (issued,) = await gateway.banners.decisions(BannerRequest(VISITOR, ("hero",), None, preview), None, 0)
    return issued


@pytest.mark.parametrize(
    ("kind", "field", "message"),
    [
        ("forged", "decisionId", "not a decision id"),
        ("placement", "placement", "for the placement side"),
        ("other", "userId", "belongs to another visitor"),
        ("unnamed", "userId", "name the visitor by userId"),
        ("visitorless", "userId", "omit userId"),
        ("preview", "decisionId", "belongs to a preview"),
        ("time", "at", "omit at"),
    ],
)
async def test_a_decision_id_must_fit_the_question(gateway: MemoryGateway, kind: str, field: str, message: str) -> None:
    """Each mistake is named with the argument to change."""
    decision = await decided(gateway)
    given: Any = {
        "forged": ("AAAA", request(), None),
        "placement": ((await decided(gateway, request(placement="side"))).decision_id, request(), None),
        "other": (decision.decision_id, request("another"), None),
        "unnamed": (decision.decision_id, request(None), None),
        "visitorless": ((await decided(gateway, request(None))).decision_id, request(), None),
        "preview": ((await preview_id(gateway)).decision_id, request(), None),
        "time": (decision.decision_id, request(), START_MS),
    }[kind]
    with pytest.raises(BadUserInput, match=message) as refusal:
        await gateway.explanations.explain(given[1], given[0], given[2])
    assert refusal.value.field == field
