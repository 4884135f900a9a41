"""Campaign statistics in the schema."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry import ID, Info

from gateway.api.request_context import RequestContext
from gateway.api.scalars import DateTimeScalar, DecimalScalar
from gateway.api.types import MoneyType
from gateway.model.statistics import intervals, sequential
from gateway.model.statistics.results import CampaignResult, VariantResult, shown_variant
from gateway.services.campaign_stats import CampaignReport
from gateway.services.previews import optional_time_ms


@strawberry.type(name="Interval", description="Both ends belong to it.")
class IntervalType:
    """An interval."""

    low: float = strawberry.field(description="The lower end.")
    high: float = strawberry.field(description="The upper end.")


@strawberry.type(
    name="Comparison",
    description="A variant against the control. It may be read at any time and as often as one likes: without a true difference "
    "pValue ever falls below 0.05, or the interval ever leaves out 0, in at most 5 % of all campaigns (mSPRT, docs/statistics.md).",
)
class ComparisonType:
    """A variant against the control."""

    control: str = strawberry.field(description="The variant it is compared with: the holdout where there is one, else the first.")
    difference: float = strawberry.field(description="The variant's rate minus the control's.")
    interval: IntervalType | None = strawberry.field(
        description="Of the difference, 95 % at all times together; null: nothing tells of it yet."
    )
    p_value: float = strawberry.field(description="Always-valid p-value.")


@strawberry.type(name="VariantStats", description="What came of one variant of a campaign.")
class VariantStatsType:
    """What came of one variant."""

    variant: str = strawberry.field(description='"holdout" for visitors held out, "default" for a campaign without a split.')
    views: int = strawberry.field(description="Decisions that were seen; each once, however often its view was reported.")
    clicks: int = strawberry.field(description="Of the decisions those that were clicked.")
    conversions: int = strawberry.field(
        description="Orders of visitors who saw or clicked the campaign within attributionDays before; each order id once."
    )
    revenue: list[MoneyType] = strawberry.field(description="Of these orders, refunds taken off.")
    click_rate: float | None = strawberry.field(description="Clicks per view; null without a view.")
    click_rate_interval: IntervalType | None = strawberry.field(
        description="95 %, for one reading; it allows for views of one visitor that are alike."
    )
    visitors: int = strawberry.field(description="Visitors who first saw the campaign in this period, and saw this variant first.")
    converted: int = strawberry.field(description="Of these visitors those with an order that counts.")
    conversion_rate: float | None = strawberry.field(description="Converted per visitor; null without a visitor.")
    conversion_rate_interval: IntervalType | None = strawberry.field(description="95 %, for one reading (Wilson).")
    comparison: ComparisonType | None = strawberry.field(description="Of the conversion rate with the control's; null for the control.")
    click_comparison: ComparisonType | None = strawberry.field(
        description="Of the click rate with the control's, over the visitors of the period; null for the control."
    )


@strawberry.type(
    name="SampleRatio", description="How visitors are split, against the weights and holdouts of the rulesets that they were shown by."
)
class SampleRatioType:
    """How visitors are split."""

    p_value: float | None = strawberry.field(description="Chi-square test; null: too few visitors, or one variant only.")
    mismatch: bool = strawberry.field(
        description="pValue < 0.001: something loses visitors of a variant, and no comparison can be trusted before it is found."
    )
    variants: list[SampleRatioVariantType] = strawberry.field(description="The visitors of each variant.")
    versions_left_out: list[int] = strawberry.field(description="Versions of the ruleset whose weights cannot be read; not tested.")


@strawberry.type(name="SampleRatioVariant", description="Visitors of one variant.")
class SampleRatioVariantType:
    """Visitors of one variant."""

    variant: str = strawberry.field(description="As in VariantStats.")
    observed: int = strawberry.field(description="Visitors who saw it first.")
    expected: float = strawberry.field(description="How many the weights and holdouts lead to expect.")


@strawberry.type(
    name="CampaignStats", description="What came of a campaign. docs/statistics.md says what is counted, and by which methods."
)
class CampaignStatsType:
    """What came of a campaign."""

    campaign_id: ID = strawberry.field(description="The campaign.")
    as_of: DateTimeScalar = strawberry.field(description="When the event log was read; later events are not counted yet.")
    from_: DateTimeScalar | None = strawberry.field(
        name="from", description="Begin of the hours that are counted; null: there are none yet."
    )
    to: DateTimeScalar | None = strawberry.field(description="End of the hours that are counted.")
    attribution_days: int | None = strawberry.field(description="So long after a view or click an order counts; null: nothing counted yet.")
    variants: list[VariantStatsType] = strawberry.field(description="In the order of the ruleset in force, the holdout last.")
    moved_visitors: int = strawberry.field(
        description="Visitors who saw several variants, by logging in on a second device or by changed weights; they count to the first."
    )
    sample_ratio: SampleRatioType = strawberry.field(description="Whether visitors were split as they should be.")


@strawberry.type
class StatsQuery:
    """What came of campaigns."""

    @strawberry.field(
        description="What came of a campaign, in whole hours that touch the period; null while statistics were never computed "
        "(processors campaign-stats). (secret)"
    )
    async def campaign_stats(
        self,
        info: Info[RequestContext, None],
        campaign_id: Annotated[
            ID, strawberry.argument(description="A campaign of the ruleset in force, or of an earlier one that was counted.")
        ],
        from_: Annotated[
            DateTimeScalar | None,
            strawberry.argument(name="from", description="From the hour of this moment on; without it, all there is."),
        ] = None,
        to: Annotated[DateTimeScalar | None, strawberry.argument(description="Up to the end of the hour of this moment.")] = None,
    ) -> CampaignStatsType | None:
        """What came of a campaign."""
        info.context.secret()
        from_ms, to_ms = optional_time_ms(from_, "from"), optional_time_ms(to, "to")
        report = await info.context.services.campaign_stats.report(campaign_id, from_ms, to_ms)
        return None if report is None else _stats(report)


def _stats(report: CampaignReport) -> CampaignStatsType:
    result = report.result
    return CampaignStatsType(
        campaign_id=ID(report.campaign_id),
        as_of=DateTimeScalar(report.as_of_ms),
        from_=None if report.from_ms is None else DateTimeScalar(report.from_ms),
        to=None if report.to_ms is None else DateTimeScalar(report.to_ms),
        attribution_days=report.attribution_days,
        variants=[_variant(one, result.control) for one in result.variants],
        moved_visitors=result.moved,
        sample_ratio=_sample_ratio(result, report),
    )


def _variant(one: VariantResult, control: str | None) -> VariantStatsType:
    totals = one.totals
    revenue = sorted(totals.revenue.items())
    return VariantStatsType(
        variant=shown_variant(one.variant),
        views=totals.views,
        clicks=totals.clicks,
        conversions=totals.conversions,
        revenue=[MoneyType(amount=DecimalScalar(format(amount, "f")), currency=currency) for currency, amount in revenue],
        click_rate=one.click_rate,
        click_rate_interval=_interval(one.click_interval),
        visitors=totals.visitors.visitors,
        converted=totals.converted,
        conversion_rate=one.conversion_rate,
        conversion_rate_interval=_interval(one.conversion_interval),
        comparison=_comparison(one.conversion_comparison, control),
        click_comparison=_comparison(one.click_comparison, control),
    )


def _interval(found: intervals.Interval | None) -> IntervalType | None:
    return None if found is None else IntervalType(low=found.low, high=found.high)


def _comparison(found: sequential.VariantComparison | None, control: str | None) -> ComparisonType | None:
    if found is None or control is None:
        return None
    return ComparisonType(
        control=shown_variant(control), difference=found.difference, interval=_interval(found.interval), p_value=found.p_value
    )


def _sample_ratio(result: CampaignResult, report: CampaignReport) -> SampleRatioType:
    found = result.sample_ratio
    listed = [variant.variant for variant in result.variants if variant.variant in found.observed]
    unseen = sorted(set(found.observed) - set(listed))
    return SampleRatioType(
        p_value=found.p_value,
        mismatch=found.mismatch,
        variants=[
            SampleRatioVariantType(variant=shown_variant(name), observed=found.observed[name], expected=found.expected[name])
            for name in [*listed, *unseen]
        ],
        versions_left_out=list(report.left_out),
    )
