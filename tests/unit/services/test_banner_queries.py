"""Banners by query: what is read, how long is waited, and what a store that is away leaves of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.errors import BadUserInput
from gateway.model.decisions.decide import DecisionReason, Inputs
from gateway.model.decisions.decision_id import open_decision_id
from gateway.model.events.cursor import COVERED_AFTER_MS, decode_cursor
from gateway.model.events.positions import Positions
from gateway.services.banners import BACKSTOP_SECONDS, MAX_PLACEMENTS, BannerRequest, IssuedDecision
from gateway.store.connection import StoreUnavailable
from tests.support.memory.gateway import LOG_EPOCH, TOKEN_SECRET, MemoryGateway
from tests.unit.services.pages import (
    ANONYMOUS,
    AT_ONCE_SECONDS,
    BROKEN,
    VISITOR,
    after,
    headline,
    headlines,
    request,
    rules,
    seconds_of,
    watched,
)

WAIT_MS = 10_000


@pytest.fixture
async def gateway() -> AsyncIterator[MemoryGateway]:
    async with MemoryGateway(rules(), max_wait_ms=WAIT_MS) as gateway:
        yield gateway


def waiting(gateway: MemoryGateway, visitor_id: str = VISITOR, wait_ms: int = WAIT_MS) -> asyncio.Task[list[IssuedDecision]]:
    """A query that waits for the first event."""
    return asyncio.create_task(gateway.banners.decisions(request(visitor_id), after(1), wait_ms))


async def test_one_decision_for_each_placement_in_order(gateway: MemoryGateway) -> None:
    """Each is fresh, and counted by its reason."""
    await gateway.add_to_cart(VISITOR, "tv")
    issued = await gateway.banners.decisions(request(VISITOR, "hero", "nowhere", "side"), None, 0)
    assert headlines(issued) == ["Deals on tv", None, "Aside"]
    reasons = [DecisionReason.TARGETING_MATCH, DecisionReason.UNKNOWN_PLACEMENT, DecisionReason.DEFAULT]
    assert [one.decision.reason for one in issued] == reasons
    assert all(one.fresh for one in issued)
    assert [gateway.metric("gateway_decisions_total", reason=reason) for reason in reasons] == [1, 1, 1]


async def test_a_decision_knows_what_it_rests_on(gateway: MemoryGateway) -> None:
    """Its id names placement, campaign, time and cursor; the cursor is that of the context."""
    position = await gateway.add_to_cart(VISITOR, "tv")
    await asyncio.sleep(5)
    (issued,) = await gateway.banners.decisions(request(), None, 0)
    token = open_decision_id(TOKEN_SECRET.encode(), issued.decision_id)
    assert (token.placement, token.campaign_id, token.decided_at_ms, token.preview) == ("hero", "interest", issued.decided_at_ms, False)
    assert seconds_of(issued) == 5
    assert decode_cursor(issued.cursor).positions == Positions.of([position], LOG_EPOCH)


async def test_a_page_without_a_visitor_needs_no_store(gateway: MemoryGateway) -> None:
    """And waits for no cursor."""
    gateway.lose_store()
    (issued,) = await gateway.banners.decisions(request(None), after(1), WAIT_MS)
    assert (headline(issued), issued.fresh, seconds_of(issued)) == ("Welcome", True, 0)


async def test_a_context_that_covers_the_cursor_is_not_waited_for(gateway: MemoryGateway) -> None:
    """It is answered at once."""
    await gateway.add_to_cart(VISITOR, "tv")
    (issued,) = await waiting(gateway)
    assert (issued.fresh, seconds_of(issued)) == (True, 0)


async def test_the_write_that_a_cursor_waits_for_ends_the_wait(gateway: MemoryGateway) -> None:
    """By its notice, at that moment. Then nobody listens any more."""
    query = waiting(gateway)
    await asyncio.sleep(1.1)
    assert watched(gateway)
    await gateway.add_to_cart(VISITOR, "tv")
    (issued,) = await query
    assert (headline(issued), issued.fresh, seconds_of(issued)) == ("Deals on tv", True, 1.1)
    assert watched(gateway) == frozenset()


async def test_a_write_of_something_else_does_not_end_the_wait(gateway: MemoryGateway) -> None:
    """The cursor is of a later event."""
    query = asyncio.create_task(gateway.banners.decisions(request(), after(2), WAIT_MS))
    await gateway.add_to_cart(VISITOR, "radio")
    await asyncio.sleep(2)
    assert not query.done()
    await gateway.add_to_cart(VISITOR, "tv")
    assert headlines(await query) == ["Deals on tv"]


async def test_a_lost_notice_delays_an_answer_by_a_quarter_of_a_second_at_most(gateway: MemoryGateway) -> None:
    """The context is read again that often."""
    query = waiting(gateway)
    await asyncio.sleep(1.1)
    gateway.notices.lose(1)
    await gateway.add_to_cart(VISITOR, "tv")
    (issued,) = await query
    assert (headline(issued), issued.fresh) == ("Deals on tv", True)
    assert 1.1 < seconds_of(issued) <= 1.1 + BACKSTOP_SECONDS


@pytest.mark.parametrize("wait_ms", [0, 700, WAIT_MS])
async def test_a_wait_ends_at_its_limit(gateway: MemoryGateway, wait_ms: int) -> None:
    """With what is known by then, which is not fresh."""
    await gateway.write(VISITOR, "PAGE_VIEWED")
    (issued,) = await gateway.banners.decisions(request(), after(9), wait_ms)
    assert (headline(issued), issued.fresh, seconds_of(issued)) == ("Welcome", False, wait_ms / 1000)
    assert gateway.metric("gateway_stale_answers_total") == 1
    assert watched(gateway) == frozenset()


async def test_an_old_cursor_is_not_waited_for(gateway: MemoryGateway) -> None:
    """Its events were processed long ago, or the context expired."""
    cursor = after(9)
    await asyncio.sleep(COVERED_AFTER_MS / 1000 + 1)
    (issued,) = await gateway.banners.decisions(request(), cursor, WAIT_MS)
    assert (issued.fresh, seconds_of(issued)) == (True, COVERED_AFTER_MS / 1000 + 1)


async def test_a_visitor_who_joins_during_a_wait_is_followed(gateway: MemoryGateway) -> None:
    """The event that the page waits for is stored with the known visitor by then."""
    query = asyncio.create_task(gateway.banners.decisions(request(ANONYMOUS), after(2), WAIT_MS))
    await asyncio.sleep(1)
    await gateway.write(ANONYMOUS, "IDENTIFY", {"user_id": VISITOR})
    await asyncio.sleep(BACKSTOP_SECONDS)
    assert len(watched(gateway)) == 2
    await asyncio.sleep(0.1)
    await gateway.add_to_cart(VISITOR, "tv")
    (issued,) = await query
    assert (headline(issued), issued.fresh, seconds_of(issued)) == ("Deals on tv", True, 1.1 + BACKSTOP_SECONDS)


async def test_a_store_that_is_away_leaves_the_fallbacks(gateway: MemoryGateway) -> None:
    """They are not fresh, and have a reason of their own."""
    await gateway.add_to_cart(VISITOR, "tv")
    gateway.lose_store()
    issued = await gateway.banners.decisions(request(VISITOR, "hero", "side"), None, 0)
    assert headlines(issued) == ["Welcome", "Aside"]
    assert {(one.decision.reason, one.fresh) for one in issued} == {(DecisionReason.UNAVAILABLE, False)}
    gateway.return_store()
    assert headlines(await gateway.banners.decisions(request(), None, 0)) == ["Deals on tv"]


async def test_a_store_that_goes_away_during_a_wait_ends_it(gateway: MemoryGateway) -> None:
    """The next read fails, within a quarter of a second."""
    query = waiting(gateway)
    await asyncio.sleep(1.1)
    gateway.lose_store()
    (issued,) = await query
    assert (issued.decision.reason, issued.fresh, seconds_of(issued)) == (DecisionReason.UNAVAILABLE, False, 1.25)
    assert watched(gateway) == frozenset()


async def test_one_read_that_fails_is_not_tried_again(gateway: MemoryGateway) -> None:
    """Whoever renders a page waits for nobody."""
    gateway.contexts.reading.fail(StoreUnavailable("too slow"))
    first, second = [await gateway.banners.decisions(request(), None, 0) for _ in range(2)]
    assert (first[0].fresh, second[0].fresh) == (False, True)


async def test_a_caller_that_hangs_up_leaves_nothing_behind(gateway: MemoryGateway) -> None:
    """Its watch is closed."""
    query = waiting(gateway)
    await asyncio.sleep(AT_ONCE_SECONDS)
    assert watched(gateway)
    query.cancel()
    await asyncio.wait([query])
    assert watched(gateway) == frozenset()


@pytest.mark.parametrize("cursor", ["garbage", "", "å", 5])
async def test_an_invalid_cursor_is_the_callers_mistake(gateway: MemoryGateway, cursor: str) -> None:
    """The error names the argument."""
    with pytest.raises(BadUserInput) as refusal:
        await gateway.banners.decisions(request(), cursor, 0)
    assert refusal.value.field == "after"


@pytest.mark.parametrize("wait_ms", [-1, WAIT_MS + 1])
async def test_a_wait_beyond_the_setting_is_the_callers_mistake(gateway: MemoryGateway, wait_ms: int) -> None:
    """The error names the limit."""
    with pytest.raises(BadUserInput, match="from 0 to 10000") as refusal:
        await gateway.banners.decisions(request(), None, wait_ms)
    assert refusal.value.field == "maxWaitMs"


@pytest.mark.parametrize("placements", [["p"] * (MAX_PLACEMENTS + 1), [""], ["p" * 257]])
def test_too_many_placements_and_wrong_names_are_the_callers_mistake(placements: list[str]) -> None:
    """Before anything is read."""
    with pytest.raises(BadUserInput) as refusal:
        BannerRequest(VISITOR, tuple(placements), None)
    assert refusal.value.field == "placements"


async def test_a_condition_that_fails_is_counted(gateway: MemoryGateway) -> None:
    """Its campaign is passed over."""
    await gateway.publish(rules(extra=BROKEN))
    await gateway.add_to_cart(VISITOR, "tv")
    assert headlines(await gateway.banners.decisions(request(), None, 0)) == ["Deals on tv"]
    assert gateway.metric("gateway_condition_errors_total", campaign="broken") == 1


async def test_a_preview_of_given_inputs_reads_and_counts_nothing(gateway: MemoryGateway) -> None:
    """Its decision is marked, so that its events are rejected."""
    gateway.lose_store()
    inputs = Inputs({"interested_category": "tv"}, None, 0)
    issued = gateway.banners.preview(gateway.rulesets.current, "hero", inputs)
    assert headline(issued) == "Deals on tv"
    assert open_decision_id(TOKEN_SECRET.encode(), issued.decision_id).preview
    assert gateway.metric("gateway_decisions_total", reason="TARGETING_MATCH") == 0
