"""The query fields that explain a decision and export a visitor."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry import ID, Info

from gateway.api.arguments import NamedVisitorArgument, PageArgument, PlacementArgument
from gateway.api.explain_types import ExplanationType, to_explanation
from gateway.api.inputs import decision_time_input, plain_data
from gateway.api.request_context import RequestContext
from gateway.api.scalars import DateTimeScalar, JSONScalar
from gateway.services.banners import BannerRequest


@strawberry.type
class ExplainQuery:
    """Why a banner was shown, and what is stored about a visitor."""

    @strawberry.field(
        description="Why a visitor sees a banner: now, or at a past time, given what had been received by then. With `decisionId`: why "
        "that very decision was made. A decision id holds only a hash of its visitor and nothing of its page, so pass both again. (secret)"
    )
    async def explain(
        self,
        info: Info[RequestContext, None],
        placement: PlacementArgument,
        decision_id: Annotated[ID | None, strawberry.argument(description="The decision to explain. Omit `at` then.")] = None,
        user_id: Annotated[ID | None, strawberry.argument(description="The visitor. Default: no visitor.")] = None,
        page: PageArgument = None,
        at: Annotated[DateTimeScalar | None, strawberry.argument(description="The past time. Default, without `decisionId`: now.")] = None,
    ) -> ExplanationType | None:
        """Explain a decision."""
        context = info.context
        context.secret()
        request = BannerRequest(context.visitor(user_id), (placement,), plain_data(page))
        explanation = await context.services.explanations.explain(request, decision_id, decision_time_input(at, "at"))
        return to_explanation(explanation)

    @strawberry.field(description="Everything that is stored about a visitor, in the form of docs/privacy.md; null if nothing is. (secret)")
    async def export_user(self, info: Info[RequestContext, None], user_id: NamedVisitorArgument) -> JSONScalar | None:
        """Export a visitor."""
        context = info.context
        context.secret()
        export = await context.services.exports.export(context.required_visitor(user_id))
        return None if export is None else JSONScalar(export)
