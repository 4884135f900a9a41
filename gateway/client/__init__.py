"""The client for shops' servers: `GatewayClient` (async), `SyncGatewayClient`, and `render_banner` for pages made by a server.

May import nothing of the project. Never a dependency besides httpx. How to use it in five minutes: docs/integrate.md.
"""

from __future__ import annotations

from gateway.client.answers import (
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
from gateway.client.client import GatewayClient, Personalized
from gateway.client.cookies import CURSOR_COOKIE, TOKEN_COOKIE, TOKEN_COOKIE_MAX_AGE_S, token_cookie
from gateway.client.deadline import Deadline
from gateway.client.errors import CredentialRefused, GatewayError, NoAnswer, Refused, TryLater
from gateway.client.html import Html
from gateway.client.inputs import EventInput, OrderInput, PageInput, ProductInput, event
from gateway.client.rendering import PersonalOnPublicPage, render_banner, render_configuration
from gateway.client.sync import SyncGatewayClient
from gateway.client.tokens import sign_visitor_token

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
