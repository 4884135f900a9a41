"""The client on the real stack: events in, the banner after them in the same round trip, what is known, what is erased."""

from __future__ import annotations

import uuid
from decimal import Decimal

import pytest

from local_stack.api import PLACEMENT, deals_on
from personalization_gateway import EventStatus, GatewayClient, ProductInput, event, sign_visitor_token
from tests.support.stack_site import Site

pytestmark = pytest.mark.integration


def client_of(site: Site) -> GatewayClient:
    wiring = site.stack.wiring
    return GatewayClient(
        f"{wiring.gateway_url}/graphql", publishable_key=wiring.keys.publishable, secret_key=wiring.keys.secret, deadline_s=10, timeout_s=10
    )


async def test_a_page_after_an_event_has_the_banner_after_it(site: Site) -> None:
    """Visit, event, page: the page waits for the cursor and shows what the event changed."""
    async with client_of(site) as client:
        first = await client.personalize([PLACEMENT], token=None, page={"type": "home"})
        assert first.token is not None
        product: ProductInput = {"productId": "p1", "category": "headphones", "price": Decimal("19.90"), "currency": "EUR"}
        tracked = await client.track([event("PRODUCT_VIEWED", product=product)], visitor_token=first.token)
        assert tracked.all_accepted
        second = await client.personalize([PLACEMENT], token=first.token, page={"type": "home"}, after=tracked.cursor)
    banner = second.decisions[PLACEMENT].banner
    assert banner is not None
    assert banner.headline == deals_on("headphones")
    assert second.decisions[PLACEMENT].fresh


async def test_a_known_user_is_tracked_known_and_erased_by_the_secret_key(site: Site) -> None:
    """Batch with one wrong event and the decision after it, context with exact money and traits, then nothing."""
    user_id = f"client-{uuid.uuid4().hex[:12]}"
    async with client_of(site) as client:
        good = event(
            "PRODUCT_ADDED",
            userId=user_id,
            product={"productId": "p1", "category": "tablets", "price": Decimal("99.10"), "currency": "EUR"},
        )
        wrong = event("PRODUCT_ADDED", userId=user_id)
        tracked = await client.track([good, wrong], placements=[PLACEMENT], page={"type": "home"}, max_wait_ms=10_000)
        assert [result.status for result in tracked.results] == [EventStatus.ACCEPTED, EventStatus.REJECTED]
        assert tracked.results[1].error is not None
        assert [decision.banner and decision.banner.headline for decision in tracked.decisions] == [deals_on("tablets")]

        again = await client.track([good])
        assert again.all_accepted
        visit = await client.start_visit()
        assert visit is not None
        joined = await client.identify(user_id, anonymous_token=visit.token, traits={"tier": "gold"})
        assert joined.all_accepted
        assert await client.banner(PLACEMENT, user_id=user_id, after=joined.cursor) is not None
        known = await client.user_context(user_id)
        assert known is not None
        assert [(line.product_id, line.quantity, line.price and line.price.amount) for line in known.cart] == [("p1", 1, Decimal("99.10"))]
        assert known.traits == {"tier": "gold"}
        own = await client.user_context(visitor_token=sign_visitor_token(user_id, site.stack.wiring.keys.token_secret))
        assert own is not None
        assert (own.cart, own.traits) == (known.cart, {})

        assert (await client.set_consent(personalization=False, user_id=user_id)).all_accepted
        decision = await client.banner(PLACEMENT, user_id=user_id)
        assert decision is not None
        assert decision.reason.value == "NO_CONSENT"
        assert (await client.delete_user(user_id)).all_accepted
        gone = await client.user_context(user_id)
        assert gone is None or (gone.cart, gone.traits) == ((), {})
