"""What resolvers get as `info.context`, and which visitor a caller may act for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.auth import Authenticator, Credential, CredentialKind
from gateway.clock import NowMs
from gateway.errors import BadUserInput, Forbidden, Unauthenticated
from gateway.services.banners import BannerService
from gateway.services.campaign_stats import CampaignStatsService
from gateway.services.explain import ExplainService
from gateway.services.export import ExportService
from gateway.services.previews import PreviewService
from gateway.services.rulesets import RulesetService
from gateway.services.tracking import TrackingService
from gateway.services.trends import TrendsService
from gateway.store.reader import ContextReader


@dataclass(frozen=True, slots=True)
class Services:
    """The services of a process; built in `gateway.app`."""

    authenticator: Authenticator
    banners: BannerService
    tracking: TrackingService
    reader: ContextReader
    rulesets: RulesetService
    trends: TrendsService
    previews: PreviewService
    explanations: ExplainService
    exports: ExportService
    campaign_stats: CampaignStatsService
    public_traits: frozenset[str]
    now_ms: NowMs


@dataclass(frozen=True, slots=True)
class RequestContext:
    """One operation: the caller's credential, and the services that answer it."""

    services: Services
    credential: Credential
    traceparent: str | None
    last_event_id: str | None = None
    """Sent by a client that reconnects to an event stream: the last decision that it received."""

    def shown_decisions(self, shown: Sequence[str]) -> list[str]:
        """The decisions that the page shows: those it names, then the one it received before its event stream broke off."""
        return [*shown, self.last_event_id] if self.last_event_id else list(shown)

    @property
    def public_traits(self) -> frozenset[str]:
        """Traits that a visitor token may set, according to the settings or the ruleset in force."""
        return self.services.public_traits | self.services.rulesets.current.public_traits

    def authenticated(self) -> Credential:
        """The caller's credential. Raises `Unauthenticated` if there is none."""
        if self.credential.kind is CredentialKind.NONE:
            raise Unauthenticated("send 'Authorization: Bearer …' with a key or a visitor token")
        return self.credential

    def secret(self) -> Credential:
        """The caller's credential. Raises `Forbidden` if it is not a secret key."""
        if self.authenticated().kind is not CredentialKind.SECRET:
            raise Forbidden("this requires a secret key")
        return self.credential

    def visitor(self, user_id: str | None) -> str | None:
        """The visitor that a caller asks about; None: no visitor. Raises `Forbidden` for another visitor's id."""
        credential = self.authenticated()
        if credential.kind is CredentialKind.VISITOR:
            if user_id is not None and user_id != credential.visitor_id:
                raise Forbidden("a visitor token can access its own visitor only; omit userId")
            return credential.visitor_id
        if user_id is None:
            return None
        if credential.kind is CredentialKind.PUBLISHABLE:
            raise Forbidden("a publishable key cannot access visitors; use a visitor token")
        return self.services.authenticator.check_visitor_id(user_id, "userId")

    def required_visitor(self, user_id: str | None) -> str:
        """The visitor that a caller must name or be. Raises `BadUserInput` or `Forbidden` if there is none."""
        visitor_id = self.visitor(user_id)
        if visitor_id is not None:
            return visitor_id
        if self.credential.kind is CredentialKind.SECRET:
            raise BadUserInput("userId is required with a secret key", field="userId")
        raise Forbidden("this requires a visitor token or a secret key")
