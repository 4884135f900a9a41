"""Makes the shared test vectors of assignment: `python -m frontend_snippet.vectors.make`.

They come from the Python side; a test recomputes them in Python and in TypeScript.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, Final

from gateway.model.decisions.assignment import choose, is_within, point

FILE: Final = Path(__file__).with_name("assignment.json")
COUNT: Final = 10_000
SEED: Final = 20261123
ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789-_ äöüßéλж中文🛒"


def vectors() -> list[list[Any]]:
    """`[salt, stable id, weights, holdout share, point, index of the variant, held out]`, always the same."""
    chance = random.Random(SEED)
    found = []
    for _ in range(COUNT):
        salt = "".join(chance.choices(ALPHABET, k=chance.randint(0, 12)))
        stable_id = "".join(chance.choices(ALPHABET, k=chance.randint(1, 48)))
        weights = [chance.choice([1, 1, 2, 3, 50, 100_000]) for _ in range(chance.randint(1, 8))]
        share = chance.choice([0, 1, 100, 500, 5_000, 9_999, 10_000])
        found.append([salt, stable_id, weights, share, point(salt, stable_id), choose(weights, salt, stable_id), is_within(share, salt, stable_id)])
    return found


if __name__ == "__main__":
    FILE.write_text("[\n" + ",\n".join(json.dumps(one, ensure_ascii=False, separators=(",", ":")) for one in vectors()) + "\n]\n")
