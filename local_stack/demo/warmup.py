"""Warming up: the first seconds of Spark and the first pages are slow (nothing is compiled or connected), so they come before "ready"."""

from __future__ import annotations

import asyncio

import httpx

from local_stack.api import Api, event
from local_stack.stack.info import StackInfo

ROUNDS = 150
VISITORS = 6
PAGES = 3


def run(info: StackInfo) -> None:
    """Send events of throw-away visitors the whole way round and wait for each; then erase them."""
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
                await _look(info.storefront.url, api)
        for visitor_id, _ in visits:
            await secret.run(
                "mutation($id: ID!, $message: ID!) { deleteUser(userId: $id, messageId: $message) { cursor } }",
                id=visitor_id,
                message=f"warm-up-{visitor_id}",
            )


async def _look(storefront: str, api: Api) -> None:
    """The first pages of a shop that has just started may be late, and then have the shop's own content."""
    for _ in range(PAGES):
        await api.http.get(storefront, headers={"cookie": f"visitor_token={api.credential}"})


async def _visit(api: Api) -> None:
    for number in range(ROUNDS // VISITORS):
        # Nothing that counts for the trends, which would show it for a day.
        await api.track(event("CART_UPDATED", products=[{"productId": f"warm-up-{number}", "category": "warm-up"}]), ask=True)
