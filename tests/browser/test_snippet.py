"""The snippet in a real Chromium, in front of the real gateway. The scenarios are in tests/browser/scenarios."""

from __future__ import annotations

import re
from typing import Final

import pytest

from local_stack.stack.local_stack import LocalStack
from tests.browser.node import HERE, Chromium

pytestmark = pytest.mark.integration

TIMES: Final = {"cuts": 50, "closings": 100}
SCENARIOS: Final = re.findall(
    r"^export async function (\w+)", "".join(path.read_text("utf-8") for path in sorted((HERE / "scenarios").glob("*.mjs"))), re.MULTILINE
)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(chromium: Chromium, stack: LocalStack, scenario: str) -> None:
    """What the comment of the scenario says is true."""
    assert [failure.part for failure in stack.dead_parts()] == []
    chromium.run(scenario, times=TIMES.get(scenario, 1))
