"""A short run of faults on the real stack, under load: processes killed, two of one kind, the broker frozen, the store killed.

The recorded events are replayed meanwhile, shuffled and every tenth twice; afterwards every context must equal the oracle, which
reads the file in order. The long runs are `scripts/faults`.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.commands.replay import replay_events
from gateway.model.names import SOURCE_TOPICS
from local_stack.api import Api, event, product_added
from local_stack.check.oracle import Shopper, read_shoppers
from local_stack.check.replayed import DATA, compare, shuffled_inputs
from local_stack.check.scenario import Check
from local_stack.processes import spawn, stop_child
from tests.stack_site import DEADLINE_S, Site, until

pytestmark = pytest.mark.integration

EVENTS: Final = 1500
RATE: Final = 100.0
"""Events a second, so that each fault finds some on their way."""
STEPS: Final = 6
CATCH_UP_S: Final = 90.0
FREEZE_S: Final = 6.0
TRACK: Final = "mutation($events: [EventInput!]!) { track(events: $events) { results { messageId status } } }"


class Replay:
    """The recorded events for visitors of this run."""

    def __init__(self, site: Site, end_ms: int, seed: int) -> None:
        self.run_id = f"fault{uuid.uuid4().hex[:8]}"
        self._site = site
        self.inputs = shuffled_inputs(self.run_id, seed, end_ms=end_ms, limit=EVENTS)
        self.shoppers: dict[str, Shopper] = read_shoppers(DATA, EVENTS)

    async def send(self, rate: float, step: int = 0, steps: int = 1) -> None:
        """Send all, or one part of several; what is UNKNOWN or UNAVAILABLE is sent again until all is accepted."""
        part = self.inputs[step * len(self.inputs) // steps : (step + 1) * len(self.inputs) // steps]
        site = self._site
        result = await replay_events(site.http, site.stack.wiring.gateway_url, site.stack.wiring.keys.secret, part, rate)
        assert (result.accepted, result.ok) == (len(part), True), result

    async def assert_contexts_equal_the_oracle(self) -> None:
        site = self._site
        problems = await compare(Check(site.stack.info(), site.http, site.redis), self.run_id, self.shoppers, CATCH_UP_S)
        assert not problems, f"{len(problems)} of {len(self.shoppers)} differ: {dict(list(problems.items())[:3])}"

    async def contexts(self) -> dict[str, dict[str, Any]]:
        """What the contexts say, without what must differ between two runs: names and positions."""
        found = {}
        for user in self.shoppers:
            context = await self._site.context(f"{self.run_id}-{user}")
            found[user] = {name: value for name, value in context.items() if name not in ("user_id", "stable_id", "positions")}
        return found


@pytest.fixture
def seed() -> int:
    """The seed of this run; a failing test shows it, SEED in the environment repeats it."""
    chosen = int(os.environ.get("SEED") or random.randrange(10**6))
    print(f"seed {chosen}")
    return chosen


async def test_killed_processors_lose_and_double_nothing_and_the_trigger_changes_nothing(site: Site, seed: int, tmp_path: Path) -> None:
    """Spark killed twice, the writer three times, two writers at once: all contexts equal the oracle, and those of micro-batches."""
    end_ms = int(time.time() * 1000)
    replay = Replay(site, end_ms, seed)
    await _processors_die(site, replay, random.Random(seed), tmp_path)
    await replay.assert_contexts_equal_the_oracle()

    batched = Replay(site, end_ms, seed + 1)
    await asyncio.to_thread(site.stack.stop_part, "context_stream")
    try:
        async with _micro_batches(site, tmp_path / "micro-batches.log"):
            await batched.send(0)
            await batched.assert_contexts_equal_the_oracle()
    finally:
        await site.start("context_stream")
    live, in_batches = await replay.contexts(), await batched.contexts()
    different = [user for user in live if live[user] != in_batches[user]]
    assert not different, [(live[user], in_batches[user]) for user in different[:2]]


async def _processors_die(site: Site, replay: Replay, chance: random.Random, folder: Path) -> None:
    """One fault after the other, each while events arrive."""
    await _kill_under_load(site, replay, 0, "context_stream", chance)
    await _kill_under_load(site, replay, 1, "context_writer", chance)
    await site.start("context_writer")
    await site.start("context_stream")
    async with _second_writer(site, folder / "second-writer.log"):
        await replay.send(RATE, 2, STEPS)
        await _kill_under_load(site, replay, 3, "context_writer", chance)
        await site.start("context_writer")
    await _kill_under_load(site, replay, 4, "context_writer", chance)
    await _kill_under_load(site, replay, 5, "context_stream", chance)
    await site.start("context_stream")
    await site.start("context_writer")


async def _kill_under_load(site: Site, replay: Replay, step: int, part: str, chance: random.Random) -> None:
    """Kill a part at some moment while a part of the events is being sent."""
    enough = chance.randrange(20, 150)
    before = await _events_in_the_log(site)
    sending = asyncio.create_task(replay.send(RATE, step, STEPS))

    async def arrived() -> bool:
        return await _events_in_the_log(site) >= before + enough

    await until(arrived, lambda: "the replay stands still")
    await asyncio.to_thread(site.stack.kill, part)
    await sending


async def _events_in_the_log(site: Site) -> int:
    return sum((await site.ends(SOURCE_TOPICS)).values())


@asynccontextmanager
async def _process(command: list[str], environment: dict[str, str], log: Path, ready: str) -> AsyncIterator[None]:
    """Run a processor of our own beside the stack; it is stopped in the end."""
    child = await asyncio.to_thread(spawn, command[0], [sys.executable, "-m", "processors", *command], environment, log)

    async def is_ready() -> bool:
        assert not child.dead, child.output()
        return ready in child.output()

    try:
        await until(is_ready, child.output, within_s=3 * DEADLINE_S)
        yield
    finally:
        await asyncio.to_thread(stop_child, child, 20, lambda: False)


def _second_writer(site: Site, log: Path) -> Any:
    """A context writer beside that of the stack, in the same group."""
    return _process(["context-writer"], site.stack.environment("context_writer"), log, "context writer ready")


def _micro_batches(site: Site, log: Path) -> Any:
    """The context stream in micro-batches, from the same checkpoint."""
    wiring = site.stack.wiring
    command = ["context-stream", "--bootstrap", wiring.bootstrap, "--trigger", "1 second", "--master", "local[2]"]
    command += ["--checkpoint", str(wiring.folder.checkpoints / "context-stream"), "--log-epoch", str(wiring.identity.log_epoch)]
    return _process(command, site.stack.environment("context_stream"), log, "context stream ready")


async def test_a_frozen_broker_gives_unknown_never_a_false_accepted(site: Site) -> None:
    """Events sent while the broker is frozen are UNKNOWN; sent again after it thawed, nothing is lost and nothing counted twice."""
    visits = [await site.visit() for _ in range(5)]
    sent: dict[str, dict[str, Any]] = {}
    statuses: dict[str, list[str]] = {}
    pid = site.stack.info().kafka.pid
    assert pid is not None

    async def send(api: Api, *events: dict[str, Any]) -> None:
        for result in (await api.run(TRACK, events=list(events)))["track"]["results"]:
            statuses.setdefault(result["messageId"], []).append(result["status"])

    owners = {}
    for visitor_id, api in visits:
        for number in range(10):
            added = product_added(f"p{number}", "smartphones")
            sent[added["messageId"]] = added
            owners[added["messageId"]] = (visitor_id, api)
    log_before = await site.ends(SOURCE_TOPICS)
    os.kill(pid, signal.SIGSTOP)
    try:
        thaw_at = time.monotonic() + FREEZE_S
        await asyncio.gather(*(send(owners[message][1], sent[message]) for message in sent))
        assert {status for told in statuses.values() for status in told} == {"UNKNOWN"}
        await asyncio.sleep(max(0.0, thaw_at - time.monotonic()))  # the length of the fault, not a wait
    finally:
        os.kill(pid, signal.SIGCONT)
    await _sent_until_accepted(send, sent, owners, statuses)
    await site.records(log_before, lambda found: set(sent) <= {r.headers["ce_id"].decode() for r in found})
    for visitor_id, _ in visits:
        context = await site.context_when(visitor_id, lambda context: context["version"] == 10)
        assert sorted((line["product_id"], line["quantity"]) for line in context["cart"]) == [(f"p{n}", 1) for n in range(10)]


async def _sent_until_accepted(
    send: Any, sent: dict[str, dict[str, Any]], owners: dict[str, tuple[str, Api]], statuses: dict[str, list[str]]
) -> None:
    """Send what is not accepted again, as a client does, until all is."""
    deadline = time.monotonic() + DEADLINE_S
    while unknown := [message for message in sent if statuses[message][-1] != "ACCEPTED"]:
        assert time.monotonic() < deadline, f"{len(unknown)} events are still {statuses[unknown[0]]}"
        await asyncio.gather(*(send(owners[message][1], sent[message]) for message in unknown))


async def test_a_killed_store_under_load_comes_back_with_every_context_right(site: Site, seed: int) -> None:
    """Valkey killed twice during a replay: every event is accepted, banners are fallbacks meanwhile, all contexts equal the oracle."""
    replay = Replay(site, int(time.time() * 1000), seed)
    _, visitor = await site.visit()
    for step in range(2):
        await _kill_under_load(site, replay, 3 * step, "valkey", random.Random(seed))
        decision = await visitor.banner()
        assert (decision["reason"], decision["fresh"]) == ("UNAVAILABLE", False)
        await replay.send(0, 3 * step + 1, STEPS)
        sending = asyncio.create_task(replay.send(RATE, 3 * step + 2, STEPS))
        await site.start("valkey")
        assert (await visitor.banner())["fresh"]
        await sending
    await replay.assert_contexts_equal_the_oracle()


async def test_a_restarted_gateway_serves_on(site: Site) -> None:
    """After a kill -9 tokens, cursors and decision ids from before hold, and the client that resends an event is counted once."""
    visitor_id, visitor = await site.visit()
    added = product_added("phone", "smartphones")
    result = await visitor.track(added, ask=True)
    shown = result["decisions"][0]["id"]
    async with site.without("gateway"):
        pass
    assert (await visitor.banner(after=result["cursor"]))["fresh"]
    again = await visitor.track(added, event("BANNER_CLICKED", decisionId=shown))
    assert [one["status"] for one in again["results"]] == ["ACCEPTED", "ACCEPTED"]
    context = await site.context_when(visitor_id, lambda context: context["version"] == 2)
    assert [line["quantity"] for line in context["cart"]] == [1]
