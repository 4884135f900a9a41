"""The main scenario: a phone is put into the cart, and every page shows the banner that follows."""

from __future__ import annotations

import asyncio
import html
import json
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
from redis.asyncio import Redis

from local_stack.api import Api, Frames, deals_on, event, product_added
from local_stack.console import say
from local_stack.stack.info import StackInfo

ATTEMPTS = 200
VISITORS = 4
LATE_MS = 3_600_000


class CheckFailed(Exception):
    """Something was not as expected; the text says what."""


@dataclass
class Check:
    """A running check: the stack, clients of it, and the push latencies measured so far, in milliseconds."""

    info: StackInfo
    http: httpx.AsyncClient
    redis: Redis
    push_ms: list[float] = field(default_factory=list)

    @property
    def publishable(self) -> Api:
        """A client with the publishable key."""
        return Api(self.http, self.info.gateway.url, self.info.keys.publishable)

    @property
    def secret(self) -> Api:
        """A client with the secret key."""
        return Api(self.http, self.info.gateway.url, self.info.keys.secret)

    async def context(self, visitor_id: str) -> dict[str, Any] | None:
        """The context in Redis, read without the gateway; None if there is none."""
        stored = await self.redis.get(f"context:{visitor_id}")
        return None if stored is None else json.loads(stored)


def require(is_true: bool, expectation: str) -> None:
    """Raise CheckFailed with `expectation` unless `is_true`."""
    if not is_true:
        raise CheckFailed(expectation)


async def run_scenario(check: Check) -> None:
    """Run all steps in order. Raises CheckFailed at the first one that fails."""
    visitor_id, visitor = await check.publishable.start_visit()
    first = await visitor.banner()
    require(first["reason"] == "DEFAULT" and first["banner"] is not None, f"a new visitor must see the fallback, not {first}")
    say(f'  a new visitor sees the fallback "{first["banner"]["headline"]}"')
    async with visitor.frames("websocket", [first["id"]]) as websocket, visitor.frames("sse", [first["id"]]) as sse:
        await _phone_into_the_cart(check, visitor, websocket, sse)
    await _pages_and_context(check, visitor_id, visitor)
    await _late_and_repeated(check, visitor_id, visitor)
    await _own_writes(check)
    ordered = sorted(check.push_ms)
    say(f"  push latency, event sent to frame received, {len(ordered)} pushes: {_percentiles(ordered)}")


async def _phone_into_the_cart(check: Check, visitor: Api, websocket: Frames, sse: Frames) -> None:
    wanted = deals_on("smartphones")
    sent = time.monotonic()
    result = await visitor.track(product_added("phone-1", "smartphones"))
    require(result["results"][0]["status"] == "ACCEPTED", f"the event must be accepted: {result}")
    for name, frames in (("WebSocket", websocket), ("SSE", sse)):
        try:
            at = await frames.until(wanted)
        except TimeoutError:
            raise CheckFailed(f'the open {name} subscription must receive "{wanted}"; it received {[f[0] for f in frames.seen]}') from None
        require(len(frames.seen) == 1, f"the {name} subscription must receive one frame, not {[f[0] for f in frames.seen]}")
        say(f'  {name} subscription: "{wanted}" after {(at - sent) * 1000:.1f} ms')


async def _pages_and_context(check: Check, visitor_id: str, visitor: Api) -> None:
    wanted = deals_on("smartphones")
    page = await check.http.get(check.info.storefront.url, headers={"cookie": f"visitor_token={visitor.credential}"})
    require(html.escape(wanted) in page.text, f'the HTML of the storefront must contain "{wanted}"')
    context = await check.context(visitor_id) or {}
    stored = {name: context.get(name) for name in ("user_id", "interested_category")}
    require(stored == {"user_id": visitor_id, "interested_category": "smartphones"}, f"context:{visitor_id} in Redis is {stored}")
    say(f"  the storefront's HTML contains it, and context:{visitor_id[:13]}… in Redis has interested_category smartphones")


async def _late_and_repeated(check: Check, visitor_id: str, visitor: Api) -> None:
    before = await check.context(visitor_id) or {}
    late = event("PRODUCT_VIEWED", at_ms=int(time.time() * 1000) - LATE_MS, product={"productId": "tv-1", "category": "televisions"})
    result = await visitor.track(late)
    decision = await visitor.banner(after=result["cursor"])
    require(
        decision["fresh"] and decision["banner"]["headline"] == deals_on("smartphones"),
        f"a late event must not change the banner: {decision}",
    )
    after = await check.context(visitor_id) or {}
    changed = [name for name in ("interested_category", "cart", "updated_at") if before[name] != after[name]]
    require(not changed, f"an older event that arrives late must not change newer fields: {changed}")
    thrice = product_added("phone-2", "smartphones")
    await visitor.track(thrice, thrice)
    result = await visitor.track(thrice)
    await visitor.banner(after=result["cursor"])
    final = await check.context(visitor_id) or {}
    quantity = [line["quantity"] for line in final["cart"] if line["product_id"] == "phone-2"]
    require(quantity == [1] and final["version"] == after["version"] + 1, f"an event sent three times must count once: {final}")
    say("  an older event that arrived late did not change newer fields, and an event sent three times counted once")


async def _own_writes(check: Check) -> None:
    """A visitor who sent an event never sees the banner from before it. Also measures the latency of pushes."""
    visits = [await check.publishable.start_visit() for _ in range(VISITORS)]
    await asyncio.gather(*(_attempts_of(check, number, api) for number, (_, api) in enumerate(visits)))
    say(f"  banner(after:) and track {{ decisions }} after an event: {ATTEMPTS} attempts each, never the old banner")


async def _attempts_of(check: Check, visitor_number: int, api: Api) -> None:
    first = await api.banner()
    async with api.frames("sse" if visitor_number % 2 else "websocket", [first["id"]]) as frames:
        for number in range(ATTEMPTS // VISITORS):
            for way in ("after", "decisions"):
                category = f"{way}-{visitor_number}-{number}"
                added = event("PRODUCT_VIEWED", product={"productId": category, "category": category})
                sent = time.monotonic()
                result = await api.track(added, ask=way == "decisions")
                decision = result["decisions"][0] if way == "decisions" else await api.banner(after=result["cursor"])
                headline = decision["banner"]["headline"]
                require(
                    headline == deals_on(category),
                    f'{way}: "{headline}" (fresh: {decision["fresh"]}) after an event of {category}',
                )
                check.push_ms.append((await frames.until(deals_on(category)) - sent) * 1000)


def _percentiles(ordered: list[float]) -> str:
    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return f"p50 {at(0.5):.1f} ms, p99 {at(0.99):.1f} ms, max {ordered[-1]:.1f} ms"
