"""Follows the topic `erasures`: reads all of it before the first update is stored, then every new record."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from aiokafka.errors import KafkaError

from gateway.background import BackgroundTasks
from gateway.model.visitors.erasure import Erasures

RETRY_SECONDS: Final = 1.0
START_SECONDS: Final = 30.0

log = logging.getLogger(__name__)


class ErasureFollower:
    """Keeps `erasures` up to date by a consumer of the topic (aiokafka's have no types) that is not connected yet.

    The consumer has no group: every process knows all erasures.
    """

    def __init__(self, consumer: Any, erasures: Erasures) -> None:
        self._erasures = erasures
        self._consumer = consumer
        self._tasks = BackgroundTasks()
        self._is_following = False

    async def start(self) -> None:
        """Read the topic up to its current end, then continue in the background. Raises KafkaError or TimeoutError."""
        await self._consumer.start()
        try:
            async with asyncio.timeout(START_SECONDS):
                ends = await self._consumer.end_offsets(self._consumer.assignment())
                while any([await self._consumer.position(partition) < end for partition, end in ends.items()]):
                    await self._poll(200)
        except BaseException:
            await self._consumer.stop()
            raise
        log.info("%d erasures known", len(self._erasures))
        self._is_following = True
        self._tasks.start(self._follow())

    async def stop(self) -> None:
        """Stop following. Does nothing if `start` did not succeed."""
        if self._is_following:
            await self._tasks.stop()
            await self._consumer.stop()

    async def _follow(self) -> None:
        while True:
            try:
                await self._poll(1000)
            except KafkaError as problem:
                log.warning("cannot follow the topic of erasures (%s); trying again", type(problem).__name__)
                await asyncio.sleep(RETRY_SECONDS)

    async def _poll(self, timeout_ms: int) -> None:
        for records in (await self._consumer.getmany(timeout_ms=timeout_ms)).values():
            for record in records:
                try:
                    self._erasures.learn(record.key, record.value)
                except (ValueError, UnicodeDecodeError) as problem:
                    log.warning("the record of erasures at offset %d is invalid: %s", record.offset, problem)
