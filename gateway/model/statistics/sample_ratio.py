"""Sample-ratio mismatch: whether the visitors of a campaign are split in the ratio of its weights.

If they are not, something loses visitors of one variant (a broken banner, a redirect, a bot), and no comparison can be trusted. The
chi-square test with p < 0.001, as recommended by A. Fabijan et al., "Diagnosing sample ratio mismatch in online controlled experiments",
KDD 2019: it is this strict because it is read often.
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
"""With fewer expected visitors in a variant, the chi-square distribution is not a good approximation (W. Cochran, 1954)."""
NO_VARIANT: Final = ""
"""The variant of a campaign without a split, in rows."""


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """Observed and expected visitors by variant. `p_value` None: there are too few visitors, or there is only one variant."""

    observed: Mapping[str, int]
    expected: Mapping[str, float]
    p_value: float | None

    @property
    def mismatch(self) -> bool:
        """Whether the difference can hardly be explained by chance."""
        return self.p_value is not None and self.p_value < MISMATCH_BELOW


def shares_of(ruleset: Ruleset, campaign_id: str) -> dict[str, float] | None:
    """The share of each variant, including the holdout, of the visitors of a campaign; None: the ruleset has no such campaign."""
    campaign = next((c for p in ruleset.placements.values() for c in p.campaigns if c.campaign_id == campaign_id), None)
    if campaign is None:
        return None
    global_share, own_share = Fraction(ruleset.holdout, SHARE_UNITS), Fraction(campaign.holdout, SHARE_UNITS)
    # The two holdouts are independent of each other, unless they have the same salt.
    held_out = max(global_share, own_share) if ruleset.holdout_salt == campaign.salt else 1 - (1 - global_share) * (1 - own_share)
    total = sum(variant.weight for variant in campaign.variants)
    shares = {variant.variant_id or NO_VARIANT: float((1 - held_out) * variant.weight / total) for variant in campaign.variants}
    return shares | ({HOLDOUT_VARIANT: float(held_out)} if held_out else {})


def sample_ratio(versions: Mapping[int, Mapping[str, int]], shares: Mapping[int, Mapping[str, float]]) -> SampleRatio:
    """Compare visitors with expected shares, both by version of the ruleset and variant, for the versions with known shares.

    The numbers of all versions are added before they are compared: with different weights that is slightly too lenient, never too
    strict.
    """
    observed: dict[str, int] = {}
    expected: dict[str, float] = {}
    for version, share_of in shares.items():
        counts = versions.get(version, {})
        total = sum(counts.values())
        for variant in {*share_of, *counts}:
            observed[variant] = observed.get(variant, 0) + counts.get(variant, 0)
            expected[variant] = expected.get(variant, 0.0) + total * share_of.get(variant, 0.0)
    return SampleRatio(observed, expected, _p_value(observed, expected))


def _p_value(observed: Mapping[str, int], expected: Mapping[str, float]) -> float | None:
    if any(expected[variant] <= 0 < count for variant, count in observed.items()):
        return 0.0
    tested = [variant for variant in expected if expected[variant] > 0]
    if len(tested) < 2 or min(expected[variant] for variant in tested) < LEAST_EXPECTED:
        return None
    return chi_square_tail(sum((observed[v] - expected[v]) ** 2 / expected[v] for v in tested), len(tested) - 1)


def chi_square_tail(value: float, freedom: int) -> float:
    """The probability of a chi-square value at least this large (Abramowitz and Stegun, 26.4.4 and 26.4.5)."""
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
