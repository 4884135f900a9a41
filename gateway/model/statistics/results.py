"""The statistics of a campaign: rows by hour, and the results that they add up to. docs/statistics.md describes what is counted.

A row is for one hour, variant and version of the ruleset. Views, clicks, conversions and revenue are counted in the hour in which they
happened; visitors, and everything about them, in the hour in which they first saw the campaign. All numbers are sums, so rows can be
added over hours and versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import orjson

from gateway.model.rulesets.ruleset import DEFAULT_VARIANT
from gateway.model.statistics.intervals import Interval, VisitorSums, once_each, ratio_interval, wilson
from gateway.model.statistics.sample_ratio import NO_VARIANT, SampleRatio, sample_ratio
from gateway.model.statistics.sequential import VariantComparison, compare_variants
from gateway.model.visitors.totals import EXACT


@dataclass(frozen=True, slots=True)
class StatsRow:
    """The sums of one variant and version of the ruleset. In `visitors` the trials are views and the successes are clicks.

    `converted`: visitors with a conversion. `moved`: visitors who later saw another variant. `revenue`: by currency.
    """

    variant: str
    ruleset_version: int
    views: int = 0
    clicks: int = 0
    conversions: int = 0
    converted: int = 0
    moved: int = 0
    visitors: VisitorSums = field(default_factory=VisitorSums)
    revenue: Mapping[str, Decimal] = field(default_factory=dict)

    def __add__(self, other: StatsRow) -> StatsRow:
        revenue = dict(self.revenue)
        for currency, amount in other.revenue.items():
            revenue[currency] = EXACT.add(revenue.get(currency, Decimal()), amount)
        return replace(
            self,
            views=self.views + other.views,
            clicks=self.clicks + other.clicks,
            conversions=self.conversions + other.conversions,
            converted=self.converted + other.converted,
            moved=self.moved + other.moved,
            visitors=self.visitors + other.visitors,
            revenue=revenue,
        )


@dataclass(frozen=True, slots=True)
class Coverage:
    """How rows were computed. `first_hour`: earlier hours were left unchanged. Hours count from the epoch."""

    as_of_ms: int
    attribution_days: int
    return_days: int
    log_epoch: int
    first_hour: int


@dataclass(frozen=True, slots=True)
class VariantResult:
    """The results of one variant. The comparisons are with the control, and None for the control itself."""

    variant: str
    totals: StatsRow
    click_rate: float | None
    click_interval: Interval | None
    conversion_rate: float | None
    conversion_interval: Interval | None
    click_comparison: VariantComparison | None
    conversion_comparison: VariantComparison | None


@dataclass(frozen=True, slots=True)
class CampaignResult:
    """The results of a campaign. `control`: the variant that the others are compared with; None: no variant has visitors."""

    variants: Sequence[VariantResult]
    control: str | None
    moved: int
    sample_ratio: SampleRatio


def totals_by(rows: Iterable[StatsRow]) -> dict[tuple[str, int], StatsRow]:
    """The sums of rows by variant and version."""
    totals: dict[tuple[str, int], StatsRow] = {}
    for row in rows:
        key = (row.variant, row.ruleset_version)
        totals[key] = totals[key] + row if key in totals else row
    return totals


def visitors_by_version(rows: Iterable[StatsRow]) -> dict[int, dict[str, int]]:
    """The number of visitors by version of the ruleset and variant."""
    visitors: dict[int, dict[str, int]] = {}
    for (variant, version), row in totals_by(rows).items():
        if row.visitors.visitors:
            visitors.setdefault(version, {})[variant] = row.visitors.visitors
    return visitors


def campaign_result(
    rows: Sequence[StatsRow], order: Sequence[str], control: str, shares: Mapping[int, Mapping[str, float]]
) -> CampaignResult:
    """The results of the rows of a campaign.

    `order`: the order of the variants; others follow by name. `control`: the variant to compare with, if it has visitors; otherwise the
    first one that has. `shares`: the share of each variant, by version of the ruleset, for the known versions.
    """
    totals: dict[str, StatsRow] = {}
    for row in rows:
        totals[row.variant] = totals[row.variant] + row if row.variant in totals else row
    ranks = {variant: rank for rank, variant in enumerate(order)}
    listed = sorted(totals, key=lambda variant: (ranks.get(variant, len(ranks)), variant))
    with_visitors = [variant for variant in listed if totals[variant].visitors.visitors]
    actual_control = control if control in with_visitors else next(iter(with_visitors), None)
    control_row = None if actual_control is None else totals[actual_control]
    return CampaignResult(
        variants=[_variant_result(totals[variant], None if variant == actual_control else control_row) for variant in listed],
        control=actual_control,
        moved=sum(row.moved for row in totals.values()),
        sample_ratio=sample_ratio(visitors_by_version(rows), shares),
    )


def _variant_result(row: StatsRow, control: StatsRow | None) -> VariantResult:
    visitors = row.visitors.visitors
    return VariantResult(
        variant=row.variant,
        totals=row,
        click_rate=row.clicks / row.views if row.views else None,
        # In a period there can be more clicks than views: a banner is seen before midnight and clicked after it.
        click_interval=ratio_interval(min(row.clicks, row.views), row.views, row.visitors),
        conversion_rate=row.converted / visitors if visitors else None,
        conversion_interval=wilson(row.converted, visitors),
        click_comparison=None if control is None else compare_variants(row.visitors, control.visitors),
        conversion_comparison=None if control is None else compare_variants(_conversions(row), _conversions(control)),
    )


def _conversions(row: StatsRow) -> VisitorSums:
    return once_each(row.visitors.visitors, row.converted)


def shown_variant(variant: str) -> str:
    """The name of a variant in the API. A campaign without a split has one variant, `DEFAULT_VARIANT`."""
    return DEFAULT_VARIANT if variant == NO_VARIANT else variant


def encode_rows(rows: Iterable[StatsRow]) -> bytes:
    """The rows of one hour as JSON: a list of lists in the order of the fields of `StatsRow`, with the six sums in a list of their own."""
    return orjson.dumps([_as_list(row) for row in sorted(rows, key=lambda row: (row.variant, row.ruleset_version))])


def _as_list(row: StatsRow) -> list[Any]:
    sums = row.visitors
    visitors = [sums.visitors, sums.trials, sums.successes, sums.trials_squared, sums.successes_squared, sums.products]
    revenue = {currency: format(amount, "f") for currency, amount in sorted(row.revenue.items())}
    return [row.variant, row.ruleset_version, row.views, row.clicks, row.conversions, row.converted, row.moved, visitors, revenue]


def decode_rows(stored: bytes) -> list[StatsRow]:
    """The inverse of `encode_rows`. Raises ValueError."""
    try:
        return [_row(fields) for fields in orjson.loads(stored)]
    except (TypeError, AttributeError, ArithmeticError) as problem:
        raise ValueError("these rows of campaign statistics cannot be read") from problem


def _row(fields: list[Any]) -> StatsRow:
    *counts, visitors, revenue = fields
    values = [*counts, VisitorSums(*visitors), {currency: Decimal(amount) for currency, amount in revenue.items()}]
    return StatsRow(*values)
