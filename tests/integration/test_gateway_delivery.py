"""Delivery on the real stack: cursors, subscriptions, and both while the context store is away."""

from __future__ import annotations

import asyncio
import base64
import itertools
import time
from contextlib import AsyncExitStack
from typing import Any, Final

import pytest

from gateway.graphql_http import GraphQLErrors
from local_stack.api import Api, Frames, deals_on, event, product_added
from tests.support.stack_site import Site, codes_of, until

pytestmark = pytest.mark.integration

FALLBACK: Final = "Welcome! Fresh deals every day"
AFTER: Final = 'query($after: Cursor, $wait: Int!) { banner(placement: "homepage-hero", after: $after, maxWaitMs: $wait) { fresh } }'
READS: Final = "gateway_context_reads_count"


def headlines(frames: Frames) -> list[str]:
    return [headline for headline, _, _ in frames.seen]


async def test_a_cursor_is_waited_for(site: Site) -> None:
    """While the writer is away: the old banner with fresh:false, at once or after the wait; then the new one, in the open request."""
    _, visitor = await site.visit()
    await visitor.track(product_added("p", "tablets"), ask=True)
    async with site.without("context_writer", orderly=True):
        cursor = (await visitor.track(product_added("phone", "smartphones")))["cursor"]
        started = time.monotonic()
        decision = await visitor.banner(after=cursor, wait_ms=0)
        assert (decision["fresh"], decision["banner"]["headline"]) == (False, deals_on("tablets"))
        decision = await visitor.banner(after=cursor, wait_ms=400)
        assert (decision["fresh"], decision["banner"]["headline"]) == (False, deals_on("tablets"))
        assert 0.4 <= time.monotonic() - started < 2
        waiting = asyncio.create_task(visitor.banner(after=cursor))
    decision = await waiting
    assert (decision["fresh"], decision["banner"]["headline"]) == (True, deals_on("smartphones"))


async def test_a_cursor_of_another_visitor_waits_no_longer_than_allowed(site: Site) -> None:
    """A cursor is no secret and no key: with it a visitor still sees its own banner only, not fresh."""
    _, one = await site.visit()
    _, other = await site.visit()
    cursor = (await one.track(product_added("phone", "smartphones"), ask=True))["cursor"]
    decision = await other.banner(after=cursor, wait_ms=50)
    assert (decision["fresh"], decision["reason"]) == (False, "DEFAULT")


@pytest.mark.parametrize(
    "cursor", ["garbage", "", "å", "A" * 5000, base64.b64encode(b"\x93\x01\x02\x03").decode(), 5, ["x"], {"a": 1}, True]
)
async def test_a_cursor_of_garbage_is_bad_user_input(site: Site, cursor: Any) -> None:
    """Whatever its form, it names the field and harms nothing."""
    _, visitor = await site.visit()
    assert await codes_of(visitor, AFTER, after=cursor, wait=0) == ["BAD_USER_INPUT"]


@pytest.mark.parametrize("wait_ms", [-1, 10_001])
async def test_a_wait_beyond_the_limit_is_bad_user_input(site: Site, wait_ms: int) -> None:
    """maxWaitMs goes from 0 to the setting's limit."""
    _, visitor = await site.visit()
    assert await codes_of(visitor, AFTER, wait=wait_ms) == ["BAD_USER_INPUT"]


async def test_decisions_and_cursor_need_a_batch_of_one_visitor(site: Site) -> None:
    """A batch of several visitors is stored, has no cursor, and answers `decisions` with an error beside the results."""
    batch = [{**product_added("p", "tablets"), "userId": site.known()[0]} for _ in range(2)]
    result = await site.secret.track(*batch)
    assert ([one["status"] for one in result["results"]], result["cursor"]) == (["ACCEPTED", "ACCEPTED"], None)
    with pytest.raises(GraphQLErrors, match="BAD_USER_INPUT"):
        await site.secret.track(*batch, ask=True)


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_shown_suppresses_the_first_frame(site: Site, transport: str) -> None:
    """What the page shows already is not sent; what differs from it is; an id of garbage counts as not shown."""
    _, visitor = await site.visit()
    first = (await visitor.track(product_added("p", "tablets"), ask=True))["decisions"][0]["id"]
    async with visitor.frames(transport, [first]) as same, visitor.frames(transport, ["garbage"]) as nothing:
        await nothing.until(deals_on("tablets"))
        await visitor.track(product_added("phone", "smartphones"))
        await same.until(deals_on("smartphones"))
        assert headlines(same) == [deals_on("smartphones")]
    async with visitor.frames(transport, [first]) as old:
        await old.until(deals_on("smartphones"))
        assert headlines(old) == [deals_on("smartphones")]


async def test_the_latest_decision_wins(site: Site) -> None:
    """Of a burst of changes a page ends on the last one, is sent no banner twice in a row, and none after it."""
    _, visitor = await site.visit()
    async with visitor.frames("websocket", []) as websocket, visitor.frames("sse", []) as sse:
        burst = [event("PRODUCT_VIEWED", sequence=n, product={"productId": str(n), "category": f"c{n}"}) for n in range(60)]
        at = burst[0]["timestamp"]
        parts = [burst[start : start + 20] for start in range(0, 60, 20)]
        results = [await visitor.track(*({**one, "timestamp": at} for one in part)) for part in parts]
        await visitor.banner(after=results[-1]["cursor"])
        for frames in (websocket, sse):
            await frames.until(deals_on("c59"))
            seen = headlines(frames)
            assert seen[-1] == deals_on("c59")
            assert all(one != following for one, following in itertools.pairwise(seen))


async def test_valkey_away_means_fallbacks_and_then_the_right_banner(site: Site) -> None:
    """Events are still accepted; an open page keeps its banner and a new one gets the fallback until the store is back."""
    _, visitor = await site.visit()
    await visitor.track(product_added("p", "tablets"), ask=True)
    async with AsyncExitStack() as pages:
        open_page = await pages.enter_async_context(visitor.frames("websocket", []))
        await open_page.until(deals_on("tablets"))
        async with site.without("valkey"):
            decision = await visitor.banner()
            assert (decision["reason"], decision["fresh"], decision["banner"]["headline"]) == ("UNAVAILABLE", False, FALLBACK)
            assert await codes_of(visitor, "{ userContext { version } }") == ["UNAVAILABLE"]
            result = await visitor.track(product_added("phone", "smartphones"), ask=True)
            assert [one["status"] for one in result["results"]] == ["ACCEPTED"]
            assert (result["decisions"][0]["reason"], result["decisions"][0]["fresh"]) == ("UNAVAILABLE", False)
            new_page = await pages.enter_async_context(visitor.frames("sse", []))
            await new_page.until(FALLBACK)
            ready = await site.http.get(f"{site.stack.wiring.gateway_url}/readyz")
            assert (ready.status_code, list(ready.json()["problems"])) == (503, ["redis"])
        for frames in (open_page, new_page):
            await frames.until(deals_on("smartphones"))
        assert headlines(new_page) in ([FALLBACK, deals_on("smartphones")], [FALLBACK, deals_on("tablets"), deals_on("smartphones")])
        assert headlines(open_page) == [deals_on("tablets"), deals_on("smartphones")]
    decision = await visitor.banner(after=result["cursor"])
    assert (decision["fresh"], decision["banner"]["headline"]) == (True, deals_on("smartphones"))


async def test_pages_that_come_back_together_read_together(site: Site) -> None:
    """No thundering: when the store returns, all open pages are looked at again by a few joined reads, and none is sent anything."""
    visits = [await site.visit() for _ in range(20)]
    shown = [(api, (await api.banner())["id"]) for _, api in visits]
    async with AsyncExitStack() as pages:
        frames = [await pages.enter_async_context(api.frames("websocket", [first])) for api, first in shown for _ in range(3)]
        await _all_are_open(site, len(frames))
        async with site.without("valkey"):
            await until(lambda: _is_unavailable(visits[0][1]), lambda: "valkey still answers")
        reconnects = await site.metric("gateway_notice_reconnects_total")
        reads = await site.metric(READS)
        await until(lambda: _is_fresh(visits[0][1]), lambda: "valkey does not answer")
        for _, api in visits:
            await api.track(product_added("phone", "smartphones"))
        for one in frames:
            await one.until(deals_on("smartphones"))
        assert reconnects >= 1
        # One read for each event of the twenty visitors, and some joined ones after the reconnection.
        assert await site.metric(READS) - reads < len(frames)
        assert [headlines(one) for one in frames] == [[deals_on("smartphones")]] * len(frames)


async def _all_are_open(site: Site, count: int) -> None:
    async def enough() -> bool:
        return await site.metric("gateway_subscriptions") >= count

    await until(enough, lambda: f"fewer than {count} subscriptions are open")


async def _is_fresh(api: Api) -> bool:
    return bool((await api.banner())["fresh"])


async def _is_unavailable(api: Api) -> bool:
    return not await _is_fresh(api)
