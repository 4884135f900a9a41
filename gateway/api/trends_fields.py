"""The field of the schema that tells what trends."""

from __future__ import annotations

from typing import Annotated, Final

import strawberry
from strawberry import ID, Info

from gateway.api.request_context import RequestContext
from gateway.errors import BadUserInput

MAX_FIRST: Final = 100


@strawberry.type(name="TrendingProduct", description="A product that many visitors look at, add or buy now.")
class TrendingProductType:
    """A product that trends."""

    product_id: ID = strawberry.field(description="The shop's own id of the product.")
    category: str | None = strawberry.field(description="Its category, as the events told it.")
    score: float = strawberry.field(
        description="Different visitors who viewed (1), added (5) and bought (20) it in the last 24 hours, what is 6 hours old "
        "counting half. Approximate; good for comparing products of one answer."
    )


@strawberry.type
class TrendsQuery:
    """What can be asked about trends."""

    @strawberry.field(description="What trends, strongest first, as of the snapshot that decisions go by. Any credential.")
    async def trending(
        self,
        info: Info[RequestContext, None],
        category: Annotated[str | None, strawberry.argument(description="Only products of this category.")] = None,
        first: Annotated[int, strawberry.argument(description="How many, from 1 to 100.")] = 10,
    ) -> list[TrendingProductType] | None:
        """What trends."""
        info.context.authenticated()
        if not 1 <= first <= MAX_FIRST:
            raise BadUserInput(f"first must be from 1 to {MAX_FIRST}", field="first")
        trends = info.context.services.trends.current
        found = trends.products if category is None else trends.by_category.get(category, ())
        return [TrendingProductType(product_id=ID(one.product_id), category=one.category, score=one.score) for one in found[:first]]
