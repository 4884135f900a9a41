"""The story of the main job: a phone goes into the cart, and every page says so."""

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

TRIES = 200
VISITORS_OF_TRIES = 4
LATE_MS = 3_600_000


class CheckFailed(Exception):
    """Something that the check promises did not hold."""


@dataclass
class Check:
    """A running check: where everything is, and the push latencies measured so far, in milliseconds."""

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
        """The context as it stands in Redis, read past the gateway."""
        stored = await self.redis.get(f"context:{visitor_id}")
        return None if stored is None else json.loads(stored)


def require(holds: bool, what: str) -> None:
    """Go on when it holds, else fail with `what`."""
    if not holds:
        raise CheckFailed(what)


async def run_scenario(check: Check) -> None:
    """Every step in order; raises `CheckFailed` at the first that does not hold."""
    visitor_id, visitor = await check.publishable.start_visit()
    first = await visitor.banner()
    require(first["reason"] == "DEFAULT" and first["banner"] is not None, f"a new visitor sees the fallback, not {first}")
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
    require(result["results"][0]["status"] == "ACCEPTED", f"the event is accepted, not {result}")
    for name, frames in (("WebSocket", websocket), ("SSE", sse)):
        try:
            at = await frames.until(wanted)
        except TimeoutError:
            raise CheckFailed(f'the open {name} subscription gets "{wanted}"; it got {[f[0] for f in frames.seen]}') from None
        require(len(frames.seen) == 1, f"the {name} subscription gets one frame, not {[f[0] for f in frames.seen]}")
        say(f'  {name} subscription: "{wanted}" after {(at - sent) * 1000:.1f} ms')


async def _pages_and_context(check: Check, visitor_id: str, visitor: Api) -> None:
    wanted = deals_on("smartphones")
    page = await check.http.get(check.info.storefront.url, headers={"cookie": f"visitor_token={visitor.credential}"})
    require(html.escape(wanted) in page.text, f'the HTML of the storefront contains "{wanted}"')
    context = await check.context(visitor_id) or {}
    told = {name: context.get(name) for name in ("user_id", "interested_category")}
    require(told == {"user_id": visitor_id, "interested_category": "smartphones"}, f"context:{visitor_id} in Redis says {told}")
    say(f"  the storefront's HTML contains it, and context:{visitor_id[:13]}… in Redis says interested_category smartphones")


async def _late_and_repeated(check: Check, visitor_id: str, visitor: Api) -> None:
    before = await check.context(visitor_id) or {}
    late = event("PRODUCT_VIEWED", at_ms=int(time.time() * 1000) - LATE_MS, product={"productId": "tv-1", "category": "televisions"})
    result = await visitor.track(late)
    decision = await visitor.banner(after=result["cursor"])
    require(
        decision["fresh"] and decision["banner"]["headline"] == deals_on("smartphones"),
        f"a late event changes no banner: {decision}",
    )
    after = await check.context(visitor_id) or {}
    changed = [name for name in ("interested_category", "cart", "updated_at") if before[name] != after[name]]
    require(not changed, f"an older event that arrives late changes nothing of what is newer: {changed}")
    thrice = product_added("phone-2", "smartphones")
    await visitor.track(thrice, thrice)
    result = await visitor.track(thrice)
    await visitor.banner(after=result["cursor"])
    final = await check.context(visitor_id) or {}
    quantity = [line["quantity"] for line in final["cart"] if line["product_id"] == "phone-2"]
    require(quantity == [1] and final["version"] == after["version"] + 1, f"the same event three times counts once: {final}")
    say("  an older event that arrived late changed nothing newer, and the same event three times counted once")


async def _own_writes(check: Check) -> None:
    """Whoever sent an event never gets the banner from before it; measures the push to an open subscription meanwhile."""
    visits = [await check.publishable.start_visit() for _ in range(VISITORS_OF_TRIES)]
    await asyncio.gather(*(_tries_of(check, number, api) for number, (_, api) in enumerate(visits)))
    say(f"  banner(after:) and track {{ decisions }} after an event: {TRIES} tries each, never the old banner")


async def _tries_of(check: Check, visitor_number: int, api: Api) -> None:
    first = await api.banner()
    async with api.frames("sse" if visitor_number % 2 else "websocket", [first["id"]]) as frames:
        for number in range(TRIES // VISITORS_OF_TRIES):
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
