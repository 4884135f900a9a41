"""Rulesets and previews in the schema: read a version, publish one, preview decisions."""

from __future__ import annotations

from typing import Annotated, cast

import strawberry
from strawberry import ID, Info

from gateway.api import types
from gateway.api.arguments import MomentArgument, PageArgument, PlacementArgument, RulesetVersionArgument
from gateway.api.inputs import decision_time_input, plain_data
from gateway.api.mapping import to_banner_decision
from gateway.api.request_context import RequestContext
from gateway.api.scalars import DateTimeScalar, JSONScalar
from gateway.errors import BadUserInput
from gateway.model.decisions.decide import Inputs
from gateway.model.rulesets.ruleset import Campaign, RulesetProblem
from gateway.model.visitors.context_input import InvalidContext, complete_context
from gateway.services.previews import PreviewRequest
from gateway.services.rulesets import LoadedRuleset


@strawberry.type(name="CampaignSummary", description="A summary of a campaign.")
class CampaignSummaryType:
    """A summary of a campaign."""

    campaign_id: ID = strawberry.field(description="The campaign's id in the ruleset.")
    placement: ID = strawberry.field(description="The placement whose banner it decides.")
    priority: int = strawberry.field(
        description="From -1,000,000 to 1,000,000. If several campaigns apply, the one with the highest priority is shown."
    )
    when: str = strawberry.field(description="The condition, a CEL expression.")
    starts_at: DateTimeScalar | None = strawberry.field(description="The start of its schedule; null if there is none.")
    ends_at: DateTimeScalar | None = strawberry.field(description="The end of its schedule; null if there is none.")


@strawberry.type(name="Ruleset", description="A numbered, immutable version of all placements and campaigns.")
class RulesetType:
    """A version of all placements and campaigns."""

    version: int = strawberry.field(description="The number of the version; each published version adds 1.")
    published_at: DateTimeScalar | None = strawberry.field(
        description="When it was published; null for the ruleset file of this gateway's settings, and for a dry run."
    )
    placements: list[ID] = strawberry.field(description="The ids of the placements.")
    campaigns: list[CampaignSummaryType] = strawberry.field(description="The campaigns by placement, highest priority first.")
    yaml: str = strawberry.field(description="The YAML, exactly as it was published.")
    format: int = strawberry.field(
        description="How the YAML is read. 1: as YAML 1.1, in which no, on and 9:30 are not strings. From 2 on: as YAML 1.2 (core schema)."
    )


@strawberry.type(name="RulesetProblem", description="A mistake in a ruleset.")
class RulesetProblemType:
    """A mistake in a ruleset. Line and column count from 1."""

    message: str = strawberry.field(description="What is wrong, in words.")
    campaign_id: ID | None = strawberry.field(description="The campaign that contains it; null if none does.")
    line: int | None = strawberry.field(description="The line in `yaml`, from 1; null if it has no place there.")
    column: int | None = strawberry.field(description="The column in that line, from 1.")


@strawberry.type(name="PublishResult", description="The result of publishing: the ruleset, or all the mistakes in it.")
class PublishResultType:
    """The answer of `publishRuleset`."""

    ruleset: RulesetType | None = strawberry.field(
        description="The ruleset that is now in force; after a dry run, the one that would be. null if it has mistakes."
    )
    problems: list[RulesetProblemType] = strawberry.field(description="All the mistakes; empty if the ruleset was accepted.")


@strawberry.type(name="Preview", description="A preview token; pass it as `previewToken`.")
class PreviewType:
    """The answer of `createPreview`."""

    token: str = strawberry.field(description="The signed token, for a link to the page.")
    expires_at: DateTimeScalar = strawberry.field(description="When the token expires.")


@strawberry.type
class RulesetQuery:
    """Read a ruleset, or decide for a given context."""

    @strawberry.field(description="A version of the ruleset. (secret)")
    async def ruleset(self, info: Info[RequestContext, None], version: RulesetVersionArgument = None) -> RulesetType | None:
        """A version of the ruleset."""
        info.context.secret()
        return _to_ruleset(await info.context.services.rulesets.version(version))

    @strawberry.field(
        description="The decision for a given context, in the form of docs/context.md; omitted fields are empty. The reason is the one "
        "that a visitor would get. Its BANNER_* events are rejected. (secret)"
    )
    async def preview(
        self,
        info: Info[RequestContext, None],
        placement: PlacementArgument,
        context: Annotated[
            JSONScalar, strawberry.argument(description="An object with fields of a context, such as cart, traits and purchases.")
        ],
        page: PageArgument = None,
        at: MomentArgument = None,
        ruleset_version: RulesetVersionArgument = None,
    ) -> types.BannerDecisionType | None:
        """Decide for a given context."""
        info.context.secret()
        services = info.context.services
        try:
            completed = complete_context(cast(object, context))
        except InvalidContext as problem:
            raise BadUserInput(str(problem), field="context") from problem
        at_ms = decision_time_input(at, "at")
        loaded = await services.rulesets.version(ruleset_version)
        now_ms = services.now_ms() if at_ms is None else at_ms
        inputs = Inputs(completed, plain_data(page), now_ms, completed["user_id"] or None)
        return to_banner_decision(services.banners.preview(loaded.ruleset, placement, inputs))


@strawberry.type
class RulesetMutation:
    """Publish a ruleset, or create a preview token."""

    @strawberry.mutation(
        description="Publish a ruleset. It is in force on every gateway within a second. With `expectedVersion`, another current version "
        "is a CONFLICT. With `dryRun`, it is only checked; nothing is stored. (secret)"
    )
    async def publish_ruleset(
        self,
        info: Info[RequestContext, None],
        yaml: Annotated[str, strawberry.argument(description="The whole ruleset (docs/campaigns.md); at most 1,000,000 bytes.")],
        expected_version: Annotated[
            int | None,
            strawberry.argument(description="The version that this ruleset was edited from. Without it, any current version is replaced."),
        ] = None,
        dry_run: Annotated[bool, strawberry.argument(description="true: only report what publishing it would result in.")] = False,
    ) -> PublishResultType | None:
        """Publish a ruleset."""
        info.context.secret()
        outcome = await info.context.services.rulesets.publish(yaml, expected_version, dry_run=dry_run)
        return PublishResultType(
            ruleset=None if outcome.ruleset is None else _to_ruleset(outcome.ruleset),
            problems=[_to_problem(problem) for problem in outcome.problems],
        )

    @strawberry.mutation(
        description="Create a token for a preview link. The page then shows a version, a time, or one campaign (regardless of its "
        "condition, schedule, caps and holdout), with reason PREVIEW and without counting. `yaml` instead of a version previews an "
        "unpublished ruleset; its mistakes are BAD_USER_INPUT, one per line of the message, each with its line and column. (secret)"
    )
    async def create_preview(
        self,
        info: Info[RequestContext, None],
        ruleset_version: RulesetVersionArgument = None,
        campaign_id: Annotated[
            ID | None, strawberry.argument(description="The campaign to show in its placement, regardless of its rules.")
        ] = None,
        at: MomentArgument = None,
        expires_in_minutes: Annotated[
            int, strawberry.argument(description="How long the token is valid, in minutes: from 1 to 10,080 (a week).")
        ] = 60,
        yaml: Annotated[str | None, strawberry.argument(description="An unpublished ruleset. Omit rulesetVersion then.")] = None,
    ) -> PreviewType | None:
        """Create a preview token."""
        info.context.secret()
        request = PreviewRequest(ruleset_version, campaign_id, decision_time_input(at, "at"), expires_in_minutes, yaml)
        token, expires_at_ms = await info.context.services.previews.create(request)
        return PreviewType(token=token, expires_at=DateTimeScalar(expires_at_ms))


def _to_ruleset(loaded: LoadedRuleset) -> RulesetType:
    ruleset = loaded.ruleset
    return RulesetType(
        version=ruleset.version,
        published_at=None if loaded.published_at_ms is None else DateTimeScalar(loaded.published_at_ms),
        placements=[ID(placement_id) for placement_id in ruleset.placements],
        campaigns=[_to_campaign(campaign) for placement in ruleset.placements.values() for campaign in placement.campaigns],
        yaml=ruleset.yaml,
        format=ruleset.text_format,
    )


def _to_campaign(campaign: Campaign) -> CampaignSummaryType:
    schedule = campaign.schedule
    return CampaignSummaryType(
        campaign_id=ID(campaign.campaign_id),
        placement=ID(campaign.placement),
        priority=campaign.priority,
        when=campaign.when.text,
        starts_at=None if schedule.from_ms is None else DateTimeScalar(schedule.from_ms),
        ends_at=None if schedule.until_ms is None else DateTimeScalar(schedule.until_ms),
    )


def _to_problem(problem: RulesetProblem) -> RulesetProblemType:
    campaign_id = None if problem.campaign_id is None else ID(problem.campaign_id)
    return RulesetProblemType(message=problem.message, campaign_id=campaign_id, line=problem.line, column=problem.column)
