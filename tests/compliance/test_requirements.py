"""Every requirement is shown by a test."""

from __future__ import annotations

import pytest

# Importing them is what fills the table.
from tests.compliance import test_sse_requirements, test_sse_single_requirements, test_websocket_requirements
from tests.compliance.requirements import COVERED, REQUIREMENTS

SUITES = (test_sse_requirements, test_sse_single_requirements, test_websocket_requirements)


def test_every_requirement_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The table is printed: requirement, and the tests that show it."""
    assert all(suite.__doc__ for suite in SUITES)
    with capsys.disabled():
        print()
        for one, text in REQUIREMENTS.items():
            print(f"  {one}  {text}: {', '.join(sorted(set(COVERED.get(one, ['-']))))}")
    assert set(REQUIREMENTS) == set(COVERED)
