"""Background tasks: a stop that always ends."""

from __future__ import annotations

import asyncio

import pytest

from gateway import background
from gateway.background import BackgroundTasks, cancel_and_wait


async def test_a_swallowed_cancellation_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that goes on after the first one does not hold up the stop."""
    monkeypatch.setattr(background, "CANCEL_AGAIN_SECONDS", 0.01)
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 3:
                    raise

    tasks = BackgroundTasks()
    tasks.start(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await tasks.stop()
    assert swallowed == 3


async def test_the_outcome_of_each_task_is_returned() -> None:
    """In order; for one that was cancelled its cancellation."""

    async def answer() -> int:
        return 7

    done, endless = asyncio.create_task(answer()), asyncio.create_task(asyncio.Event().wait())
    await asyncio.sleep(0)
    outcomes = await cancel_and_wait([done, endless])
    assert outcomes[0] == 7
    assert isinstance(outcomes[1], asyncio.CancelledError)
    assert await cancel_and_wait([]) == []
