"""Rates over visitors and their 95 % confidence intervals, in closed form.

Wilson: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).

A click rate is clicks per view, and the views of one visitor are not independent. Its variance is that of a ratio of means
over visitors, by the delta method (A. Deng, U. Knoblich, J. Lu, "Applying the delta method in metric analytics", KDD 2018,
section 3). The interval is Wilson's for the effective number of views: views divided by the design effect (C. Franco, R. Little,
T. Louis, E. Slud, "Comparative study of confidence intervals for proportions in complex sample surveys", Journal of Survey Statistics
and Methodology 7, 2019). So it stays between 0 and 1, and is Wilson's own interval if every visitor has one view.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

Z95: Final = 1.959963984540054
"""The normal quantile at 97.5 %."""


class Interval(NamedTuple):
    """A closed interval: both ends are part of it."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class VisitorSums:
    """Sums over visitors: their number, their trials and successes, the squares of both, and the products trials * successes.

    For a click rate, the trials of a visitor are views and the successes are clicks. For a conversion rate see `once_each`.
    """

    visitors: int = 0
    trials: int = 0
    successes: int = 0
    trials_squared: int = 0
    successes_squared: int = 0
    products: int = 0

    def __add__(self, other: VisitorSums) -> VisitorSums:
        return VisitorSums(
            self.visitors + other.visitors,
            self.trials + other.trials,
            self.successes + other.successes,
            self.trials_squared + other.trials_squared,
            self.successes_squared + other.successes_squared,
            self.products + other.products,
        )

    @property
    def rate(self) -> float | None:
        """Successes per trial; None without a trial."""
        return self.successes / self.trials if self.trials else None

    def residual(self, rate: float) -> float:
        """The sum over visitors of (successes - rate * trials) squared."""
        return max(0.0, self.successes_squared - 2 * rate * self.products + rate * rate * self.trials_squared)


def once_each(visitors: int, successes: int) -> VisitorSums:
    """The sums if each visitor has exactly one trial."""
    return VisitorSums(visitors, visitors, successes, visitors, successes, successes)


def wilson(successes: float, trials: float) -> Interval | None:
    """Wilson's score interval without continuity correction; None without a trial. `trials` need not be an integer."""
    if trials <= 0:
        return None
    rate, z_squared = successes / trials, Z95 * Z95
    center = rate + z_squared / (2 * trials)
    half_width = Z95 * math.sqrt(rate * (1 - rate) / trials + z_squared / (4 * trials * trials))
    scale = 1 + z_squared / trials
    # The formula is exactly 0 and 1 at the ends, but rounding is not.
    low = 0.0 if successes <= 0 else max(0.0, (center - half_width) / scale)
    high = 1.0 if successes >= trials else min(1.0, (center + half_width) / scale)
    return Interval(low, high)


def design_effect(sums: VisitorSums) -> float:
    """The factor by which repeated views of the same visitors increase the variance of the click rate; at least 1.

    If it cannot be estimated (no success, only successes, one visitor), the worst case is assumed: all trials of a visitor have the
    same result.
    """
    rate = sums.rate
    if rate is None:
        return 1.0
    if sums.visitors < 2 or not 0 < sums.successes < sums.trials:
        return max(1.0, sums.trials_squared / sums.trials)
    variance = sums.residual(rate) / sums.trials**2 * sums.visitors / (sums.visitors - 1)
    return max(1.0, variance / (rate * (1 - rate) / sums.trials))


def ratio_interval(successes: int, trials: int, sums: VisitorSums) -> Interval | None:
    """The interval of successes per trial; None without a trial. `sums`: from which the design effect is estimated."""
    if trials <= 0:
        return None
    if sums.visitors == sums.trials:
        return wilson(successes, trials)
    effective_trials = trials / design_effect(sums)
    return wilson(successes / trials * effective_trials, effective_trials)
