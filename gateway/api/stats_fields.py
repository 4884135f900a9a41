"""Campaign statistics in the schema."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry import ID, Info

from gateway.api.inputs import time_input
from gateway.api.request_context import RequestContext
from gateway.api.scalars import DateTimeScalar, DecimalScalar
from gateway.api.types import MoneyType
from gateway.model.statistics import intervals, sequential
from gateway.model.statistics.results import CampaignResult, VariantResult, shown_variant
from gateway.services.campaign_stats import CampaignReport


@strawberry.type(name="Interval", description="A closed interval: both ends belong to it.")
class IntervalType:
    """A closed interval."""

    low: float = strawberry.field(description="The lower end.")
    high: float = strawberry.field(description="The upper end.")


@strawberry.type(
    name="Comparison",
    description="A variant compared with the control. You may read it at any time and as often as you like: if there is no true "
    "difference, pValue ever falls below 0.05, or the interval ever excludes 0, in at most 5 % of campaigns (mSPRT, docs/statistics.md).",
)
class ComparisonType:
    """A variant compared with the control."""

    control: str = strawberry.field(
        description="The variant it is compared with: the holdout if there is one, otherwise the first variant."
    )
    difference: float = strawberry.field(description="The variant's rate minus the control's rate.")
    interval: IntervalType | None = strawberry.field(
        description="The 95 % confidence sequence of the difference: it holds for all readings together. null: not enough data yet."
    )
    p_value: float = strawberry.field(description="The always-valid p-value.")


@strawberry.type(name="VariantStats", description="The results of one variant of a campaign.")
class VariantStatsType:
    """The results of one variant."""

    variant: str = strawberry.field(
        description='The variant; "holdout" for visitors in the holdout group, "default" for a campaign without a split.'
    )
    views: int = strawberry.field(description="The number of decisions that were seen; each counts once, however often its view was sent.")
    clicks: int = strawberry.field(description="The number of decisions that were clicked.")
    conversions: int = strawberry.field(
        description="The number of orders by visitors who saw or clicked the campaign in the attributionDays before the order. Each "
        "order id counts once."
    )
    revenue: list[MoneyType] = strawberry.field(description="The value of these orders, minus refunds.")
    click_rate: float | None = strawberry.field(description="Clicks per view; null without a view.")
    click_rate_interval: IntervalType | None = strawberry.field(
        description="The 95 % interval for a single reading. It takes into account that the views of one visitor are correlated."
    )
    visitors: int = strawberry.field(
        description="The number of visitors who first saw the campaign in this period, and saw this variant first."
    )
    converted: int = strawberry.field(description="How many of these visitors have an order that counts.")
    conversion_rate: float | None = strawberry.field(description="Converted visitors per visitor; null without a visitor.")
    conversion_rate_interval: IntervalType | None = strawberry.field(description="The 95 % interval for a single reading (Wilson).")
    comparison: ComparisonType | None = strawberry.field(
        description="The conversion rate compared with the control's; null for the control."
    )
    click_comparison: ComparisonType | None = strawberry.field(
        description="The click rate compared with the control's, for the visitors of the period; null for the control."
    )


@strawberry.type(
    name="SampleRatio",
    description="Whether the numbers of visitors match the weights and holdouts of the rulesets that decided for them.",
)
class SampleRatioType:
    """Whether the numbers of visitors match the weights."""

    p_value: float | None = strawberry.field(description="The p-value of a chi-square test; null: too few visitors, or only one variant.")
    mismatch: bool = strawberry.field(
        description="Whether pValue < 0.001: something loses or adds visitors of a variant. Trust no comparison until the cause is found."
    )
    variants: list[SampleRatioVariantType] = strawberry.field(description="The visitors of each variant.")
    versions_left_out: list[int] = strawberry.field(
        description="Versions of the ruleset that are not tested, because their weights cannot be read."
    )


@strawberry.type(name="SampleRatioVariant", description="The observed and the expected number of visitors of one variant.")
class SampleRatioVariantType:
    """The number of visitors of one variant."""

    variant: str = strawberry.field(description="The variant, as in VariantStats.")
    observed: int = strawberry.field(description="The number of visitors who saw it first.")
    expected: float = strawberry.field(description="The number expected from the weights and holdouts.")


@strawberry.type(
    name="CampaignStats", description="The results of a campaign. docs/statistics.md explains what is counted, and the methods."
)
class CampaignStatsType:
    """The results of a campaign."""

    campaign_id: ID = strawberry.field(description="The id of the campaign.")
    as_of: DateTimeScalar = strawberry.field(description="When the event log was read; later events are not counted yet.")
    from_: DateTimeScalar | None = strawberry.field(
        name="from", description="The start of the hours that are counted; null: there are none yet."
    )
    to: DateTimeScalar | None = strawberry.field(description="The end of the hours that are counted.")
    attribution_days: int | None = strawberry.field(
        description="An order counts for this many days after a view or click; null: nothing is counted yet."
    )
    variants: list[VariantStatsType] = strawberry.field(description="The variants in the order of the ruleset in force, the holdout last.")
    moved_visitors: int = strawberry.field(
        description="The number of visitors who saw several variants, because they logged in on a second device or weights changed. "
        "They count for the first variant."
    )
    sample_ratio: SampleRatioType = strawberry.field(description="Whether visitors were split as the weights say.")


@strawberry.type
class StatsQuery:
    """The results of campaigns."""

    @strawberry.field(
        description="The results of a campaign in every whole hour that the period touches. null: statistics were never computed "
        "(processors campaign-stats). (secret)"
    )
    async def campaign_stats(
        self,
        info: Info[RequestContext, None],
        campaign_id: Annotated[
            ID, strawberry.argument(description="A campaign of the ruleset in force, or an earlier one that has statistics.")
        ],
        from_: Annotated[
            DateTimeScalar | None,
            strawberry.argument(name="from", description="From the hour that includes this time. Default: the first hour there is."),
        ] = None,
        to: Annotated[
            DateTimeScalar | None,
            strawberry.argument(description="Up to the end of the hour that includes this time. Default: the last hour there is."),
        ] = None,
    ) -> CampaignStatsType | None:
        """The results of a campaign."""
        info.context.secret()
        from_ms, to_ms = time_input(from_, "from"), time_input(to, "to")
        report = await info.context.services.campaign_stats.report(campaign_id, from_ms, to_ms)
        return None if report is None else _to_stats(report)


def _to_stats(report: CampaignReport) -> CampaignStatsType:
    result = report.result
    return CampaignStatsType(
        campaign_id=ID(report.campaign_id),
        as_of=DateTimeScalar(report.as_of_ms),
        from_=None if report.from_ms is None else DateTimeScalar(report.from_ms),
        to=None if report.to_ms is None else DateTimeScalar(report.to_ms),
        attribution_days=report.attribution_days,
        variants=[_to_variant(variant, result.control) for variant in result.variants],
        moved_visitors=result.moved,
        sample_ratio=_to_sample_ratio(result, report),
    )


def _to_variant(result: VariantResult, control: str | None) -> VariantStatsType:
    totals = result.totals
    revenue = sorted(totals.revenue.items())
    return VariantStatsType(
        variant=shown_variant(result.variant),
        views=totals.views,
        clicks=totals.clicks,
        conversions=totals.conversions,
        revenue=[MoneyType(amount=DecimalScalar(format(amount, "f")), currency=currency) for currency, amount in revenue],
        click_rate=result.click_rate,
        click_rate_interval=_to_interval(result.click_interval),
        visitors=totals.visitors.visitors,
        converted=totals.converted,
        conversion_rate=result.conversion_rate,
        conversion_rate_interval=_to_interval(result.conversion_interval),
        comparison=_to_comparison(result.conversion_comparison, control),
        click_comparison=_to_comparison(result.click_comparison, control),
    )


def _to_interval(interval: intervals.Interval | None) -> IntervalType | None:
    return None if interval is None else IntervalType(low=interval.low, high=interval.high)


def _to_comparison(comparison: sequential.VariantComparison | None, control: str | None) -> ComparisonType | None:
    if comparison is None or control is None:
        return None
    return ComparisonType(
        control=shown_variant(control),
        difference=comparison.difference,
        interval=_to_interval(comparison.interval),
        p_value=comparison.p_value,
    )


def _to_sample_ratio(result: CampaignResult, report: CampaignReport) -> SampleRatioType:
    ratio = result.sample_ratio
    listed = [variant.variant for variant in result.variants if variant.variant in ratio.observed]
    unlisted = sorted(set(ratio.observed) - set(listed))
    return SampleRatioType(
        p_value=ratio.p_value,
        mismatch=ratio.mismatch,
        variants=[
            SampleRatioVariantType(variant=shown_variant(name), observed=ratio.observed[name], expected=ratio.expected[name])
            for name in [*listed, *unlisted]
        ],
        versions_left_out=list(report.left_out),
    )
