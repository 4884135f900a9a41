"""The whole stack, once for all tests that only use it; tests that stop a part of it start it again."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from redis.asyncio import Redis

from local_stack.demo import warmup
from local_stack.stack.local_stack import LocalStack
from tests.support.free_ports import STACK_PORTS, free_port_base
from tests.support.stack_site import Site

PARTS = ("kafka", "valkey", "context_writer", "context_stream", "gateway")


def pytest_configure(config: pytest.Config) -> None:
    """The marker is known here too, so that a test can be run from this folder alone."""
    # Kafka, Spark and batch jobs start dozens of times: half of their time would go into compiling what soon ends.
    os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")
    config.addinivalue_line("markers", "integration: needs the real Kafka, Valkey and Spark, which it starts")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A warm stack without the storefront."""
    base = free_port_base()
    extra = {
        "context_stream": ["--trends-trigger", "1 second", "--snapshot-seconds", "1"],
        "context_writer": ["--metrics-port", str(base + STACK_PORTS)],
    }
    running = LocalStack(tmp_path_factory.mktemp("whole") / "data", base, PARTS, extra_arguments=extra)
    running.start(warmup.run)
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture
def metrics_pages(stack: LocalStack) -> list[str]:
    """Where the gateway and the context writer show their metrics."""
    return [f"{stack.wiring.gateway_url}/metrics", f"http://127.0.0.1:{stack.ports.gateway + STACK_PORTS}/metrics"]


@pytest.fixture
async def site(stack: LocalStack) -> AsyncIterator[Site]:
    """Clients of the stack. Every part must run before the test, whatever the one before it did."""
    assert [failure.part for failure in stack.dead_parts()] == []
    redis = Redis.from_url(stack.wiring.redis_url)
    try:
        async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=200)) as http:
            yield Site(stack, http, redis)
    finally:
        await redis.aclose()
