"""Banners by subscription: what is pushed and when, whatever goes away in the middle."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Throttled
from gateway.model.decisions.decide import DecisionReason
from gateway.model.decisions.decision_id import open_decision_id
from gateway.model.decisions.preview_token import ActivePreview, Preview
from gateway.model.decisions.stream import STORE_RETRY_MS
from gateway.model.times import format_time_ms
from gateway.model.trends.codec import Snapshot
from gateway.model.trends.snapshot import TrendingProduct
from gateway.services.banners import RULESET_SPREAD_SECONDS, RULESET_WAIT_SECONDS, TRENDS_SPREAD_SECONDS
from gateway.store.connection import StoreUnavailable
from gateway.store.keys import notice_channel
from tests.support.memory.gateway import TOKEN_SECRET, MemoryGateway
from tests.support.strategies import SETTINGS
from tests.support.virtual_time import START_MS, VirtualTimeLoop, now_ms
from tests.unit.services.pages import (
    ANONYMOUS,
    AT_ONCE_SECONDS,
    BROKEN,
    VISITOR,
    headline,
    headlines,
    opened,
    request,
    rules,
    seconds_of,
    watched,
)

POLL_SECONDS = 20.0
TRENDING = "- {id: hot, placement: side, priority: 5, when: '\"p1\" in trends.products', banner: {headline: Hot}}\n"


@pytest.fixture
async def gateway() -> AsyncIterator[MemoryGateway]:
    async with MemoryGateway(rules(), poll_seconds=POLL_SECONDS, max_subscriptions=2) as gateway:
        yield gateway


def snapshot(number: int, *product_ids: str) -> Snapshot:
    return Snapshot(number, number * 1000, 0, tuple(TrendingProduct(product_id, "tv", 1.0) for product_id in product_ids))


async def test_a_change_is_pushed_at_once_and_only_once(gateway: MemoryGateway) -> None:
    """Every poll afterwards finds what the page shows."""
    async with opened(gateway, request()) as page:
        await asyncio.sleep(1)
        await gateway.add_to_cart(VISITOR, "tv")
        await asyncio.sleep(10 * POLL_SECONDS)
        assert headlines(page) == ["Welcome", "Deals on tv"]
        assert [one.fresh for one in page] == [True, True]
        assert seconds_of(page[-1]) == 1 + AT_ONCE_SECONDS
        assert gateway.metric("gateway_pushes_total") == 2


async def test_only_the_placement_that_changed_is_pushed(gateway: MemoryGateway) -> None:
    """Of several placements of one page."""
    async with opened(gateway, request(VISITOR, "hero", "side")) as page:
        await gateway.add_to_cart(VISITOR, "tv")
        await asyncio.sleep(AT_ONCE_SECONDS)
        assert headlines(page) == ["Welcome", "Aside", "Deals on tv"]


async def test_what_the_page_shows_is_not_sent_again(gateway: MemoryGateway) -> None:
    """It is named by decision ids; a forged one counts as nothing."""
    (shown,) = await gateway.banners.decisions(request(), None, 0)
    async with opened(gateway, request(), [shown.decision_id]) as page, opened(gateway, request(), ["forged"]) as other:
        await asyncio.sleep(POLL_SECONDS)
        assert (headlines(page), headlines(other)) == ([], ["Welcome"])


async def test_a_page_that_is_slow_gets_the_latest_decision(gateway: MemoryGateway) -> None:
    """What it could not take in the meantime is left out."""
    changes = gateway.banners.changes(request(), [])
    assert headline(await anext(changes)) == "Welcome"
    for category in ("tv", "radio", "phones"):
        await gateway.add_to_cart(VISITOR, category)
        await asyncio.sleep(1)
    assert headline(await anext(changes)) == "Deals on phones"
    await changes.aclose()  # type: ignore[attr-defined]  # an async generator, as its callers know it


async def test_a_store_that_goes_away_takes_no_banner_from_an_open_page(gateway: MemoryGateway) -> None:
    """A new page gets the fallback; once the store is back, both get what is right within a second."""
    await gateway.add_to_cart(VISITOR, "tv")
    async with opened(gateway, request()) as page:
        gateway.lose_store()
        gateway.notices.announce(notice_channel(VISITOR))
        async with opened(gateway, request()) as new_page:
            await asyncio.sleep(100)
            assert headlines(page) == ["Deals on tv"]
            assert [(headline(one), one.fresh, one.decision.reason) for one in new_page] == [("Welcome", False, DecisionReason.UNAVAILABLE)]
            gateway.return_store()
            returned_seconds = (now_ms() - START_MS) / 1000
            await asyncio.sleep(STORE_RETRY_MS / 1000)
            assert headlines(page) == ["Deals on tv"]
            assert headlines(new_page) == ["Welcome", "Deals on tv"]
            assert new_page[-1].fresh
            assert seconds_of(new_page[-1]) <= returned_seconds + STORE_RETRY_MS / 1000


async def test_what_changed_while_the_store_was_away_is_pushed_when_it_is_back(gateway: MemoryGateway) -> None:
    """Its notice came when nothing could be read, and no other comes."""
    async with opened(gateway, request()) as page:
        gateway.contexts.reading.stay_away(StoreUnavailable("too slow"))
        await gateway.add_to_cart(VISITOR, "tv")
        await asyncio.sleep(5.5)
        gateway.contexts.reading.recover()
        await asyncio.sleep(STORE_RETRY_MS / 1000)
        assert headlines(page) == ["Welcome", "Deals on tv"]


async def test_a_preview_that_expires_gives_way_to_the_real_decision(gateway: MemoryGateway) -> None:
    """At its last millisecond, although nobody sent a notice; from then on what is sent counts."""
    await gateway.add_to_cart(VISITOR, "tv")
    preview = ActivePreview(Preview(None, None, None, START_MS + 7_000), None)
    async with opened(gateway, request(preview=preview)) as page:
        await asyncio.sleep(6.9)
        assert [one.decision.reason for one in page] == [DecisionReason.PREVIEW]
        await asyncio.sleep(0.2)
        assert [one.decision.reason for one in page] == [DecisionReason.PREVIEW, DecisionReason.TARGETING_MATCH]
        assert seconds_of(page[-1]) == 7.001
        tokens = [open_decision_id(TOKEN_SECRET.encode(), one.decision_id) for one in page]
        assert [token.preview for token in tokens] == [True, False]


async def test_a_preview_expires_while_the_store_is_away(gateway: MemoryGateway) -> None:
    """The page gets its fallback: nothing of the preview counts as shown."""
    await gateway.add_to_cart(VISITOR, "tv")
    preview = ActivePreview(Preview(None, None, None, START_MS + 7_000), None)
    async with opened(gateway, request(preview=preview)) as page:
        await asyncio.sleep(1)
        gateway.lose_store()
        await asyncio.sleep(9)
        gateway.return_store()
        await asyncio.sleep(1)
        assert [one.decision.reason for one in page] == [
            DecisionReason.PREVIEW, DecisionReason.UNAVAILABLE, DecisionReason.TARGETING_MATCH,
        ]  # fmt: skip


async def test_too_many_subscriptions_are_throttled(gateway: MemoryGateway) -> None:
    """The error says when to try again; a page that leaves makes room for another."""
    async with opened(gateway, request()):
        async with opened(gateway, request()):
            with pytest.raises(Throttled) as refusal:
                await anext(gateway.banners.changes(request(), []))
            assert refusal.value.retry_after_ms == 5_000
            assert gateway.metric("gateway_subscriptions") == 2
        async with opened(gateway, request()) as page:
            assert headlines(page) == ["Welcome"]


async def test_an_anonymous_visitor_who_joins_keeps_being_followed(gateway: MemoryGateway) -> None:
    """The open page gets the banner of the known visitor, and then every change of it."""
    await gateway.add_to_cart(VISITOR, "radio")
    async with opened(gateway, request(ANONYMOUS)) as page:
        await asyncio.sleep(1)
        await gateway.write(ANONYMOUS, "IDENTIFY", {"user_id": VISITOR})
        await asyncio.sleep(1)
        assert headlines(page) == ["Welcome", "Deals on radio"]
        assert watched(gateway) == {notice_channel(ANONYMOUS), notice_channel(VISITOR)}
        await gateway.add_to_cart(VISITOR, "tv")
        await asyncio.sleep(AT_ONCE_SECONDS)
        assert headlines(page) == ["Welcome", "Deals on radio", "Deals on tv"]


async def test_a_lost_notice_is_made_up_for_by_the_poll(gateway: MemoryGateway) -> None:
    """Every subscription is looked at that often."""
    async with opened(gateway, request()) as page:
        await asyncio.sleep(1)
        gateway.notices.lose(1)
        await gateway.add_to_cart(VISITOR, "tv")
        await asyncio.sleep(1)
        assert headlines(page) == ["Welcome"]
        await asyncio.sleep(POLL_SECONDS)
        assert headlines(page) == ["Welcome", "Deals on tv"]
        assert seconds_of(page[-1]) <= POLL_SECONDS + AT_ONCE_SECONDS


async def test_what_changed_while_notices_were_lost_is_found_on_the_new_connection(gateway: MemoryGateway) -> None:
    """It marks every watch dirty."""
    async with opened(gateway, request()) as page:
        gateway.notices.disconnect()
        await gateway.add_to_cart(VISITOR, "tv")
        await asyncio.sleep(1)
        assert headlines(page) == ["Welcome"]
        gateway.notices.reconnect()
        await asyncio.sleep(AT_ONCE_SECONDS)
        assert headlines(page) == ["Welcome", "Deals on tv"]


async def test_a_change_during_a_read_is_covered_by_the_next(gateway: MemoryGateway) -> None:
    """The notice comes while the store is slow to answer."""
    async with opened(gateway, request()) as page:
        await gateway.add_to_cart(VISITOR, "radio")
        gateway.contexts.reading.freeze()
        await asyncio.sleep(1)
        await gateway.add_to_cart(VISITOR, "tv")
        gateway.contexts.reading.recover()
        await asyncio.sleep(AT_ONCE_SECONDS)
        assert headlines(page)[-1] == "Deals on tv"


async def test_a_new_ruleset_reaches_every_open_page(gateway: MemoryGateway) -> None:
    """Within half a second, at different times; a page whose decision stays the same is sent nothing."""
    await gateway.add_to_cart(VISITOR, "tv")
    async with opened(gateway, request("nobody")) as page, opened(gateway, request()) as other:
        await gateway.publish(rules("Hello"))
        await asyncio.sleep(RULESET_SPREAD_SECONDS)
        assert headlines(page) == ["Welcome", "Hello"]
        assert headlines(other) == ["Deals on tv"]
        assert page[-1].decision.ruleset_version == gateway.rulesets.current.version


async def test_a_new_snapshot_of_the_trends_reaches_every_open_page(gateway: MemoryGateway) -> None:
    """Within five seconds, if the ruleset uses trends."""
    await gateway.publish(rules(extra=TRENDING))
    async with opened(gateway, request(VISITOR, "side")) as page:
        for number, product_ids in ((1, ["p1"]), (2, [])):
            await gateway.snapshots.save_snapshot(snapshot(number, *product_ids), 0)
            await asyncio.sleep(TRENDS_SPREAD_SECONDS)
        assert headlines(page) == ["Aside", "Hot", "Aside"]
        assert [one.decision.trends_snapshot for one in page] == [0, 1, 2]


async def test_no_page_is_looked_at_again_for_trends_that_the_ruleset_does_not_use(gateway: MemoryGateway) -> None:
    """Not even a read is spent on it."""
    async with opened(gateway, request(VISITOR, "side")):
        reads = gateway.contexts.reading.calls
        await gateway.snapshots.save_snapshot(snapshot(1, "p1"), 0)
        await asyncio.sleep(2 * TRENDS_SPREAD_SECONDS)
        assert (gateway.trends.current.snapshot, gateway.contexts.reading.calls) == (1, reads)


async def test_the_end_of_a_schedule_is_not_waited_for_in_vain(gateway: MemoryGateway) -> None:
    """A millisecond after it, without a notice and before the poll."""
    until = format_time_ms(START_MS + 5_000)
    soon_over = (
        f"- {{id: soon, placement: hero, priority: 9, when: 'true', schedule: {{until: '{until}'}}, banner: {{headline: Soon over}}}}\n"
    )
    await gateway.publish(rules(extra=soon_over))
    async with opened(gateway, request()) as page:
        await asyncio.sleep(6)
        assert headlines(page) == ["Soon over", "Welcome"]
        assert seconds_of(page[-1]) == 5.001


async def test_a_page_rendered_by_a_newer_ruleset_waits_for_it(gateway: MemoryGateway) -> None:
    """Another process rendered it with a version that this one reads a moment later. So the page is not sent an older banner first."""
    async with MemoryGateway(rules(), topic=gateway.topic) as other:
        gateway.versions.reading.freeze()
        await other.publish(rules("Hello"))
        (shown,) = await other.banners.decisions(request(), None, 0)
    async with opened(gateway, request(), [shown.decision_id]) as page:
        await asyncio.sleep(RULESET_WAIT_SECONDS / 2)
        gateway.versions.reading.recover()
        await asyncio.sleep(POLL_SECONDS)
        assert (headlines(page), headline(shown), gateway.rulesets.current.version) == ([], "Hello", 2)


async def test_a_ruleset_that_does_not_come_is_not_waited_for_longer(gateway: MemoryGateway) -> None:
    """After half a second the page is decided by what there is."""
    async with MemoryGateway(rules("Hello")) as other:
        for number in range(3):
            await other.publish(rules(f"Hello {number}"))
        (shown,) = await other.banners.decisions(request(), None, 0)
    async with opened(gateway, request(), [shown.decision_id]) as page:
        await asyncio.sleep(1)
        assert headlines(page) == ["Welcome"]
        assert seconds_of(page[-1]) == RULESET_WAIT_SECONDS


@pytest.mark.parametrize("is_waiting", [True, False])
async def test_a_subscriber_who_goes_away_closes_its_watch(gateway: MemoryGateway, is_waiting: bool) -> None:
    """While the service waits for a change, and while the page has not taken the last decision yet."""
    changes: Any = gateway.banners.changes(request(), [])
    assert headline(await anext(changes)) == "Welcome"
    assert watched(gateway) == {notice_channel(VISITOR)}
    if is_waiting:
        following = asyncio.create_task(anext(changes))
        await asyncio.sleep(1)
        following.cancel()
        await asyncio.wait([following])
    else:
        await changes.aclose()
    assert watched(gateway) == frozenset()
    assert gateway.metric("gateway_subscriptions") == 0


async def test_a_failed_condition_is_counted_and_the_page_keeps_on(gateway: MemoryGateway) -> None:
    """Once for each time it is evaluated."""
    await gateway.publish(rules(extra=BROKEN))
    async with opened(gateway, request()) as page:
        await asyncio.sleep(POLL_SECONDS)
        assert headlines(page) == ["Welcome"]
    assert gateway.metric("gateway_condition_errors_total", campaign="broken") >= 2


happenings = st.lists(
    st.sampled_from(["change", "lose", "store away", "store back", "disconnect", "reconnect", "publish", "join", "wait", "long"]),
    max_size=12,
)


@SETTINGS
@given(happenings)
def test_whatever_happens_the_page_ends_on_what_a_query_answers(happened: list[str]) -> None:
    """And is never sent what it already shows."""

    async def live() -> None:
        async with MemoryGateway(rules(), poll_seconds=POLL_SECONDS) as gateway, opened(gateway, request(ANONYMOUS)) as page:
            for number, what in enumerate(happened):
                await _happen(gateway, what, number)
            gateway.return_store()
            await asyncio.sleep(2 * POLL_SECONDS)
            (answer,) = await gateway.banners.decisions(request(ANONYMOUS), None, 0)
            assert page[-1].decision.content == answer.decision.content
            assert all(one.decision.content != following.decision.content for one, following in itertools.pairwise(page))

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(live())


async def _happen(gateway: MemoryGateway, what: str, number: int) -> None:
    match what:
        case "change" | "join":
            # The context writer waits until the store is back.
            gateway.return_store()
            if what == "join":
                await gateway.write(ANONYMOUS, "IDENTIFY", {"user_id": VISITOR})
            else:
                await gateway.add_to_cart(VISITOR if number % 2 else ANONYMOUS, f"c{number}")
        case "lose":
            gateway.notices.lose(1)
        case "store away":
            gateway.lose_store()
        case "store back":
            gateway.return_store()
        case "disconnect":
            gateway.notices.disconnect()
        case "reconnect":
            gateway.notices.reconnect()
        case "publish":
            await gateway.publish(rules(f"Welcome {number}"))
        case _:
            await asyncio.sleep(POLL_SECONDS if what == "long" else 0.1)
