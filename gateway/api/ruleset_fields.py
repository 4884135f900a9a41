"""Rulesets and previews in the schema: read a version, publish one, preview decisions."""

from __future__ import annotations

from typing import Annotated, cast

import strawberry
from strawberry import ID, Info

from gateway.api import types
from gateway.api.arguments import PageArgument, PlacementArgument, RulesetVersionArgument
from gateway.api.inputs import plain
from gateway.api.mapping import decision_answer
from gateway.api.request_context import RequestContext
from gateway.api.scalars import DateTimeScalar, JSONScalar
from gateway.errors import BadUserInput
from gateway.model.decisions.decide import Inputs
from gateway.model.rulesets.ruleset import Campaign, RulesetProblem
from gateway.model.visitors.context_input import InvalidContext, complete_context
from gateway.services.previews import PreviewRequest, optional_moment_ms
from gateway.services.rulesets import LoadedRuleset

MomentArgument = Annotated[
    DateTimeScalar | None, strawberry.argument(description="Decide as if it were then: schedules and caps hold. Without it: now.")
]


@strawberry.type(name="CampaignSummary", description="A campaign, in short.")
class CampaignSummaryType:
    """A campaign, in short."""

    campaign_id: ID = strawberry.field(description="Its id in the ruleset.")
    placement: ID = strawberry.field(description="Where it shows its banner.")
    priority: int = strawberry.field(
        description="Of the campaigns that apply, the one with the greatest is shown; from -1,000,000 to 1,000,000."
    )
    when: str = strawberry.field(description="Its condition, CEL.")
    starts_at: DateTimeScalar | None = strawberry.field(description="Begin of its schedule; null: it has none.")
    ends_at: DateTimeScalar | None = strawberry.field(description="End of its schedule; null: it has none.")


@strawberry.type(name="Ruleset", description="A numbered, immutable version of all placements and campaigns.")
class RulesetType:
    """A version of all placements and campaigns."""

    version: int = strawberry.field(description="Counts up by one with each that is published.")
    published_at: DateTimeScalar | None = strawberry.field(description="null: the seed of this gateway's settings, or a dry run.")
    placements: list[ID] = strawberry.field(description="Ids of the placements.")
    campaigns: list[CampaignSummaryType] = strawberry.field(description="By placement, the strongest first.")
    yaml: str = strawberry.field(description="Its whole text, as it was published.")


@strawberry.type(name="RulesetProblem", description="A mistake in a ruleset. Line and column count from 1.")
class RulesetProblemType:
    """A mistake in a ruleset."""

    message: str = strawberry.field(description="What is wrong, in words.")
    campaign_id: ID | None = strawberry.field(description="The campaign it is in, where it is in one.")
    line: int | None = strawberry.field(description="Line in `yaml`, where it has a place.")
    column: int | None = strawberry.field(description="Column in that line.")


@strawberry.type(name="PublishResult", description="What became of a wish to publish: a ruleset, or all the mistakes that refuse it.")
class PublishResultType:
    """Answer of `publishRuleset`."""

    ruleset: RulesetType | None = strawberry.field(description="What is now in force; by a dry run what would be.")
    problems: list[RulesetProblemType] = strawberry.field(description="All mistakes; empty when it was taken.")


@strawberry.type(name="Preview", description="A token for `previewToken`.")
class PreviewType:
    """Answer of `createPreview`."""

    token: str = strawberry.field(description="Signed; it goes into a link to the page.")
    expires_at: DateTimeScalar = strawberry.field(description="When it ends.")


@strawberry.type
class RulesetQuery:
    """What can be asked about rulesets."""

    @strawberry.field(description="A version of the ruleset; without `version` the one in force. (secret)")
    async def ruleset(self, info: Info[RequestContext, None], version: RulesetVersionArgument = None) -> RulesetType | None:
        """A version of the ruleset."""
        info.context.secret()
        return _ruleset(await info.context.services.rulesets.version(version))

    @strawberry.field(
        description="The decision for a context that is given, in the form of docs/context.md; what is left out is empty. "
        "Its reason is what a visitor would get, its BANNER_* events are rejected. (secret)"
    )
    async def preview(
        self,
        info: Info[RequestContext, None],
        placement: PlacementArgument,
        context: Annotated[
            JSONScalar, strawberry.argument(description="An object with fields of a context: cart, traits, purchases and so on.")
        ],
        page: PageArgument = None,
        at: MomentArgument = None,
        ruleset_version: RulesetVersionArgument = None,
    ) -> types.BannerDecisionType | None:
        """Decide for a context that is given."""
        info.context.secret()
        services = info.context.services
        try:
            given = complete_context(cast(object, context))
        except InvalidContext as problem:
            raise BadUserInput(str(problem), field="context") from problem
        at_ms = optional_moment_ms(at, "at")
        in_force = await services.rulesets.version(ruleset_version)
        inputs = Inputs(given, plain(page), services.now_ms() if at_ms is None else at_ms, given["user_id"] or None)
        return decision_answer(services.banners.previewed(in_force.ruleset, placement, inputs))


@strawberry.type
class RulesetMutation:
    """What can be done with rulesets."""

    @strawberry.mutation(
        description="Publish a ruleset: in force on every gateway within a second. With `expectedVersion` only after that one, else "
        "CONFLICT. `dryRun` checks and stores nothing. (secret)"
    )
    async def publish_ruleset(
        self,
        info: Info[RequestContext, None],
        yaml: Annotated[str, strawberry.argument(description="The whole ruleset (docs/campaigns.md), at most 1,000,000 bytes.")],
        expected_version: Annotated[
            int | None, strawberry.argument(description="The version it was made from. Without it: after whatever is in force.")
        ] = None,
        dry_run: Annotated[bool, strawberry.argument(description="true: only say what would come of it.")] = False,
    ) -> PublishResultType | None:
        """Publish a ruleset."""
        info.context.secret()
        outcome = await info.context.services.rulesets.publish(yaml, expected_version, dry_run=dry_run)
        return PublishResultType(
            ruleset=None if outcome.in_force is None else _ruleset(outcome.in_force),
            problems=[_problem(problem) for problem in outcome.problems],
        )

    @strawberry.mutation(
        description="A token for a link with which a page shows a version, a moment or a campaign (whatever its condition, schedule, caps "
        "and holdout say), with reason PREVIEW and without counting. `yaml` instead of a version: a ruleset that is not published; "
        "mistakes in it are BAD_USER_INPUT, each on a line of the message with its line and column. (secret)"
    )
    async def create_preview(
        self,
        info: Info[RequestContext, None],
        ruleset_version: RulesetVersionArgument = None,
        campaign_id: Annotated[
            ID | None, strawberry.argument(description="Show this one in its placement, whatever its rules say.")
        ] = None,
        at: MomentArgument = None,
        expires_in_minutes: Annotated[int, strawberry.argument(description="From 1 to 10,080 (a week).")] = 60,
        yaml: Annotated[
            str | None, strawberry.argument(description="A ruleset that is not published; then rulesetVersion must be left out.")
        ] = None,
    ) -> PreviewType | None:
        """Make a preview token."""
        info.context.secret()
        wish = PreviewRequest(ruleset_version, campaign_id, at, expires_in_minutes, yaml)
        token, expires_at_ms = await info.context.services.previews.create(wish)
        return PreviewType(token=token, expires_at=DateTimeScalar(expires_at_ms))


def _ruleset(in_force: LoadedRuleset) -> RulesetType:
    ruleset = in_force.ruleset
    return RulesetType(
        version=ruleset.version,
        published_at=None if in_force.published_at_ms is None else DateTimeScalar(in_force.published_at_ms),
        placements=[ID(placement_id) for placement_id in ruleset.placements],
        campaigns=[_campaign(campaign) for placement in ruleset.placements.values() for campaign in placement.campaigns],
        yaml=ruleset.yaml,
    )


def _campaign(campaign: Campaign) -> CampaignSummaryType:
    schedule = campaign.schedule
    return CampaignSummaryType(
        campaign_id=ID(campaign.campaign_id),
        placement=ID(campaign.placement),
        priority=campaign.priority,
        when=campaign.when.text,
        starts_at=None if schedule.from_ms is None else DateTimeScalar(schedule.from_ms),
        ends_at=None if schedule.until_ms is None else DateTimeScalar(schedule.until_ms),
    )


def _problem(problem: RulesetProblem) -> RulesetProblemType:
    campaign_id = None if problem.campaign_id is None else ID(problem.campaign_id)
    return RulesetProblemType(message=problem.message, campaign_id=campaign_id, line=problem.line, column=problem.column)
