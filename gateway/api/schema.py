"""The schema: thin resolvers over the services. `schema.graphql` in the project's root is its export."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, cast

import strawberry
from graphql import GraphQLInputObjectType, GraphQLObjectType, Undefined
from strawberry import ID, Info
from strawberry.schema.config import StrawberryConfig

from gateway.api import types
from gateway.api.arguments import (
    AfterArgument,
    MaxWaitMsArgument,
    MessageIdArgument,
    NamedVisitorArgument,
    PageArgument,
    PlacementArgument,
    PlacementsArgument,
    PreviewTokenArgument,
    SentAtArgument,
    TimestampArgument,
    VisitorArgument,
)
from gateway.api.explain_fields import ExplainQuery
from gateway.api.inputs import EventInput, PageInput, plain_data
from gateway.api.mapping import to_banner_decision, to_event_result, to_user_context, to_visit
from gateway.api.request_context import RequestContext
from gateway.api.ruleset_fields import RulesetMutation, RulesetQuery
from gateway.api.scalars import SCALARS, CursorScalar, DateTimeScalar, JSONScalar
from gateway.api.stats_fields import StatsQuery
from gateway.api.trends_fields import TrendsQuery
from gateway.auth import CredentialKind
from gateway.errors import BadUserInput, Forbidden
from gateway.model.events.visitor_ids import is_anonymous
from gateway.services.banners import BannerRequest
from gateway.services.tracking import BatchAnswer

ContextInfo = Info[RequestContext, None]


async def _banner_request(
    info: ContextInfo, placements: list[ID], user_id: str | None, page: PageInput | None, preview_token: str | None
) -> BannerRequest:
    visitor_id = info.context.visitor(user_id)
    return BannerRequest(visitor_id, tuple(placements), plain_data(page), await info.context.services.previews.open(preview_token))


@strawberry.type(name="TrackResult", description="The results of a batch of events.")
class TrackResultType:
    """The results of a batch of events."""

    results: list[types.EventResultType] = strawberry.field(description="One result per event, in the order they were sent.")
    cursor: CursorScalar | None = strawberry.field(
        description="The position of the events in the log; null if the batch contains several visitors, or a position is unknown."
    )
    server_time: DateTimeScalar = strawberry.field(
        description="The gateway's clock. A client can derive the offset of its own clock from it."
    )
    visitor_id: strawberry.Private[str | None]

    @strawberry.field(description="The decisions after these events, in the same round trip.")
    async def decisions(
        self, info: ContextInfo, placements: PlacementsArgument, page: PageArgument = None, max_wait_ms: MaxWaitMsArgument = 250
    ) -> list[types.BannerDecisionType] | None:
        """Wait until the context includes the events, then decide."""
        if self.visitor_id is None:
            raise BadUserInput("decisions requires a batch of a single visitor with at least one accepted event", field="decisions")
        request = BannerRequest(self.visitor_id, tuple(placements), plain_data(page))
        issued = await info.context.services.banners.decisions(request, self.cursor, max_wait_ms)
        return [to_banner_decision(decision) for decision in issued]


def _to_track_result(info: ContextInfo, batch: BatchAnswer) -> TrackResultType:
    return TrackResultType(
        results=[to_event_result(answer) for answer in batch.answers],
        cursor=None if batch.cursor is None else CursorScalar(batch.cursor),
        server_time=DateTimeScalar(info.context.services.now_ms()),
        visitor_id=batch.visitor_id,
    )


@strawberry.type(
    name="Query",
    description="All queries; those marked (secret) require a secret key. A field that fails is null, and `errors` explains why; "
    "others are not affected.",
)
class QueryType(RulesetQuery, ExplainQuery, TrendsQuery, StatsQuery):
    """All queries."""

    @strawberry.field(
        description="The decision for one placement: for the visitor of the token, or, with a publishable key, for the page alone."
    )
    async def banner(
        self,
        info: ContextInfo,
        placement: PlacementArgument,
        user_id: VisitorArgument = None,
        page: PageArgument = None,
        after: AfterArgument = None,
        max_wait_ms: MaxWaitMsArgument = 0,
        preview_token: PreviewTokenArgument = None,
    ) -> types.BannerDecisionType | None:
        """One decision."""
        request = await _banner_request(info, [placement], user_id, page, preview_token)
        issued = await info.context.services.banners.decisions(request, after, max_wait_ms)
        return to_banner_decision(issued[0])

    @strawberry.field(description="One decision per placement, in the order of the placements.")
    async def banners(
        self,
        info: ContextInfo,
        placements: PlacementsArgument,
        user_id: VisitorArgument = None,
        page: PageArgument = None,
        after: AfterArgument = None,
        max_wait_ms: MaxWaitMsArgument = 0,
        preview_token: PreviewTokenArgument = None,
    ) -> list[types.BannerDecisionType] | None:
        """Several decisions from one read of the context."""
        request = await _banner_request(info, placements, user_id, page, preview_token)
        issued = await info.context.services.banners.decisions(request, after, max_wait_ms)
        return [to_banner_decision(decision) for decision in issued]

    @strawberry.field(description="What is currently known about a visitor; null if nothing is.")
    async def user_context(self, info: ContextInfo, user_id: VisitorArgument = None) -> types.UserContextType | None:
        """A visitor's context. The token of an anonymous id that joined a user does not show that person's data."""
        context = info.context
        visitor_id = context.required_visitor(user_id)
        stored = await context.services.reader.read(visitor_id)
        is_secret = context.credential.kind is CredentialKind.SECRET
        if stored.joined and not is_secret:
            raise Forbidden("this anonymous visitor joined a known one; the known visitor's token shows the context")
        if stored.context is None:
            return None
        return to_user_context(stored.context, context.services.now_ms(), may_see_traits=is_secret)


@strawberry.type(
    name="Mutation",
    description="All mutations; those marked (secret) require a secret key. It is safe to send the same message id again: a message "
    "counts once.",
)
class MutationType(RulesetMutation):
    """All mutations."""

    @strawberry.mutation(
        description="Create an anonymous visitor and its signed token; nothing is written. With `token`: renew that visitor's token, "
        "even for some days after it expired."
    )
    async def start_visit(
        self,
        info: ContextInfo,
        token: Annotated[
            str | None,
            strawberry.argument(description="An earlier token from startVisit, to keep its visitor. Default: create a new visitor."),
        ] = None,
    ) -> types.VisitType | None:
        """Start or renew a visit."""
        context = info.context
        context.authenticated()
        authenticator = context.services.authenticator
        visit = authenticator.start_visit() if token is None else authenticator.renew_visit(token)
        return to_visit(visit, context.services.now_ms())

    @strawberry.mutation(description="Send events. Each has its own result: a rejected event does not affect the others.")
    async def track(
        self,
        info: ContextInfo,
        events: Annotated[
            list[EventInput],
            strawberry.argument(
                description="At most GATEWAY_MAX_BATCH_EVENTS events (100). With a secret key they may be of different visitors."
            ),
        ],
        sent_at: SentAtArgument = None,
    ) -> TrackResultType | None:
        """Send events."""
        context = info.context
        batch = await context.services.tracking.track(context.authenticated(), plain_data(events), sent_at, context.traceparent)
        return _to_track_result(info, batch)

    @strawberry.mutation(
        description="Join an anonymous visitor to a known one, and set traits. The credential is the known visitor's token; "
        "`anonymousToken` proves who the anonymous visitor is. With a secret key: userId and anonymousId. An anonymous id joins one "
        "user, once."
    )
    async def identify(
        self,
        info: ContextInfo,
        message_id: MessageIdArgument,
        user_id: Annotated[ID | None, strawberry.argument(description="With a secret key: the known visitor.")] = None,
        anonymous_id: Annotated[ID | None, strawberry.argument(description="With a secret key: the anonymous visitor that joins.")] = None,
        anonymous_token: Annotated[
            str | None, strawberry.argument(description="The token of the anonymous visitor that joins, from startVisit.")
        ] = None,
        traits: Annotated[
            JSONScalar | None,
            strawberry.argument(
                description="An object of at most 64 keys and 4 KiB, merged into the visitor's traits key by key. A visitor token may set "
                "public traits only."
            ),
        ] = None,
        timestamp: TimestampArgument = None,
        sent_at: SentAtArgument = None,
    ) -> TrackResultType | None:
        """Join an anonymous visitor to a known one."""
        context = info.context
        known = context.required_visitor(user_id)
        if is_anonymous(known):
            raise Forbidden("identify requires the known visitor's token, which the shop's server signs, or a secret key")
        is_secret = context.credential.kind is CredentialKind.SECRET
        joining = _joining_visitor(context, anonymous_id, anonymous_token, is_secret=is_secret)
        requested = cast(object, traits)
        if not is_secret and isinstance(requested, dict) and (hidden := sorted(set(requested) - context.public_traits)):
            raise Forbidden(f"these traits require a secret key: {', '.join(hidden)[:200]}", field="traits")
        event = {
            "message_id": message_id,
            "type": "IDENTIFY",
            "visitor_id": joining or known,
            "payload": {"user_id": known, "traits": traits},
        }
        return _to_track_result(info, await context.services.tracking.send(event, sent_at, timestamp, context.traceparent))

    @strawberry.mutation(
        description="Store whether the visitor allows personalization, and being counted in statistics. It takes effect at once."
    )
    async def set_consent(
        self,
        info: ContextInfo,
        personalization: Annotated[
            bool, strawberry.argument(description="false: banners are the fallbacks, and the profile is forgotten after ten minutes.")
        ],
        message_id: MessageIdArgument,
        measurement: Annotated[
            bool | None,
            strawberry.argument(description="false: the visitor is left out of campaign statistics. Default: the visitor was not asked."),
        ] = None,
        user_id: VisitorArgument = None,
        timestamp: TimestampArgument = None,
        sent_at: SentAtArgument = None,
    ) -> TrackResultType | None:
        """Set consent."""
        context = info.context
        event = {
            "message_id": message_id,
            "type": "CONSENT",
            "visitor_id": context.required_visitor(user_id),
            "payload": {"personalization": personalization, "measurement": measurement},
        }
        return _to_track_result(info, await context.services.tracking.send(event, sent_at, timestamp, context.traceparent))

    @strawberry.mutation(description="Erase a visitor: everything received up to now is deleted; later events start from nothing. (secret)")
    async def delete_user(self, info: ContextInfo, user_id: NamedVisitorArgument, message_id: MessageIdArgument) -> TrackResultType | None:
        """Erase a visitor."""
        context = info.context
        context.secret()
        visitor_id = context.required_visitor(user_id)
        # Only the store knows which anonymous visitors joined, and an erasure must include them: without the store it fails.
        stored = await context.services.reader.read(visitor_id)
        # For an anonymous visitor that joined, the store returns its owner's context. The owner stays; only what came in under the
        # anonymous id is erased.
        joined = [] if stored.joined else (stored.context or {}).get("anonymous_ids", [])
        event = {"message_id": message_id, "type": "DELETE", "visitor_id": visitor_id, "payload": {}}
        return _to_track_result(info, await context.services.tracking.erase(event, joined, context.traceparent))


def _joining_visitor(context: RequestContext, anonymous_id: str | None, anonymous_token: str | None, *, is_secret: bool) -> str | None:
    """The anonymous id that joins, proven by its token or named with a secret key."""
    if anonymous_token is not None:
        proven = context.services.authenticator.anonymous_id_of(anonymous_token)
        if anonymous_id is not None and anonymous_id != proven:
            raise BadUserInput("anonymousId is not the visitor of anonymousToken; omit one of them", field="anonymousId")
        return proven
    if anonymous_id is None:
        return None
    if not is_secret:
        raise Forbidden("anonymousId alone requires a secret key; send anonymousToken, which proves it", field="anonymousId")
    if not is_anonymous(anonymous_id):
        raise BadUserInput("anonymousId must be an id that startVisit created", field="anonymousId")
    return context.services.authenticator.check_visitor_id(anonymous_id, "anonymousId")


@strawberry.type(name="Subscription", description="All subscriptions, over WebSocket or server-sent events.")
class SubscriptionType:
    """All subscriptions."""

    @strawberry.subscription(
        description="The decisions of an open page as they change. The first decision for a placement is sent only if it differs from "
        "what `shown` says the page already shows."
    )
    async def banner_changed(
        self,
        info: ContextInfo,
        placements: PlacementsArgument,
        user_id: VisitorArgument = None,
        page: PageArgument = None,
        shown: Annotated[
            list[ID], strawberry.argument(description="The ids of the decisions that the page shows; those beyond 40 are ignored.")
        ] = [],  # noqa: B006  # read only; Strawberry shows it as the default of the schema
        preview_token: PreviewTokenArgument = None,
    ) -> AsyncIterator[types.BannerDecisionType]:
        """Follow some placements."""
        request = await _banner_request(info, placements, user_id, page, preview_token)
        async for issued in info.context.services.banners.changes(request, info.context.shown_decisions(shown)):
            yield to_banner_decision(issued)


def build_schema(*, suggestions: bool = True) -> strawberry.Schema:
    """The schema. Without `suggestions` an error about an unknown field does not hint at a known one."""
    config = StrawberryConfig(scalar_map=SCALARS, disable_field_suggestions=not suggestions)
    schema = strawberry.Schema(query=QueryType, mutation=MutationType, subscription=SubscriptionType, config=config)
    _drop_null_defaults(schema)
    return schema


def _drop_null_defaults(schema: strawberry.Schema) -> None:
    """Python's default None means "absent": without this the schema would show `= null` for each of them."""
    for named_type in schema._schema.type_map.values():
        if isinstance(named_type, GraphQLInputObjectType):
            inputs = list(named_type.fields.values())
        elif isinstance(named_type, GraphQLObjectType):
            inputs = [argument for field in named_type.fields.values() for argument in field.args.values()]
        else:
            continue
        for value in inputs:
            if value.default_value is None:
                value.default_value = Undefined


def export_schema() -> str:
    """The text of `schema.graphql`."""
    return build_schema().as_str().rstrip() + "\n"
