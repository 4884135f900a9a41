"""The query field that lists trending products."""

from __future__ import annotations

from typing import Annotated, Final

import strawberry
from strawberry import ID, Info

from gateway.api.request_context import RequestContext
from gateway.errors import BadUserInput

MAX_FIRST: Final = 100


@strawberry.type(name="TrendingProduct", description="A product that many visitors currently view, add to the cart or buy.")
class TrendingProductType:
    """A trending product."""

    product_id: ID = strawberry.field(description="Your own id of the product.")
    category: str | None = strawberry.field(description="Its category, if an event named it.")
    score: float = strawberry.field(
        description="The number of different visitors in the last 24 hours who viewed it (weight 1), added it to the cart (5) or "
        "bought it (20); activity 6 hours ago weighs half. Approximate: compare only products of the same answer."
    )


@strawberry.type
class TrendsQuery:
    """Trends."""

    @strawberry.field(
        description="The trending products, highest score first, from the snapshot that decisions currently use. Any credential."
    )
    async def trending(
        self,
        info: Info[RequestContext, None],
        category: Annotated[str | None, strawberry.argument(description="Only products of this category.")] = None,
        first: Annotated[int, strawberry.argument(description="The number of products, from 1 to 100.")] = 10,
    ) -> list[TrendingProductType] | None:
        """The trending products."""
        info.context.authenticated()
        if not 1 <= first <= MAX_FIRST:
            raise BadUserInput(f"first must be from 1 to {MAX_FIRST}", field="first")
        trends = info.context.services.trends.current
        products = trends.products if category is None else trends.by_category.get(category, ())
        return [
            TrendingProductType(product_id=ID(product.product_id), category=product.category, score=product.score)
            for product in products[:first]
        ]
