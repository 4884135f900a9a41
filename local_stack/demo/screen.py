"""What the demo shows while it runs: which addresses to open, then each event and the banner that follows from it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from contextlib import suppress
from typing import Any

import httpx
from aiokafka import AIOKafkaConsumer
from redis.asyncio import Redis

from gateway.graphql_http import NoGraphQLAnswer
from gateway.model.events.topics import SOURCE_TOPICS
from gateway.store.keys import context_key
from local_stack.api import Api
from local_stack.console import say
from local_stack.stack.info import StackInfo

POLL_SECONDS = 0.005
DEADLINE_SECONDS = 15.0

_WELCOME = """
  ┌─────────────────────────────────────────────────────────────────────────────┐
  │  The shop is open:   {storefront:<55}│
  │                                                                             │
  │  1. Open it in two windows. Both show the banner for new visitors.          │
  │  2. In one of them, put a phone into the cart.                              │
  │  3. The banner changes in both. Reload: it is in the HTML, too.             │
  │                                                                             │
  │  Other techniques:   {storefront}/?render=server, ?render=client{pad}│
  │  GraphQL, GraphiQL:  {graphql:<55}│
  │  Ctrl-C stops everything.                                                   │
  └─────────────────────────────────────────────────────────────────────────────┘
  event → context → banner, in milliseconds since the gateway received the event:
"""


def run(info: StackInfo, ended: threading.Event) -> None:
    """Show the screen, then each event, until `ended` is set."""
    shop = info.storefront.url
    pad = " " * max(0, 55 - len(shop) - len("/?render=server, ?render=client"))
    say(_WELCOME.format(storefront=shop, graphql=f"{info.gateway.url}/graphql", pad=pad))
    asyncio.run(_follow(info, ended))


async def _follow(info: StackInfo, ended: threading.Event) -> None:
    consumer = AIOKafkaConsumer(*SOURCE_TOPICS, bootstrap_servers=info.kafka.bootstrap, fetch_max_wait_ms=50)
    redis = Redis.from_url(info.redis.url)
    shown: set[asyncio.Task[None]] = set()
    await consumer.start()
    try:
        async with httpx.AsyncClient(timeout=30) as http:
            secret = Api(http, info.gateway.url, info.keys.secret)
            while not ended.is_set():
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        task = asyncio.create_task(_show(record, redis, secret))
                        shown.add(task)
                        task.add_done_callback(shown.discard)
    finally:
        for task in shown:
            task.cancel()
        await consumer.stop()
        await redis.aclose()


async def _show(record: Any, redis: Redis, secret: Api) -> None:
    # An invalid record becomes a dead letter, which the screen does not show.
    with suppress(ValueError, KeyError, TypeError, httpx.HTTPError, NoGraphQLAnswer, TimeoutError):
        event = json.loads(record.value)
        visitor_id, received_ms = event["visitor_id"], event["received_at_ms"]
        place = f"{record.topic}/{record.partition}"
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                stored = await redis.get(context_key(visitor_id))
                context = json.loads(stored) if stored else {}
                if context.get("alias_of"):
                    visitor_id = context["alias_of"]
                elif context.get("positions", {}).get(place, -1) >= record.offset:
                    break
                else:
                    await asyncio.sleep(POLL_SECONDS)
        context_ms = time.time() * 1000 - received_ms
        decision = await secret.banner(user_id=visitor_id)
        banner_ms = time.time() * 1000 - received_ms
        headline = decision["banner"]["headline"] if decision["banner"] else "(the page's own)"
        subject = (event["payload"].get("product") or {}).get("category") or event["payload"].get("search") or ""
        say(
            f"  {time.strftime('%H:%M:%S')} {visitor_id[:10]}… {event['type']:<18} {subject[:20]:<20} "
            f"context {context_ms:6.1f}  banner {banner_ms:6.1f}  {headline}"
        )
