"""Warms a stack up: Spark's first events and the storefront's first pages are slow, so they come before "all ready"."""

from __future__ import annotations

import asyncio

import httpx

from local_stack.api import Api, event
from local_stack.stack.info import StackInfo

ROUNDS = 150
VISITORS = 6
PAGES = 3


def run(info: StackInfo) -> None:
    """Send events of temporary visitors, wait until each has reached its context, then erase the visitors."""
    if info.gateway.pid is not None and info.context_stream.pid is not None and info.context_writer.pid is not None:
        asyncio.run(_warm_up(info))


async def _warm_up(info: StackInfo) -> None:
    async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=50)) as http:
        publishable = Api(http, info.gateway.url, info.keys.publishable)
        secret = Api(http, info.gateway.url, info.keys.secret)
        visits = [await publishable.start_visit() for _ in range(VISITORS)]
        await asyncio.gather(*(_visit(api) for _, api in visits))
        if info.storefront.pid is not None:
            for _, api in visits:
                await _load_pages(info.storefront.url, api)
        for visitor_id, _ in visits:
            await secret.run(
                "mutation($id: ID!, $message: ID!) { deleteUser(userId: $id, messageId: $message) { cursor } }",
                id=visitor_id,
                message=f"warm-up-{visitor_id}",
            )


async def _load_pages(storefront: str, api: Api) -> None:
    """Load pages: those of a shop that has just started may miss their deadline and show the default content."""
    for _ in range(PAGES):
        await api.http.get(storefront, headers={"cookie": f"visitor_token={api.credential}"})


async def _visit(api: Api) -> None:
    for number in range(ROUNDS // VISITORS):
        # An event type that trends do not count: they would show it for a day.
        await api.track(event("CART_UPDATED", products=[{"productId": f"warm-up-{number}", "category": "warm-up"}]), ask=True)
