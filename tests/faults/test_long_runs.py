"""Long runs of faults on the real stack, under load (`scripts/faults`): every context must equal the oracle afterwards."""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path
from typing import Final

import pytest

from tests.support.replay_under_faults import Replay, chosen_seed, frozen, micro_batches, second_writer
from tests.support.stack_site import Site

pytestmark = pytest.mark.integration

ROUNDS: Final = int(os.environ.get("ROUNDS") or 10)
FAULTS_IN_A_ROUND: Final = 3
FREEZE_S: Final = (1.0, 8.0)
PARTS: Final = ("kafka", "valkey", "gateway", "context_writer", "context_stream")


@pytest.mark.parametrize("number", range(ROUNDS))
async def test_parts_die_or_freeze_at_random(site: Site, number: int) -> None:
    """Three parts in turn, each killed and started again or frozen for some seconds while events arrive: nothing is lost or doubled."""
    seed = chosen_seed(number)
    chance = random.Random(seed)
    replay = Replay(site, int(time.time() * 1000), seed, steps=FAULTS_IN_A_ROUND)
    for step in range(FAULTS_IN_A_ROUND):
        part, is_killed, seconds = chance.choice(PARTS), chance.random() < 0.5, chance.uniform(*FREEZE_S)
        print(f"fault {step}: {part} {'killed' if is_killed else f'frozen for {seconds:.1f} s'}")
        async with replay.sending(step):
            if is_killed:
                async with site.without(part):
                    pass
            else:
                async with frozen(site.stack.info().pids["redis" if part == "valkey" else part], seconds):
                    pass
    await replay.assert_contexts_equal_the_oracle()


async def test_killed_processors_lose_and_double_nothing_and_the_trigger_changes_nothing(site: Site, tmp_path: Path) -> None:
    """Spark killed twice, the writer three times, two writers at once: all contexts equal the oracle, and those of micro-batches."""
    end_ms, seed = int(time.time() * 1000), chosen_seed()
    replay = Replay(site, end_ms, seed, steps=6)
    await _processors_die(site, replay, tmp_path)
    await replay.assert_contexts_equal_the_oracle()

    batched = Replay(site, end_ms, seed + 1)
    await asyncio.to_thread(site.stack.stop_part, "context_stream")
    try:
        async with micro_batches(site, tmp_path / "micro-batches.log"):
            await batched.send(rate=0)
            await batched.assert_contexts_equal_the_oracle()
    finally:
        await site.start("context_stream")
    live, in_batches = await replay.contexts(), await batched.contexts()
    different = [user for user in live if live[user] != in_batches[user]]
    assert not different, [(live[user], in_batches[user]) for user in different[:2]]


async def _processors_die(site: Site, replay: Replay, folder: Path) -> None:
    """One fault after the other, each while events arrive."""
    await replay.kill(0, "context_stream")
    await replay.kill(1, "context_writer")
    await site.start("context_writer")
    await site.start("context_stream")
    async with second_writer(site, folder / "second-writer.log"):
        await replay.send(2)
        await replay.kill(3, "context_writer")
        await site.start("context_writer")
    await replay.kill(4, "context_writer")
    await replay.kill(5, "context_stream")
    await site.start("context_stream")
    await site.start("context_writer")
