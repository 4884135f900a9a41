"""From the model's plain values to the object types of the schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from strawberry import ID

from gateway.api import types
from gateway.api.scalars import CursorScalar, DateTimeScalar, DecimalScalar, JSONScalar
from gateway.auth import Visit
from gateway.model.decisions.render import Banner
from gateway.model.events.cursor import cursor_of_context
from gateway.model.times import parse_time_ms
from gateway.services.banners import IssuedDecision
from gateway.services.tracking import EventAnswer, error_of, status_of


def to_visit(visit: Visit, now_ms: int) -> types.VisitType:
    """The answer of `startVisit`."""
    return types.VisitType(
        anonymous_id=ID(visit.visitor_id),
        token=visit.token,
        expires_at=DateTimeScalar(visit.expires_at_ms),
        server_time=DateTimeScalar(now_ms),
    )


def to_event_result(answer: EventAnswer) -> types.EventResultType:
    """The result of one event."""
    rejection = error_of(answer)
    error = None if rejection is None else types.EventErrorType(code=rejection.code, message=rejection.message, field=rejection.field)
    return types.EventResultType(message_id=ID(answer.message_id), status=types.EventStatusEnum[status_of(answer)], error=error)


def to_banner_decision(issued: IssuedDecision) -> types.BannerDecisionType:
    """A decision."""
    decision = issued.decision
    return types.BannerDecisionType(
        id=ID(issued.decision_id),
        placement=ID(decision.placement),
        banner=_to_banner(decision.banner) if decision.banner else None,
        reason=types.DecisionReasonEnum(decision.reason.value),
        campaign_id=None if decision.campaign_id is None else ID(decision.campaign_id),
        variant=decision.variant,
        ruleset_version=decision.ruleset_version,
        context_version=decision.context_version,
        cursor=CursorScalar(issued.cursor),
        fresh=issued.fresh,
        decided_at=DateTimeScalar(issued.decided_at_ms),
        valid_until=None if decision.valid_until_ms is None else DateTimeScalar(decision.valid_until_ms),
    )


def _to_banner(banner: Banner) -> types.BannerType:
    image = banner.image
    return types.BannerType(
        id=ID(banner.banner_id),
        headline=banner.headline,
        body=banner.body,
        link_url=banner.link_url,
        cta_label=banner.cta_label,
        image=types.ImageType(url=image.url, alt=image.alt, width=image.width, height=image.height) if image else None,
        locale=banner.locale,
        products=[types.RelatedProductType(product_id=ID(product.product_id), category=product.category) for product in banner.products],
        data=None if banner.data is None else JSONScalar(banner.data),
    )


def to_user_context(context: Mapping[str, Any], now_ms: int, *, may_see_traits: bool) -> types.UserContextType:
    """A context (docs/context.md)."""
    purchases = context["purchases"]
    return types.UserContextType(
        user_id=ID(context["user_id"]),
        interested_category=context["interested_category"],
        interests=[types.InterestType(category=category, score=score) for category, score in context["interests"].items()],
        cart=[_to_cart_item(line) for line in context["cart"]],
        recent_products=[ID(product_id) for product_id in context["recent_products"]],
        purchases=types.PurchasesType(
            count=purchases["count"],
            totals=[types.MoneyType(amount=DecimalScalar(amount), currency=currency) for currency, amount in purchases["totals"].items()],
            last_at=_to_time(purchases["last_at"]),
        ),
        consent=types.ConsentType(**context["consent"]),
        updated_at=_to_time(context["updated_at"]),
        version=context["version"],
        cursor=CursorScalar(cursor_of_context(context, now_ms).encode()),
        private_traits=context["traits"],
        may_see_traits=may_see_traits,
    )


def _to_cart_item(line: Mapping[str, Any]) -> types.CartItemType:
    price = line["price"]
    return types.CartItemType(
        product_id=ID(line["product_id"]),
        variant_id=None if line["variant_id"] is None else ID(line["variant_id"]),
        category=line["category"],
        quantity=line["quantity"],
        price=None if price is None else types.MoneyType(amount=DecimalScalar(price), currency=line["currency"]),
    )


def _to_time(text: str | None) -> DateTimeScalar | None:
    return None if text is None else DateTimeScalar(parse_time_ms(text, "time"))
