"""The field of the schema that tells what trends."""

from __future__ import annotations

from typing import Final

import strawberry
from strawberry import ID, Info

from gateway.api.context import RequestContext
from gateway.errors import BadUserInput

MAX_FIRST: Final = 100


@strawberry.type(description="A product that many visitors look at, add or buy now.")
class TrendingProduct:
    """A product that trends."""

    product_id: ID
    category: str | None
    score: float = strawberry.field(
        description="Different visitors who viewed (1), added (5) and bought (20) it in the last 24 hours, what is 6 hours old "
        "counting half. Approximate; good for comparing products of one answer."
    )


@strawberry.type
class TrendsQuery:
    """What can be asked about trends."""

    @strawberry.field(
        description="What trends, strongest first, as of the snapshot that decisions go by. `category`: of that category only. "
        "`first`: from 1 to 100. Any credential."
    )
    async def trending(
        self, info: Info[RequestContext, None], category: str | None = None, first: int = 10
    ) -> list[TrendingProduct] | None:
        """What trends."""
        info.context.authenticated()
        if not 1 <= first <= MAX_FIRST:
            raise BadUserInput(f"first must be from 1 to {MAX_FIRST}", field="first")
        trends = info.context.services.trends.current
        found = trends.products if category is None else trends.by_category.get(category, ())
        return [TrendingProduct(product_id=ID(one.product_id), category=one.category, score=one.score) for one in found[:first]]
