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
from gateway.api.inputs import EventInput, PageInput, plain
from gateway.api.mapping import context_answer, decision_answer, event_answer, visit_answer
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


async def _request(
    info: ContextInfo, placements: list[ID], user_id: str | None, page: PageInput | None, preview_token: str | None
) -> BannerRequest:
    visitor_id = info.context.visitor(user_id)
    return BannerRequest(visitor_id, tuple(placements), plain(page), await info.context.services.previews.open(preview_token))


@strawberry.type(name="TrackResult", description="The answers to a batch of events.")
class TrackResultType:
    """The answers to a batch of events."""

    results: list[types.EventResultType] = strawberry.field(description="One answer for each event, in the order they were sent.")
    cursor: CursorScalar | None = strawberry.field(
        description="Where the events stand in the log; null when the batch holds several visitors, or a position is not known."
    )
    server_time: DateTimeScalar = strawberry.field(description="The gateway's clock, so that a client can learn its own clock's offset.")
    visitor_id: strawberry.Private[str | None]

    @strawberry.field(description="Decisions after these events, in the same round trip.")
    async def decisions(
        self, info: ContextInfo, placements: PlacementsArgument, page: PageArgument = None, max_wait_ms: MaxWaitMsArgument = 250
    ) -> list[types.BannerDecisionType] | None:
        """Wait until the context covers the events, then decide."""
        if self.visitor_id is None:
            raise BadUserInput("decisions needs a batch of one visitor in which an event was accepted", field="decisions")
        request = BannerRequest(self.visitor_id, tuple(placements), plain(page))
        given = await info.context.services.banners.decisions(request, self.cursor, max_wait_ms)
        return [decision_answer(one) for one in given]


def _track_result(info: ContextInfo, tracked: BatchAnswer) -> TrackResultType:
    return TrackResultType(
        results=[event_answer(answer) for answer in tracked.answers],
        cursor=None if tracked.cursor is None else CursorScalar(tracked.cursor),
        server_time=DateTimeScalar(info.context.services.now_ms()),
        visitor_id=tracked.visitor_id,
    )


@strawberry.type(description="What can be asked. Fields are null where `errors` says why; one that fails takes no other along.")
class Query(RulesetQuery, ExplainQuery, TrendsQuery, StatsQuery):
    """What can be asked."""

    @strawberry.field(description="The banner for a placement: the visitor's of the token, or for a page alone by a publishable key.")
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
        request = await _request(info, [placement], user_id, page, preview_token)
        given = await info.context.services.banners.decisions(request, after, max_wait_ms)
        return decision_answer(given[0])

    @strawberry.field(description="One decision for each placement, in that order.")
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
        request = await _request(info, placements, user_id, page, preview_token)
        given = await info.context.services.banners.decisions(request, after, max_wait_ms)
        return [decision_answer(one) for one in given]

    @strawberry.field(description="What is known of a visitor now; null when nothing is.")
    async def user_context(self, info: ContextInfo, user_id: VisitorArgument = None) -> types.UserContextType | None:
        """A visitor's context. The token of an anonymous id that joined a user does not show that person's data."""
        context = info.context
        visitor_id = context.required_visitor(user_id)
        found = await context.services.reader.read(visitor_id)
        is_secret = context.credential.kind is CredentialKind.SECRET
        if found.joined and not is_secret:
            raise Forbidden("this anonymous visitor joined a known one; the token of the known visitor shows the context")
        if found.context is None:
            return None
        return context_answer(found.context, context.services.now_ms(), may_see_traits=is_secret)


@strawberry.type(description="What can be sent. Sending a message id again is safe: it counts once.")
class Mutation(RulesetMutation):
    """What can be sent."""

    @strawberry.mutation(
        description="A new anonymous visitor and its signed token; writes nothing. With `token`: renews that visitor's, "
        "also within a grace time after its end."
    )
    async def start_visit(
        self,
        info: ContextInfo,
        token: Annotated[
            str | None, strawberry.argument(description="One that startVisit gave: its visitor goes on. Without it a new visitor begins.")
        ] = None,
    ) -> types.VisitType | None:
        """Start or renew a visit."""
        context = info.context
        context.authenticated()
        authenticator = context.services.authenticator
        visit = authenticator.start_visit() if token is None else authenticator.renew_visit(token)
        return visit_answer(visit, context.services.now_ms())

    @strawberry.mutation(description="Send events. Each is answered on its own: one that is rejected takes no other along.")
    async def track(
        self,
        info: ContextInfo,
        events: Annotated[
            list[EventInput],
            strawberry.argument(description="At most the gateway's GATEWAY_MAX_BATCH_EVENTS (100); with a secret key of any visitors."),
        ],
        sent_at: SentAtArgument = None,
    ) -> TrackResultType | None:
        """Send events."""
        context = info.context
        tracked = await context.services.tracking.track(context.authenticated(), plain(events), sent_at, context.traceparent)
        return _track_result(info, tracked)

    @strawberry.mutation(
        description="Join an anonymous visitor to a known one, and set traits. The token of the known visitor says who; "
        "`anonymousToken` proves the anonymous side. With a secret key: userId, anonymousId. An anonymous id joins one user, once."
    )
    async def identify(
        self,
        info: ContextInfo,
        message_id: MessageIdArgument,
        user_id: Annotated[ID | None, strawberry.argument(description="With a secret key: the known visitor.")] = None,
        anonymous_id: Annotated[ID | None, strawberry.argument(description="With a secret key: the anonymous visitor who joins.")] = None,
        anonymous_token: Annotated[
            str | None, strawberry.argument(description="The token of the anonymous visitor who joins, as startVisit gave it.")
        ] = None,
        traits: Annotated[
            JSONScalar | None,
            strawberry.argument(
                description="An object of at most 64 keys and 4 KiB, joined with what is known, key by key. A visitor token may "
                "set public traits only."
            ),
        ] = None,
        timestamp: TimestampArgument = None,
        sent_at: SentAtArgument = None,
    ) -> TrackResultType | None:
        """Join an anonymous visitor to a known one."""
        context = info.context
        known = context.required_visitor(user_id)
        if is_anonymous(known):
            raise Forbidden("identify needs the token of the known visitor, which the shop's server makes, or a secret key")
        is_secret = context.credential.kind is CredentialKind.SECRET
        joined = _anonymous_side(context, anonymous_id, anonymous_token, is_secret=is_secret)
        given = cast(object, traits)
        if not is_secret and isinstance(given, dict) and (hidden := sorted(set(given) - context.public_traits)):
            raise Forbidden(f"these traits need a secret key: {', '.join(hidden)[:200]}", field="traits")
        event = {
            "message_id": message_id,
            "type": "IDENTIFY",
            "visitor_id": joined or known,
            "payload": {"user_id": known, "traits": traits},
        }
        return _track_result(info, await context.services.tracking.send(event, sent_at, timestamp, context.traceparent))

    @strawberry.mutation(description="Whether the visitor wants personalization, and may be counted in statistics. Holds at once.")
    async def set_consent(
        self,
        info: ContextInfo,
        personalization: Annotated[
            bool, strawberry.argument(description="false: banners are the fallbacks, and the profile is forgotten after ten minutes.")
        ],
        message_id: MessageIdArgument,
        measurement: Annotated[
            bool | None, strawberry.argument(description="false: left out of campaign statistics; null: not asked about.")
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
        return _track_result(info, await context.services.tracking.send(event, sent_at, timestamp, context.traceparent))

    @strawberry.mutation(description="Erase a visitor: what was received up to now is gone, what comes later starts anew. (secret)")
    async def delete_user(self, info: ContextInfo, user_id: NamedVisitorArgument, message_id: MessageIdArgument) -> TrackResultType | None:
        """Erase a visitor."""
        context = info.context
        context.secret()
        visitor_id = context.required_visitor(user_id)
        # Which anonymous visitors joined is only known there; an erasure must not leave them behind.
        found = await context.services.reader.read(visitor_id)
        # Of an anonymous visitor that joined, what came in under its own id goes: found is its owner's context, who stays.
        joined = [] if found.joined else (found.context or {}).get("anonymous_ids", [])
        event = {"message_id": message_id, "type": "DELETE", "visitor_id": visitor_id, "payload": {}}
        return _track_result(info, await context.services.tracking.erase(event, joined, context.traceparent))


def _anonymous_side(context: RequestContext, anonymous_id: str | None, anonymous_token: str | None, *, is_secret: bool) -> str | None:
    """The anonymous id that joins, proven by its token or named with a secret key."""
    if anonymous_token is not None:
        proven = context.services.authenticator.anonymous_id_of(anonymous_token)
        if anonymous_id is not None and anonymous_id != proven:
            raise BadUserInput("anonymousId is not the visitor of anonymousToken; leave one of them out", field="anonymousId")
        return proven
    if anonymous_id is None:
        return None
    if not is_secret:
        raise Forbidden("anonymousId alone needs a secret key; send anonymousToken, which proves it", field="anonymousId")
    if not is_anonymous(anonymous_id):
        raise BadUserInput("anonymousId must be an id that startVisit made", field="anonymousId")
    return context.services.authenticator.check_visitor_id(anonymous_id, "anonymousId")


@strawberry.type(description="What can be followed, over WebSocket and server-sent events.")
class Subscription:
    """What can be followed."""

    @strawberry.subscription(
        description="Decisions as they change. `shown`: ids of the decisions the page already shows; the first decision of a "
        "placement is sent only where it differs from that."
    )
    async def banner_changed(
        self,
        info: ContextInfo,
        placements: PlacementsArgument,
        user_id: VisitorArgument = None,
        page: PageArgument = None,
        shown: Annotated[
            list[ID], strawberry.argument(description="Ids of the decisions that the page shows: at most 40, the rest is not looked at.")
        ] = [],  # noqa: B006  # read only; Strawberry shows it as the default of the schema
        preview_token: PreviewTokenArgument = None,
    ) -> AsyncIterator[types.BannerDecisionType]:
        """Follow some placements."""
        request = await _request(info, placements, user_id, page, preview_token)
        async for given in info.context.services.banners.changes(request, info.context.seen(shown)):
            yield decision_answer(given)


def build_schema(*, suggestions: bool = True) -> strawberry.Schema:
    """The schema. Without `suggestions` an unknown field gets no hint of a known one."""
    config = StrawberryConfig(scalar_map=SCALARS, disable_field_suggestions=not suggestions)
    schema = strawberry.Schema(query=Query, mutation=Mutation, subscription=Subscription, config=config)
    _drop_null_defaults(schema)
    return schema


def _drop_null_defaults(schema: strawberry.Schema) -> None:
    """Python's default None means "absent": without this the schema would say `= null` for each of them."""
    for named in schema._schema.type_map.values():
        if isinstance(named, GraphQLInputObjectType):
            inputs = list(named.fields.values())
        elif isinstance(named, GraphQLObjectType):
            inputs = [argument for field in named.fields.values() for argument in field.args.values()]
        else:
            continue
        for one in inputs:
            if one.default_value is None:
                one.default_value = Undefined


def export_schema() -> str:
    """The text of `schema.graphql`."""
    return build_schema().as_str().rstrip() + "\n"
