"""The stack of the real sides: Kafka and Valkey alone, for these tests only."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local_stack.stack.local_stack import LocalStack
from tests.support.free_ports import free_port_base


@pytest.fixture(scope="package")
def real_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Started by the first test that needs it."""
    with LocalStack(tmp_path_factory.mktemp("contracts") / "data", free_port_base(23000), ["kafka", "valkey"]) as stack:
        yield stack
