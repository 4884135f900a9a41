"""A comparison of two variants that may be read at any time, and as often as wanted.

The mixture sequential probability ratio test, mSPRT (R. Johari, P. Koomen, L. Pekelis, D. Walsh, "Peeking at A/B tests: why
it matters, and what to do about it", KDD 2017, section 4): the likelihood ratio of the observed difference, averaged over a
normal prior of true differences with standard deviation tau, against no difference. Without a true difference the probability that it
ever exceeds 1/0.05 is at most 5 %, however often it is read. So 1 / ratio is an always-valid p-value, and the differences that it does
not reject are a confidence sequence. The variance is estimated, which is correct in the limit (I. Waudby-Smith, D. Arbour, R. Sinha,
E. Kennedy, A. Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics 52, 2024): the
boundary is the same.

tau is 0.05 standard deviations of a single visitor. It must not depend on the data; in this unit the test is the same for rare and
frequent successes. It is most sensitive at about 6,500 visitors per variant (where it detects a difference whose interval, if read only
once, would be two thirds as wide). From 1,000 to 100,000 visitors the interval is at most 16 % wider than with the best tau. With few
visitors it hardly ever rejects, which also covers the error of the normal approximation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from gateway.model.statistics.intervals import Interval, VisitorSums

ALPHA: Final = 0.05
TAU: Final = 0.05
"""The standard deviation of the prior of true differences, in standard deviations of one visitor."""


@dataclass(frozen=True, slots=True)
class VariantComparison:
    """The rate of a variant minus that of the control. `interval`: at 95 %, valid whenever it is read; None: the variance is unknown."""

    difference: float
    interval: Interval | None
    p_value: float


def compare_variants(variant: VisitorSums, control: VisitorSums) -> VariantComparison | None:
    """Compare successes per trial; None if one side has no trial."""
    rate, control_rate = variant.rate, control.rate
    if rate is None or control_rate is None:
        return None
    difference = rate - control_rate
    variance = _variance(variant, control)
    if variance <= 0:
        return VariantComparison(difference, None, 1.0)
    per_visitor = 1 / variant.visitors + 1 / control.visitors
    # tau^2 / (variance + tau^2), with tau in units of sqrt(variance / per_visitor).
    weight = TAU * TAU / (per_visitor + TAU * TAU)
    log_ratio = 0.5 * math.log1p(-weight) + 0.5 * weight * difference * difference / variance
    half_width = math.sqrt(variance * 2 / weight * (-math.log(ALPHA) - 0.5 * math.log1p(-weight)))
    interval = Interval(max(-1.0, difference - half_width), min(1.0, difference + half_width))
    return VariantComparison(difference, interval, min(1.0, math.exp(-max(0.0, log_ratio))))


def _variance(variant: VisitorSums, control: VisitorSums) -> float:
    """The variance of the difference over visitors: the larger of the separate and the pooled estimate.

    Otherwise a small side without any success would seem to have no variance.
    """
    separate = sum(side.residual(side.rate or 0.0) / side.trials**2 for side in (variant, control))
    both = variant + control
    per_visitor = both.residual(both.rate or 0.0) / both.visitors
    pooled = sum(per_visitor * side.visitors / side.trials**2 for side in (variant, control))
    return max(separate, pooled)
