"""Statistics of a campaign: rows by hour, and what they add up to. docs/statistics.md says what is counted.

A row is of one hour, variant and version of the ruleset. Views, clicks, conversions and revenue are of the hour in which they
happened; the visitors and all that is said of them are of the hour in which they first saw the campaign. All numbers are sums,
so rows add up over hours and versions.
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
    """Sums of one variant and version of the ruleset. `visitors` holds views and clicks of each visitor as trials and successes."""

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
    """How rows were computed. `first_hour`: earlier hours were left as they were; hours count from the epoch."""

    as_of_ms: int
    attribution_days: int
    return_days: int
    log_epoch: int
    first_hour: int


@dataclass(frozen=True, slots=True)
class VariantResult:
    """What came of one variant; the comparisons are with the control, and None for the control itself."""

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
    """What came of a campaign. `control`: the variant that the others are compared with."""

    variants: Sequence[VariantResult]
    control: str | None
    moved: int
    sample_ratio: SampleRatio


def totals_by(rows: Iterable[StatsRow]) -> dict[tuple[str, int], StatsRow]:
    """Rows added up by variant and version."""
    found: dict[tuple[str, int], StatsRow] = {}
    for row in rows:
        key = (row.variant, row.ruleset_version)
        found[key] = found[key] + row if key in found else row
    return found


def visitors_by_version(rows: Iterable[StatsRow]) -> dict[int, dict[str, int]]:
    """Visitors by version of the ruleset and variant."""
    found: dict[int, dict[str, int]] = {}
    for (variant, version), row in totals_by(rows).items():
        if row.visitors.visitors:
            found.setdefault(version, {})[variant] = row.visitors.visitors
    return found


def campaign_result(
    rows: Sequence[StatsRow], order: Sequence[str], control: str, shares: Mapping[int, Mapping[str, float]]
) -> CampaignResult:
    """Add rows up and compare. `order`: variants as they are to be listed, the others follow. `control` is the one to compare
    with where it has visitors, else the first that has. `shares`: of the versions of the ruleset that are known.
    """
    totals: dict[str, StatsRow] = {}
    for row in rows:
        totals[row.variant] = totals[row.variant] + row if row.variant in totals else row
    places = {variant: place for place, variant in enumerate(order)}
    listed = sorted(totals, key=lambda variant: (places.get(variant, len(places)), variant))
    seen = [variant for variant in listed if totals[variant].visitors.visitors]
    chosen = control if control in seen else next(iter(seen), None)
    against = None if chosen is None else totals[chosen]
    return CampaignResult(
        variants=[_variant_result(totals[variant], None if variant == chosen else against) for variant in listed],
        control=chosen,
        moved=sum(row.moved for row in totals.values()),
        sample_ratio=sample_ratio(visitors_by_version(rows), shares),
    )


def _variant_result(row: StatsRow, control: StatsRow | None) -> VariantResult:
    visitors = row.visitors.visitors
    return VariantResult(
        variant=row.variant,
        totals=row,
        click_rate=row.clicks / row.views if row.views else None,
        # Of a period clicks can outnumber views: a banner is seen before midnight and clicked after it.
        click_interval=ratio_interval(min(row.clicks, row.views), row.views, row.visitors),
        conversion_rate=row.converted / visitors if visitors else None,
        conversion_interval=wilson(row.converted, visitors),
        click_comparison=None if control is None else compare_variants(row.visitors, control.visitors),
        conversion_comparison=None if control is None else compare_variants(_converting(row), _converting(control)),
    )


def _converting(row: StatsRow) -> VisitorSums:
    return once_each(row.visitors.visitors, row.converted)


def shown_variant(variant: str) -> str:
    """A variant as the API names it: a campaign without a split has one, `DEFAULT_VARIANT`."""
    return DEFAULT_VARIANT if variant == NO_VARIANT else variant


def encode_rows(rows: Iterable[StatsRow]) -> bytes:
    """The rows of one hour, JSON: a list of lists in the order of `StatsRow`'s fields, the six sums in a list of their own."""
    return orjson.dumps([_plain(row) for row in sorted(rows, key=lambda row: (row.variant, row.ruleset_version))])


def _plain(row: StatsRow) -> list[Any]:
    sums = row.visitors
    visitors = [sums.visitors, sums.trials, sums.successes, sums.trials_squared, sums.successes_squared, sums.products]
    revenue = {currency: format(amount, "f") for currency, amount in sorted(row.revenue.items())}
    return [row.variant, row.ruleset_version, row.views, row.clicks, row.conversions, row.converted, row.moved, visitors, revenue]


def decode_rows(stored: bytes) -> list[StatsRow]:
    """The inverse of `encode_rows`. Raises ValueError."""
    try:
        return [_row(fields) for fields in orjson.loads(stored)]
    except (TypeError, AttributeError, ArithmeticError) as problem:
        raise ValueError("rows of campaign statistics that cannot be read") from problem


def _row(fields: list[Any]) -> StatsRow:
    *counts, visitors, revenue = fields
    values = [*counts, VisitorSums(*visitors), {currency: Decimal(amount) for currency, amount in revenue.items()}]
    return StatsRow(*values)
