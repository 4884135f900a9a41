"""Sample-ratio mismatch: whether the visitors of a campaign are split as its weights say.

Where they are not, something loses visitors of one variant (a broken banner, a redirect, a bot), and no comparison can be
trusted. The chi-square test at p < 0.001, as A. Fabijan et al., "Diagnosing sample ratio mismatch in online controlled
experiments", KDD 2019, advise: so strict, because it is looked at often.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from gateway.model.decisions.assignment import SHARE_UNITS
from gateway.model.rulesets.ruleset import HOLDOUT_VARIANT, Ruleset

MISMATCH_BELOW: Final = 0.001
LEAST_EXPECTED: Final = 5
"""With fewer expected visitors in a variant the chi-square distribution is no good approximation (W. Cochran, 1954)."""
NO_VARIANT: Final = ""
"""Stands for the variant of a campaign without a split."""


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """How visitors are split. `p_value` None: too few of them, or only one variant."""

    observed: Mapping[str, int]
    expected: Mapping[str, float]
    p_value: float | None

    @property
    def mismatch(self) -> bool:
        """Whether chance alone hardly explains it."""
        return self.p_value is not None and self.p_value < MISMATCH_BELOW


def shares_of(ruleset: Ruleset, campaign_id: str) -> dict[str, float] | None:
    """The share of each variant, the holdout included, among the visitors of a campaign; None when the ruleset has none such."""
    campaign = next((c for p in ruleset.placements.values() for c in p.campaigns if c.campaign_id == campaign_id), None)
    if campaign is None:
        return None
    everyone, own = Fraction(ruleset.holdout, SHARE_UNITS), Fraction(campaign.holdout, SHARE_UNITS)
    # Drawn independently of each other, unless both are drawn by the same salt.
    held_out = max(everyone, own) if ruleset.holdout_salt == campaign.salt else 1 - (1 - everyone) * (1 - own)
    total = sum(variant.weight for variant in campaign.variants)
    shares = {variant.variant_id or NO_VARIANT: float((1 - held_out) * variant.weight / total) for variant in campaign.variants}
    return shares | ({HOLDOUT_VARIANT: float(held_out)} if held_out else {})


def sample_ratio(versions: Mapping[int, Mapping[str, int]], shares: Mapping[int, Mapping[str, float]]) -> SampleRatio:
    """Visitors by version of the ruleset and variant, against the shares of the versions that are known.

    The numbers of all versions are added up before they are compared: with different weights that is a little too lenient,
    never too strict.
    """
    observed: dict[str, int] = {}
    expected: dict[str, float] = {}
    for version, known in shares.items():
        counts = versions.get(version, {})
        total = sum(counts.values())
        for variant in {*known, *counts}:
            observed[variant] = observed.get(variant, 0) + counts.get(variant, 0)
            expected[variant] = expected.get(variant, 0.0) + total * known.get(variant, 0.0)
    return SampleRatio(observed, expected, _p_value(observed, expected))


def _p_value(observed: Mapping[str, int], expected: Mapping[str, float]) -> float | None:
    if any(expected[variant] <= 0 < count for variant, count in observed.items()):
        return 0.0
    tested = [variant for variant in expected if expected[variant] > 0]
    if len(tested) < 2 or min(expected[variant] for variant in tested) < LEAST_EXPECTED:
        return None
    return chi_square_tail(sum((observed[v] - expected[v]) ** 2 / expected[v] for v in tested), len(tested) - 1)


def chi_square_tail(value: float, freedom: int) -> float:
    """The chance of a chi-square value at least as large (Abramowitz and Stegun, 26.4.4 and 26.4.5)."""
    if value <= 0:
        return 1.0
    half = value / 2
    if freedom % 2:
        total = math.erfc(math.sqrt(half))
        powers = [k + 0.5 for k in range((freedom - 1) // 2)]
    else:
        total = 0.0
        powers = [float(k) for k in range(freedom // 2)]
    total += math.fsum(math.exp(power * math.log(half) - half - math.lgamma(power + 1)) for power in powers)
    return min(1.0, total)
