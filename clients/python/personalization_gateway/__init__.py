"""The client for shops' servers: `GatewayClient` (async), `SyncGatewayClient`, and `render_banner` for pages made by a server.

May import nothing of the project. Never a dependency besides an HTTP client. How to use it in five minutes: docs/integrate.md.
"""

from __future__ import annotations

from personalization_gateway.answers import (
    Banner,
    CartItem,
    Consent,
    Decision,
    DecisionReason,
    EventError,
    EventResult,
    EventStatus,
    Evidence,
    Explanation,
    Image,
    Interest,
    Money,
    Product,
    Purchases,
    StartedVisit,
    Step,
    StepOutcome,
    TrackResult,
    UserContext,
)
from personalization_gateway.client import GatewayClient, Personalized
from personalization_gateway.cookies import CURSOR_COOKIE, TOKEN_COOKIE, TOKEN_COOKIE_MAX_AGE_S, token_cookie
from personalization_gateway.deadline import Deadline
from personalization_gateway.errors import CredentialRefused, GatewayError, NoAnswer, Refused, TryLater
from personalization_gateway.html import Html
from personalization_gateway.inputs import EventInput, OrderInput, PageInput, ProductInput, event
from personalization_gateway.rendering import PersonalOnPublicPage, render_banner, render_configuration
from personalization_gateway.sync import SyncGatewayClient
from personalization_gateway.tokens import sign_visitor_token

__all__ = [
    "CURSOR_COOKIE",
    "TOKEN_COOKIE",
    "TOKEN_COOKIE_MAX_AGE_S",
    "Banner",
    "CartItem",
    "Consent",
    "CredentialRefused",
    "Deadline",
    "Decision",
    "DecisionReason",
    "EventError",
    "EventInput",
    "EventResult",
    "EventStatus",
    "Evidence",
    "Explanation",
    "GatewayClient",
    "GatewayError",
    "Html",
    "Image",
    "Interest",
    "Money",
    "NoAnswer",
    "OrderInput",
    "PageInput",
    "PersonalOnPublicPage",
    "Personalized",
    "Product",
    "ProductInput",
    "Purchases",
    "Refused",
    "StartedVisit",
    "Step",
    "StepOutcome",
    "SyncGatewayClient",
    "TrackResult",
    "TryLater",
    "UserContext",
    "event",
    "render_banner",
    "render_configuration",
    "sign_visitor_token",
    "token_cookie",
]
