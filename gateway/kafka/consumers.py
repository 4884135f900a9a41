"""Opening a Kafka consumer: the settings that all consumers share, a deadline for connecting, and a clean end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

CONNECT_SECONDS: Final = 10.0
KAFKA_ERRORS: Final = (KafkaError, OSError, TimeoutError)
"""What aiokafka raises when no broker answers, or a broker is slow or refuses."""


def make_consumer(bootstrap: str, *topics: str, group: str | None = None, from_start: bool = True, **options: Any) -> AIOKafkaConsumer:
    """A consumer that is not connected yet and never commits by itself.

    Without `topics` the caller assigns partitions or subscribes. Where the group has no committed offset, or there is no
    group, reading begins at the start of the log, or at its end if `from_start` is false. `options` are aiokafka's own.
    """
    return AIOKafkaConsumer(
        *topics,
        bootstrap_servers=bootstrap,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest" if from_start else "latest",
        metadata_max_age_ms=30_000,
        **options,
    )


@contextlib.asynccontextmanager
async def open_consumer(
    bootstrap: str, *topics: str, connect_seconds: float = CONNECT_SECONDS, **options: Any
) -> AsyncIterator[AIOKafkaConsumer]:
    """A connected consumer for the length of the block; arguments as for `make_consumer`.

    Raises one of KAFKA_ERRORS when it cannot connect within `connect_seconds`. Closing it never raises one of them.
    """
    consumer = make_consumer(bootstrap, *topics, **options)
    try:
        async with asyncio.timeout(connect_seconds):
            await consumer.start()
        yield consumer
    finally:
        with contextlib.suppress(*KAFKA_ERRORS):
            async with asyncio.timeout(connect_seconds):
                await consumer.stop()
