"""These tests run in virtual time: waits take none, and nothing depends on the machine's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from tests.support.virtual_time import LOOPS


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The one loop of these tests."""
    return LOOPS
