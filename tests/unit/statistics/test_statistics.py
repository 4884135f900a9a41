"""Intervals, the sequential test and the test of the split: compared with published values, and in simulations."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.statistics.intervals import VisitorSums, design_effect, once_each, ratio_interval, wilson
from gateway.model.statistics.sample_ratio import chi_square_tail, sample_ratio, shares_of
from gateway.model.statistics.sequential import ALPHA, compare_variants

RUNS = 300


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998), table I,
    # method 3; and 10 of 100.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718), (10, 100, 0.0552, 0.1744)],
)
def test_wilson_has_the_published_values(successes: int, trials: int, low: float, high: float) -> None:
    """And mirrored for failures."""
    interval, mirror = wilson(successes, trials), wilson(trials - successes, trials)
    assert interval is not None
    assert mirror is not None
    assert interval == pytest.approx((low, high), abs=6e-5)
    assert (1 - mirror.high, 1 - mirror.low) == pytest.approx(interval)


def test_an_interval_needs_a_trial() -> None:
    """Without one, nothing is known."""
    assert wilson(0, 0) is None
    assert ratio_interval(0, 0, VisitorSums()) is None


@pytest.mark.parametrize(
    ("value", "freedom", "tail"),
    # Quantiles from any table of the distribution.
    [(3.8415, 1, 0.05), (5.9915, 2, 0.05), (7.8147, 3, 0.05), (9.4877, 4, 0.05), (18.3070, 10, 0.05), (10.8276, 1, 0.001), (0, 3, 1.0)],
)
def test_chi_square_tails_are_those_of_the_tables(value: float, freedom: int, tail: float) -> None:
    """To the digits of the tables."""
    assert chi_square_tail(value, freedom) == pytest.approx(tail, rel=1e-4)


def over(visitors: list[tuple[int, int]]) -> VisitorSums:
    """Sums over visitors with (views, clicks)."""
    total = VisitorSums()
    for v, c in visitors:
        total += VisitorSums(1, v, c, v * v, c * c, v * c)
    return total


def test_correlated_views_widen_the_interval() -> None:
    """By hand: 4 visitors of 5 views each who click always or never are 4 trials times 4/3, not 20."""
    alike = over([(5, 5), (5, 0), (5, 5), (5, 0)])
    assert design_effect(alike) == pytest.approx(5 * 4 / 3)
    assert ratio_interval(10, 20, alike) == pytest.approx(wilson(1.5, 3.0))
    assert ratio_interval(2, 4, over([(1, 1), (1, 1), (1, 0), (1, 0)])) == wilson(2, 4)
    assert design_effect(over([(5, 0), (1, 0)])) == pytest.approx(26 / 6)
    assert design_effect(over([(2, 1), (2, 1)])) == 1.0


def test_the_interval_of_a_click_rate_covers_it() -> None:
    """Visitors differ in how often they click: Wilson's interval over views misses the true rate far too often, ours does not."""
    chance, misses = random.Random(1), {"ours": 0, "wilson": 0}
    for _ in range(RUNS):
        visitors = []
        for _ in range(200):
            eager, views = chance.choice((0.0, 0.0, 0.6)), chance.choice((1, 3, 12))
            visitors.append((views, sum(chance.random() < eager for _ in range(views))))
        sums = over(visitors)
        for name, interval in (
            ("ours", ratio_interval(sums.successes, sums.trials, sums)),
            ("wilson", wilson(sums.successes, sums.trials)),
        ):
            assert interval is not None
            misses[name] += not interval.low <= 0.2 <= interval.high
    assert misses["ours"] <= at_most(0.06)
    assert misses["wilson"] > RUNS / 4


def at_most(share: float) -> float:
    """How often something with this probability happens in `RUNS`, plus three standard deviations."""
    return RUNS * share + 3 * math.sqrt(RUNS * share * (1 - share))


def alarms(
    seed: int, draw: Callable[[random.Random, int], VisitorSums], rejects: Callable[[VisitorSums, VisitorSums], bool], steps: int = 200
) -> int:
    """In how many runs a test that is read after every step ever rejects. `draw`: the visitors of a step on side 0 or 1."""
    chance, rejections = random.Random(seed), 0
    for _ in range(RUNS):
        one, other = VisitorSums(), VisitorSums()
        for _ in range(steps):
            one, other = one + draw(chance, 0), other + draw(chance, 1)
            if rejects(one, other):
                rejections += 1
                break
    return rejections


def sequential(one: VisitorSums, other: VisitorSums) -> bool:
    comparison = compare_variants(one, other)
    return comparison is not None and comparison.p_value <= ALPHA


def naive(one: VisitorSums, other: VisitorSums) -> bool:
    """The textbook test, for one reading: two standard errors."""
    if not one.trials or not other.trials or not (one.successes or other.successes):
        return False
    rate = (one.successes + other.successes) / (one.trials + other.trials)
    variance = rate * (1 - rate) * (1 / one.trials + 1 / other.trials)
    return variance > 0 and abs((one.rate or 0) - (other.rate or 0)) > 1.96 * math.sqrt(variance)


def buyers(rate: float, lift: float = 0.0, sizes: tuple[int, int] = (20, 20)) -> Callable[[random.Random, int], VisitorSums]:
    """Visitors who convert or not."""
    return lambda chance, side: once_each(sizes[side], sum(chance.random() < rate + lift * (side == 0) for _ in range(sizes[side])))


def lookers(chance: random.Random, _side: int) -> VisitorSums:
    """Visitors with many views who click always or almost never."""
    return over([(views, views if chance.random() < 0.1 else 0) for views in chance.choices((1, 4, 9), k=8)])


@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(buyers(0.3), id="many", marks=pytest.mark.long),
        pytest.param(buyers(0.03), id="few"),
        pytest.param(buyers(0.01, sizes=(38, 2)), id="small-holdout"),
        pytest.param(lookers, id="clicks", marks=pytest.mark.long),
    ],
)
def test_reading_after_every_step_raises_no_more_false_alarms_than_promised(draw: Callable[[random.Random, int], VisitorSums]) -> None:
    """Both sides are the same: at most 5 %; the naive test, read as often, raises several times as many false alarms."""
    assert alarms(2, draw, sequential) <= at_most(ALPHA)
    assert alarms(2, draw, naive) > at_most(3 * ALPHA)


def test_a_true_difference_is_found() -> None:
    """10 % and 13 %, 4,000 visitors on each side: in most runs, with an interval that excludes 0 and contains the true difference."""
    assert alarms(3, buyers(0.10, 0.03), sequential) > 0.8 * RUNS
    chance, missed = random.Random(4), 0
    for _ in range(RUNS):
        comparison = compare_variants(*sides(chance))
        assert comparison is not None
        assert comparison.interval is not None
        missed += not comparison.interval.low <= 0.03 <= comparison.interval.high
        assert (comparison.p_value <= ALPHA) == (not comparison.interval.low <= 0 <= comparison.interval.high)
    assert missed <= at_most(ALPHA)


def sides(chance: random.Random) -> tuple[VisitorSums, VisitorSums]:
    """4,000 visitors at 13 % and at 10 %, by the normal approximation of the binomial."""
    one, other = (round(chance.gauss(4000 * rate, math.sqrt(4000 * rate * (1 - rate)))) for rate in (0.13, 0.10))
    return once_each(4000, one), once_each(4000, other)


def test_without_evidence_nothing_is_claimed() -> None:
    """No visitor, no success at all, and one success on a tiny side."""
    assert compare_variants(VisitorSums(), once_each(10, 1)) is None
    empty = compare_variants(once_each(10, 0), once_each(10, 0))
    assert empty is not None
    assert (empty.interval, empty.p_value) == (None, 1.0)
    tiny = compare_variants(once_each(1, 1), once_each(1000, 10))
    assert tiny is not None
    assert tiny.p_value > 0.5


RULES = """version: 1
holdout: 0.1
placements: {top: {}}
campaigns:
  - {id: plain, placement: top, when: 'true', banner: {headline: Hi}}
  - id: sale
    placement: top
    when: 'true'
    holdout: 0.2
    split:
      - {variant: a, weight: 3, banner: {headline: A}}
      - {variant: b, banner: none}
"""


def test_the_shares_are_those_of_weights_and_both_holdouts() -> None:
    """Either holdout can hold a visitor out."""
    ruleset = load_ruleset(RULES, 1)
    assert shares_of(ruleset, "sale") == pytest.approx({"a": 0.72 * 0.75, "b": 0.72 * 0.25, "holdout": 0.28})
    assert shares_of(ruleset, "plain") == pytest.approx({"": 0.9, "holdout": 0.1})
    assert shares_of(ruleset, "nobody") is None


def test_a_split_that_chance_does_not_explain_is_flagged() -> None:
    """By hand: 520 and 480 of 1,000 are 1.6; 600 and 400 are 40."""
    half = {1: {"a": 0.5, "b": 0.5}}
    fair, off = sample_ratio({1: {"a": 520, "b": 480}}, half), sample_ratio({1: {"a": 600, "b": 400}}, half)
    assert fair.p_value == pytest.approx(math.erfc(math.sqrt(0.8)))
    assert off.p_value == pytest.approx(math.erfc(math.sqrt(20.0)))
    assert (fair.mismatch, off.mismatch) == (False, True)
    versions = {1: {"a": 500, "b": 500}, 2: {"a": 900, "b": 100}, 3: {"a": 50}}
    both = sample_ratio(versions, {**half, 2: {"a": 0.9, "b": 0.1}})
    assert (both.p_value, both.observed) == (1.0, {"a": 1400, "b": 600})
    assert both.expected == pytest.approx({"a": 1400, "b": 600})


def test_the_split_is_not_tested_with_too_few_visitors() -> None:
    """Nor with only one variant; a variant that has no weight is a mismatch at once."""
    assert sample_ratio({1: {"a": 8}}, {1: {"a": 0.5, "b": 0.5}}).p_value is None
    assert sample_ratio({1: {"": 800}}, {1: {"": 1.0}}).p_value is None
    assert sample_ratio({}, {}).p_value is None
    assert sample_ratio({1: {"a": 800, "c": 1}}, {1: {"a": 1.0}}).mismatch
