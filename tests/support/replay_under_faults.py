"""A replay of the recorded events during which parts of the stack fail, and what the contexts must be afterwards."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from gateway.commands.replay import replay_events
from gateway.model.events.topics import SOURCE_TOPICS
from local_stack.check.oracle import Shopper, read_shoppers
from local_stack.check.replay import DATA, compare, shuffled_inputs
from local_stack.check.scenario import Check
from local_stack.machine.processes import spawn, stop_child
from tests.support.stack_site import DEADLINE_S, Site, until

EVENTS: Final = 1500
RATE: Final = 150.0
"""Events a second, so that each fault finds some on their way."""
CATCH_UP_S: Final = 90.0


def chosen_seed(number: int = 0) -> int:
    """The seed of this run, or of the round with this number; a failing test shows it, SEED in the environment repeats it."""
    given = os.environ.get("SEED")
    chosen = int(given) + number if given else random.randrange(10**6)
    print(f"seed {chosen}")
    return chosen


class Replay:
    """The recorded events for visitors of this run, shuffled and every tenth twice, sent in equal parts."""

    def __init__(self, site: Site, end_ms: int, seed: int, steps: int = 1) -> None:
        self.run_id = f"fault{uuid.uuid4().hex[:8]}"
        self._site = site
        self._chance = random.Random(seed)
        self._steps = steps
        self.inputs = shuffled_inputs(self.run_id, seed, end_ms=end_ms, limit=EVENTS)
        self.shoppers: dict[str, Shopper] = read_shoppers(DATA, EVENTS)

    async def send(self, step: int = 0, rate: float = RATE) -> None:
        """Send one part; what is UNKNOWN or UNAVAILABLE is sent again until all is accepted."""
        inputs = self.inputs[step * len(self.inputs) // self._steps : (step + 1) * len(self.inputs) // self._steps]
        wiring = self._site.stack.wiring
        result = await replay_events(self._site.http, wiring.gateway_url, wiring.keys.secret, inputs, rate)
        assert (result.accepted, result.ok) == (len(inputs), True), result

    @asynccontextmanager
    async def sending(self, step: int) -> AsyncIterator[None]:
        """Send one part; the block begins at some moment meanwhile, and ends when all is accepted."""
        enough = self._chance.randrange(20, 150)
        before = await self._events_in_the_log()
        sending = asyncio.create_task(self.send(step))

        async def arrived() -> bool:
            return await self._events_in_the_log() >= before + enough

        await until(arrived, lambda: "the replay stands still")
        yield
        await sending

    async def kill(self, step: int, part: str) -> None:
        """Kill a part while events are sent. It stays away."""
        async with self.sending(step):
            await asyncio.to_thread(self._site.stack.kill, part)

    async def assert_contexts_equal_the_oracle(self) -> None:
        """The oracle reads the file in order, once."""
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

    async def _events_in_the_log(self) -> int:
        return sum((await self._site.ends(SOURCE_TOPICS)).values())


@asynccontextmanager
async def frozen(pid: int, seconds: float) -> AsyncIterator[None]:
    """A part, by the first process of its group, that does nothing for so long, at least until the block ends; then it goes on."""
    os.killpg(pid, signal.SIGSTOP)
    try:
        thaw = asyncio.create_task(asyncio.sleep(seconds))  # the length of the fault, not a wait
        yield
        await thaw
    finally:
        os.killpg(pid, signal.SIGCONT)


def second_writer(site: Site, log: Path) -> AbstractAsyncContextManager[None]:
    """A context writer beside that of the stack, in the same group."""
    return _processor(["context-writer"], site.stack.environment("context_writer"), log, "context writer ready")


def micro_batches(site: Site, log: Path) -> AbstractAsyncContextManager[None]:
    """The context stream in micro-batches, from the same checkpoint."""
    wiring = site.stack.wiring
    command = ["context-stream", "--bootstrap", wiring.bootstrap, "--trigger", "1 second", "--master", "local[2]"]
    command += ["--checkpoint", str(wiring.folder.checkpoints / "context-stream"), "--log-epoch", str(wiring.identity.log_epoch)]
    return _processor(command, site.stack.environment("context_stream"), log, "context stream ready")


@asynccontextmanager
async def _processor(command: list[str], environment: dict[str, str], log: Path, ready: str) -> AsyncIterator[None]:
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
