"""One Chromium for all scenarios."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local_stack.stack.local_stack import LocalStack
from tests.browser.node import Chromium, ensure_browser


@pytest.fixture(scope="session")
def chromium(stack: LocalStack) -> Iterator[Chromium]:
    """A real browser and the built snippet."""
    ensure_browser()
    browser = Chromium(stack)
    try:
        yield browser
    finally:
        browser.close()
