"""What resolvers get as `info.context`, and which visitor a caller may speak for."""

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
    explaining: ExplainService
    exporting: ExportService
    campaign_stats: CampaignStatsService
    public_traits: frozenset[str]
    now_ms: NowMs


@dataclass(frozen=True, slots=True)
class RequestContext:
    """One operation: who calls, and with what."""

    services: Services
    credential: Credential
    traceparent: str | None
    last_event_id: str | None = None
    """Of a client that comes back to an event stream: the decision it saw last."""

    def seen(self, shown: Sequence[str]) -> list[str]:
        """What the page shows: what it says itself, and what it saw before its event stream broke off, which is newer."""
        return [*shown, self.last_event_id] if self.last_event_id else list(shown)

    @property
    def public_traits(self) -> frozenset[str]:
        """Traits that a visitor token may set: by the settings or by the ruleset in force."""
        return self.services.public_traits | self.services.rulesets.current.public_traits

    def authenticated(self) -> Credential:
        """The credential, or raise `Unauthenticated` when there is none."""
        if self.credential.kind is CredentialKind.NONE:
            raise Unauthenticated("send 'Authorization: Bearer …' with a key or a visitor token")
        return self.credential

    def secret(self) -> Credential:
        """The credential, or raise `Forbidden` when it is no secret key."""
        if self.authenticated().kind is not CredentialKind.SECRET:
            raise Forbidden("this needs a secret key")
        return self.credential

    def visitor(self, user_id: str | None) -> str | None:
        """The visitor a caller asks about; None: nobody in particular. Raises `Forbidden` for somebody else's id."""
        credential = self.authenticated()
        if credential.kind is CredentialKind.VISITOR:
            if user_id is not None and user_id != credential.visitor_id:
                raise Forbidden("a visitor token reaches its own visitor only; leave userId out")
            return credential.visitor_id
        if user_id is None:
            return None
        if credential.kind is CredentialKind.PUBLISHABLE:
            raise Forbidden("a publishable key reaches no visitor; use a visitor token")
        return self.services.authenticator.check_visitor_id(user_id, "userId")

    def required_visitor(self, user_id: str | None) -> str:
        """The visitor a caller must name or be."""
        visitor_id = self.visitor(user_id)
        if visitor_id is not None:
            return visitor_id
        if self.credential.kind is CredentialKind.SECRET:
            raise BadUserInput("userId is required with a secret key", field="userId")
        raise Forbidden("this needs a visitor token or a secret key")
