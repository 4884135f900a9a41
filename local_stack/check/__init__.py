"""`scripts/demo --check`: the main scenario, run and verified without a person.

May import stack, data, machine, api, console, errors, project, gateway.commands and gateway.model. Never the code under test as its own
oracle.
"""

from __future__ import annotations

import asyncio
import time

import httpx
from redis.asyncio import Redis

from local_stack.check.replay import replay_and_compare
from local_stack.check.scenario import Check, CheckFailed, run_scenario
from local_stack.console import say
from local_stack.stack.info import StackInfo


def run(info: StackInfo) -> int:
    """Run the check against a stack that is ready; returns 0 if everything is as expected, otherwise 1."""
    started = time.monotonic()
    try:
        asyncio.run(_run(info))
    except CheckFailed as problem:
        say(f"check failed: {problem}")
        return 1
    say(f"check passed in {time.monotonic() - started:.0f} s")
    return 0


async def _run(info: StackInfo) -> None:
    redis = Redis.from_url(info.redis.url)
    limits = httpx.Limits(max_connections=100)
    try:
        async with httpx.AsyncClient(timeout=60, limits=limits) as http:
            check = Check(info, http, redis)
            await run_scenario(check)
            await replay_and_compare(check)
    finally:
        await redis.aclose()
