"""The fields of the schema that explain and export."""

from __future__ import annotations

from typing import Annotated

import strawberry
from strawberry import ID, Info

from gateway.api.arguments import NamedVisitorArgument, PageArgument, PlacementArgument
from gateway.api.explain_types import ExplanationType, explanation_answer
from gateway.api.inputs import plain
from gateway.api.request_context import RequestContext
from gateway.api.scalars import DateTimeScalar, JSONScalar
from gateway.services.banners import BannerRequest
from gateway.services.previews import optional_moment_ms


@strawberry.type
class ExplainQuery:
    """Why a banner was shown, and what is held of a visitor."""

    @strawberry.field(
        description="Why a visitor sees what is seen: now, or as it stood at a past moment, by what had been received then. With "
        "`decisionId` exactly that decision; it holds a hash of its visitor and no page: name both again. (secret)"
    )
    async def explain(
        self,
        info: Info[RequestContext, None],
        placement: PlacementArgument,
        decision_id: Annotated[ID | None, strawberry.argument(description="The decision to explain; then `at` must be left out.")] = None,
        user_id: Annotated[ID | None, strawberry.argument(description="The visitor; without it: nobody in particular.")] = None,
        page: PageArgument = None,
        at: Annotated[
            DateTimeScalar | None, strawberry.argument(description="The past moment. Without it, and without decisionId: now.")
        ] = None,
    ) -> ExplanationType | None:
        """Explain a decision."""
        context = info.context
        context.secret()
        request = BannerRequest(context.visitor(user_id), (placement,), plain(page))
        explained = await context.services.explaining.explain(request, decision_id, optional_moment_ms(at, "at"))
        return explanation_answer(explained)

    @strawberry.field(description="Everything held of a visitor, in the form of docs/privacy.md; null when nothing is. (secret)")
    async def export_user(self, info: Info[RequestContext, None], user_id: NamedVisitorArgument) -> JSONScalar | None:
        """Export a visitor."""
        context = info.context
        context.secret()
        found = await context.services.exporting.export(context.required_visitor(user_id))
        return None if found is None else JSONScalar(found)
