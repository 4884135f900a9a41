"""The wiring of a gateway process: the one place where all parts are created and connected."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from gateway.api.request_context import RequestContext, Services
from gateway.api.schema import build_schema
from gateway.auth import Authenticator, Credential, CredentialKind
from gateway.background import BackgroundTasks
from gateway.clock import NowMs, system_now_ms
from gateway.kafka.publisher import EventPublisher
from gateway.kafka.ruleset_topic import RulesetTopic
from gateway.model.rulesets.ruleset import Ruleset
from gateway.model.times import DAY_MS
from gateway.services.banners import BannerService
from gateway.services.campaign_stats import CampaignStatsService
from gateway.services.explain import ExplainService
from gateway.services.export import ExportService
from gateway.services.previews import PreviewService
from gateway.services.rulesets import RulesetService
from gateway.services.tracking import TrackingService
from gateway.services.trends import TrendsService
from gateway.settings import Settings
from gateway.store.connection import STORE_ERRORS, connect
from gateway.store.drafts import DraftStore
from gateway.store.notices import NoticeBus
from gateway.store.reader import ContextReader
from gateway.store.rulesets import RulesetStore
from gateway.store.state_store import RedisStateStore
from gateway.store.states import StateReader
from gateway.store.stats import CampaignStatsStore
from gateway.store.trends import TrendsStore
from gateway.store.writer import ContextWriter
from gateway.telemetry import Metrics, settle_memory
from gateway.transport.documents.manifest import read_manifests
from gateway.transport.endpoint import GraphQLEndpoint
from gateway.transport.http.graphiql import GraphiQL
from gateway.transport.settings import RequestInfo, TransportSettings

READY_SECONDS = 2.0
KAFKA_START_SECONDS = 5.0
RULESET_BODY_BYTES = 2_500_000
"""Enough for a ruleset of the maximum size as a JSON string in a request."""
COMPRESSED_FROM_BYTES = 1024
PUBLIC_FIELDS = {
    "banner": frozenset({"placement", "page"}),
    "banners": frozenset({"placements", "page"}),
    "trending": frozenset({"category", "first"}),
}
"""The fields that are the same for everyone with a publishable key, each with the arguments that do not change that."""


class Gateway:
    """One gateway process. `app` is the ASGI application. Call `close_streams` before the server's own shutdown."""

    def __init__(self, settings: Settings, ruleset: Ruleset, now_ms: NowMs = system_now_ms) -> None:
        self._settings = settings
        self.metrics = Metrics()
        self._redis: Redis = connect(settings.redis_url, settings.redis_timeout_ms)
        # The bus must notice every lost connection, because then it marks all subscriptions dirty.
        self._notices: Redis = connect(settings.redis_url, settings.redis_timeout_ms, renewals=0)
        self._bus = NoticeBus(self._notices, self.metrics)
        self._publisher = EventPublisher(settings.kafka_bootstrap, self.metrics)
        self._rulesets = RulesetService(
            settings, ruleset, RulesetTopic(settings.kafka_bootstrap), RulesetStore(self._redis), self._bus, self.metrics, now_ms
        )
        self._trends = TrendsService(TrendsStore(self._redis), self._bus, self.metrics, now_ms)
        self._services = self._create_services(now_ms)
        self._endpoint = self._create_endpoint()
        self.app = Starlette(
            routes=[
                *self._graphql_routes(),
                Route("/healthz", self._health),
                Route("/readyz", self._readiness),
                Route("/metrics", self._metrics_page),
            ],
            # It does not compress event streams. No credential is a cookie, so lengths reveal nothing to a foreign page (BREACH).
            middleware=[Middleware(GZipMiddleware, minimum_size=COMPRESSED_FROM_BYTES, compresslevel=5)],
            lifespan=self._lifespan,
        )

    def _create_services(self, now_ms: NowMs) -> Services:
        settings = self._settings
        authenticator = Authenticator(settings, now_ms)
        reader = ContextReader(self._redis, self.metrics, settings.redis_timeout_ms)
        writer = ContextWriter(RedisStateStore(self._redis, settings.context_retention_days * DAY_MS), now_ms)
        states = StateReader(self._redis)
        return Services(
            authenticator=authenticator,
            banners=BannerService(settings, self._rulesets, self._trends, reader, self._bus, self.metrics, now_ms),
            tracking=TrackingService(settings, authenticator, self._publisher, writer, self.metrics, now_ms),
            reader=reader,
            rulesets=self._rulesets,
            trends=self._trends,
            previews=PreviewService(settings.signing_key, self._rulesets, DraftStore(self._redis), now_ms),
            explanations=ExplainService(settings, self._rulesets, self._trends, states, now_ms),
            exports=ExportService(states, now_ms),
            campaign_stats=CampaignStatsService(CampaignStatsStore(self._redis), self._rulesets),
            public_traits=frozenset(settings.public_traits),
            now_ms=now_ms,
        )

    def _create_endpoint(self) -> GraphQLEndpoint:
        settings = self._settings
        production = settings.environment == "production"
        return GraphQLEndpoint(
            build_schema(suggestions=not production),
            authenticate=self._services.authenticator.authenticate,
            make_context=self._request_context,
            settings=TransportSettings(
                allowed_origins=frozenset(settings.allowed_origins),
                production=production,
                make_event_id=_event_id,
                manifest=read_manifests(settings.documents_file),
                only_manifest=settings.documents_only,
                max_connections=settings.max_subscriptions,
                same_caller=_same_caller,
                is_public=_has_publishable_key,
                public_fields=PUBLIC_FIELDS,
                public_cache_s=settings.public_cache_seconds,
                max_trusted_body_bytes=RULESET_BODY_BYTES,
                is_trusted=_has_secret_key,
            ),
        )

    def _graphql_routes(self) -> list[BaseRoute]:
        socket = WebSocketRoute("/graphql", self._endpoint)
        if self._settings.environment == "production":
            return [Route("/graphql", self._endpoint), socket]
        graphiql = GraphiQL(self._endpoint, self._settings.graphiql_dir)
        return [Route("/graphql", graphiql), Route("/graphql/assets/{name}", graphiql.asset), socket]

    def _request_context(self, info: RequestInfo) -> RequestContext:
        credential = info.credential
        if not isinstance(credential, Credential):
            raise TypeError("the credential does not come from our Authenticator")
        return RequestContext(self._services, credential, info.traceparent, info.last_event_id)

    async def close_streams(self) -> None:
        """Close WebSockets with 1012 and end event streams, so that clients connect to another process."""
        await self._endpoint.shutdown()

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        self._publisher.start()
        listening = BackgroundTasks()
        listening.start(self._bus.run())
        await self._rulesets.start()
        await self._trends.start()
        # Wait a little, so that the first requests work. Without Kafka the gateway serves banners anyway.
        await asyncio.gather(self._publisher.wait_ready(KAFKA_START_SECONDS), self._rulesets.wait_ready(KAFKA_START_SECONDS))
        settle_memory()
        try:
            yield
        finally:
            await listening.stop()
            await self._trends.stop()
            await self._rulesets.stop()
            await self._publisher.stop()
            await self._notices.aclose()
            await self._redis.aclose()

    async def _health(self, _request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _readiness(self, _request: Request) -> Response:
        problems: dict[str, str] = {}
        if not self._publisher.is_ready:
            problems["kafka"] = f"no broker at {self._settings.kafka_bootstrap} is reachable"
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._redis.ping()
        except STORE_ERRORS as error:
            problems["redis"] = f"the context store does not answer ({type(error).__name__})"
        status = 503 if problems else 200
        return JSONResponse({"status": "unavailable" if problems else "ready", "problems": problems}, status_code=status)

    async def _metrics_page(self, _request: Request) -> Response:
        return Response(generate_latest(self.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _has_secret_key(credential: object) -> bool:
    return isinstance(credential, Credential) and credential.kind is CredentialKind.SECRET


def _has_publishable_key(credential: object) -> bool:
    return isinstance(credential, Credential) and credential.kind is CredentialKind.PUBLISHABLE


def _same_caller(one: object, other: object) -> bool:
    """Whether both have the same kind of credential for the same visitor. A renewed token is the same caller."""
    if not isinstance(one, Credential) or not isinstance(other, Credential):
        return False
    return (one.kind, one.visitor_id) == (other.kind, other.visitor_id)


def _event_id(payload: Mapping[str, Any]) -> str | None:
    """The SSE event id of a pushed decision: the decision's id, so that a reconnecting client says what it shows."""
    data = payload.get("data")
    if not isinstance(data, Mapping) or len(data) != 1:
        return None
    (decision,) = data.values()
    decision_id = decision.get("id") if isinstance(decision, Mapping) else None
    return decision_id if isinstance(decision_id, str) else None
