"""Replays the recorded events, shuffled within 30 seconds and every tenth sent twice, and compares the contexts with the oracle."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from gateway.commands.recorded import read_recorded
from gateway.commands.replay import replay_events
from local_stack.check.oracle import Shopper, differences, read_shoppers
from local_stack.check.scenario import Check, CheckFailed, require
from local_stack.console import say
from local_stack.project import PROJECT_ROOT

DATA = Path(PROJECT_ROOT) / "examples" / "storefront" / "data" / "rees46-2019-10-01.csv.gz"
SHUFFLE_SECONDS = 30
DEADLINE_SECONDS = 120


def shuffled_inputs(run_id: str, seed: int, *, end_ms: int | None = None, limit: int = 0) -> list[dict[str, Any]]:
    """The events of the file, or its first `limit`, with visitor ids of this run: each up to 30 s away from its place, every tenth twice.

    The time of the last one is `end_ms`, or now.
    """
    chance = random.Random(seed)
    inputs = read_recorded(DATA, end_ms=end_ms or int(time.time() * 1000), prefix=run_id, limit=limit)
    placed: list[tuple[float, int, dict[str, Any]]] = []
    for index, event_input in enumerate(inputs):
        event_input["userId"] = f"{run_id}-{event_input['userId']}"
        for _ in range(2 if index % 10 == 0 else 1):
            placed.append((_seconds(event_input) + chance.uniform(0, SHUFFLE_SECONDS), len(placed), event_input))
    return [event_input for _, _, event_input in sorted(placed, key=lambda item: item[:2])]


def _seconds(event_input: dict[str, Any]) -> float:
    return datetime.fromisoformat(event_input["timestamp"]).timestamp()


async def replay_and_compare(check: Check) -> None:
    """Replay the whole file and compare each context with the oracle. Raises CheckFailed."""
    run_id, seed = f"check{uuid.uuid4().hex[:8]}", random.randrange(10**6)
    inputs = shuffled_inputs(run_id, seed)
    say(f"  replaying {len(inputs)} events (shuffled with seed {seed})")
    started = time.monotonic()
    result = await replay_events(check.http, check.info.gateway.url, check.info.keys.secret, inputs, rate=0)
    require(result.accepted == len(inputs), f"all replayed events must be accepted: {result}")
    shoppers = read_shoppers(DATA)
    problems = await compare(check, run_id, shoppers, DEADLINE_SECONDS)
    if problems:
        shown = "; ".join(f"{user}: {', '.join(differing)}" for user, differing in list(problems.items())[:3])
        raise CheckFailed(f"{len(problems)} of {len(shoppers)} contexts differ from the oracle (seed {seed}): {shown}")
    say(f"  {len(shoppers)} contexts equal the oracle, {time.monotonic() - started:.1f} s after the replay began")


async def compare(check: Check, run_id: str, shoppers: dict[str, Shopper], deadline_seconds: float) -> dict[str, list[str]]:
    """How contexts differ from the oracle, by user, once everything is processed or the deadline has passed."""
    deadline = time.monotonic() + deadline_seconds
    users = list(shoppers)
    while True:
        stored = await check.redis.mget([f"context:{run_id}-{user}" for user in users])
        contexts = {user: None if value is None else orjson.loads(value) for user, value in zip(users, stored, strict=True)}
        problems = {user: differing for user in users if (differing := differences(shoppers[user], contexts[user]))}
        if not problems or time.monotonic() > deadline:
            return problems
        await asyncio.sleep(0.2)
