"""Follows the topic `erasures`: all of it before the first update is stored, then what is added."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from aiokafka.errors import KafkaError

from gateway.kafka.consumers import make_consumer
from gateway.model.events.topics import Topic
from gateway.model.visitors.erasure import Erasures

RETRY_SECONDS: Final = 1.0
START_SECONDS: Final = 30.0

log = logging.getLogger(__name__)


class ErasureFollower:
    """Keeps `erasures` up to date. A consumer without a group: every process knows all of them."""

    def __init__(self, bootstrap: str, erasures: Erasures) -> None:
        self._erasures = erasures
        self._consumer = make_consumer(bootstrap, Topic.ERASURES.value)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the topic to its present end, then go on in the background. Raises KafkaError or TimeoutError."""
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
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            await self._consumer.stop()

    async def _follow(self) -> None:
        while True:
            try:
                await self._poll(1000)
            except KafkaError as problem:
                log.warning("erasures cannot be followed (%s); trying again", type(problem).__name__)
                await asyncio.sleep(RETRY_SECONDS)

    async def _poll(self, timeout_ms: int) -> None:
        for records in (await self._consumer.getmany(timeout_ms=timeout_ms)).values():
            for record in records:
                try:
                    self._erasures.learn(record.key, record.value)
                except (ValueError, UnicodeDecodeError) as problem:
                    log.warning("a record of erasures at offset %d is none: %s", record.offset, problem)
