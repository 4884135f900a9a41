"""Assignment: which variant a visitor gets, by a hash of the stable id and a salt. The same in Python and TypeScript.

MurmurHash3, x86, 32 bits (Austin Appleby, public domain, smhasher/src/MurmurHash3.cpp) over the UTF-8 bytes of
`salt + "\\0" + stable id`. All arithmetic is on integers below 2^53, so that every language computes the same result; the shared test
vectors are in `frontend_snippet/vectors/assignment.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

MAX_TOTAL_WEIGHT: Final = 1_000_000
SHARE_UNITS: Final = 10_000
"""A share is counted in units of 1/10,000."""
_MASK: Final = 0xFFFFFFFF


def murmur3(data: bytes) -> int:
    """MurmurHash3_x86_32 with seed 0: 0 to 2^32 - 1."""
    h = 0
    whole = len(data) & ~3
    for start in range(0, whole, 4):
        h ^= _mixed(int.from_bytes(data[start : start + 4], "little"))
        h = ((h << 13) | (h >> 19)) & _MASK
        h = (h * 5 + 0xE6546B64) & _MASK
    if len(data) > whole:
        h ^= _mixed(int.from_bytes(data[whole:], "little"))
    h ^= len(data)
    h = ((h ^ (h >> 16)) * 0x85EBCA6B) & _MASK
    h = ((h ^ (h >> 13)) * 0xC2B2AE35) & _MASK
    return h ^ (h >> 16)


def _mixed(k: int) -> int:
    k = (k * 0xCC9E2D51) & _MASK
    k = ((k << 15) | (k >> 17)) & _MASK
    return (k * 0x1B873593) & _MASK


def point(salt: str, stable_id: str) -> int:
    """The position of a visitor for this salt: 0 to 2^32 - 1, evenly distributed."""
    return murmur3(f"{salt}\0{stable_id}".encode())


def choose(weights: Sequence[int], salt: str, stable_id: str) -> int:
    """The index of the weight that the visitor falls into. `weights`: positive integers, in total at most `MAX_TOTAL_WEIGHT`."""
    if len(weights) == 1:
        return 0
    scaled_point = point(salt, stable_id) * sum(weights)
    upper_bound = 0
    for index, weight in enumerate(weights):
        upper_bound += weight
        if scaled_point < upper_bound << 32:
            return index
    raise ValueError("weights must be positive")


def is_within(share: int, salt: str, stable_id: str) -> bool:
    """Whether the visitor belongs to a share of all visitors. `share`: in units of 1/10,000."""
    return share > 0 and point(salt, stable_id) * SHARE_UNITS < share << 32
