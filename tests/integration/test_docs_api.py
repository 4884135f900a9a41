"""docs/api.md: every example is run on the whole stack, and its answer is as shown."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from local_stack.api import Api, event, product_added
from local_stack.project import PROJECT_ROOT
from tests.integration.test_campaign_stats import compute
from tests.integration.test_rulesets import published
from tests.support.docs_examples import EXAMPLES, Example, differences, filled
from tests.support.stack_site import DEADLINE_S, Site, answer, until

pytestmark = pytest.mark.integration

BUYERS: Final = 100
SHIPPED: Final = (PROJECT_ROOT / "examples" / "storefront" / "campaigns.yaml").read_text(encoding="utf-8")
BANNER: Final = """query($placements: [ID!]!, $after: Cursor) {
  banners(placements: $placements, page: {type: "home"}, after: $after, maxWaitMs: 10000) { id fresh } }"""
REFUSED: Final = {"UNAUTHENTICATED", "FORBIDDEN"}


@dataclass(frozen=True)
class Visitor:
    """A user with a phone in the cart, who came from an anonymous visit and looks at the homepage."""

    apis: dict[str, Api]
    placeholders: dict[str, Any]

    async def answer(self, example: Example, credential: str) -> dict[str, Any]:
        """The answer to an example, or the first that its subscription sends."""
        return await asked(self.apis[credential], example.document, filled(example.variables, self.placeholders))


@pytest.fixture
async def visitor(site: Site) -> Visitor:
    """A new one, and the shipped campaigns in force, whatever the tests before did."""
    if (await site.secret.run("{ ruleset { yaml } }"))["ruleset"]["yaml"] != SHIPPED:
        await published(site.secret, SHIPPED)
    user, api = site.known("docs")
    _, anonymous = await site.visit()
    tracked = await api.track(product_added("phone-1", "smartphones"))
    (decision,) = (await api.run(BANNER, placements=["homepage-hero"], after=tracked["cursor"]))["banners"]
    assert decision["fresh"]
    apis = {"publishable key": site.publishable, "visitor token": api, "secret key": site.secret, "none": site.nobody}
    placeholders = {
        "<message id>": lambda: str(uuid.uuid4()),
        "<now>": lambda: datetime.now(UTC).isoformat(timespec="milliseconds"),
        "<user>": user,
        "<anonymous token>": anonymous.credential,
        "<cursor>": tracked["cursor"],
        "<decision>": decision["id"],
        "<campaigns.yaml>": SHIPPED,
    }
    return Visitor(apis, placeholders)


async def asked(api: Api, document: str, variables: dict[str, Any]) -> dict[str, Any]:
    """The answer over HTTP; of a subscription the first result of its event stream."""
    if not document.startswith("subscription"):
        return await answer(api, document, **variables)
    headers = {**api.headers, "accept": "text/event-stream"}
    async with (
        asyncio.timeout(DEADLINE_S),
        api.http.stream("POST", api.url, json={"query": document, "variables": variables}, headers=headers) as response,
    ):
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                found: dict[str, Any] = json.loads(line.removeprefix("data: "))
                return found
    raise AssertionError("the stream ended without a result")


async def a_trend(site: Site, _: Visitor) -> None:
    """So many bought the phone that whatever else this stack has seen trends less."""
    phone = {"productId": "phone-1", "category": "smartphones"}
    buyers = [f"buyer-{uuid.uuid4().hex}" for _ in range(BUYERS)]
    orders = [event("ORDER_COMPLETED", userId=one, order={"orderId": one, "products": [phone]}) for one in buyers]
    await site.secret.track(*orders)

    async def trends() -> bool:
        found = (await site.publishable.run('{ trending(category: "smartphones") { productId } }'))["trending"]
        return [one["productId"] for one in found][:1] == ["phone-1"]

    await until(trends, lambda: "no phone trends", within_s=60)


async def statistics(site: Site, visitor: Visitor) -> None:
    """The visitor saw the banner and bought; then the batch job counted it."""
    order = {"orderId": uuid.uuid4().hex, "value": "99.00", "currency": "EUR"}
    seen = event("BANNER_VIEWED", decisionId=visitor.placeholders["<decision>"])
    tracked = await visitor.apis["visitor token"].track(seen, event("ORDER_COMPLETED", order=order))
    assert {one["status"] for one in tracked["results"]} == {"ACCEPTED"}
    await asyncio.to_thread(compute, site.stack)


BEFORE: Final[dict[str, Callable[[Site, Visitor], Awaitable[None]]]] = {"trending": a_trend, "campaignStats": statistics}
"""What must have happened for an answer to hold anything, beside the phone in the cart."""


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.field)
async def test_example_is_answered_as_shown(site: Site, visitor: Visitor, example: Example) -> None:
    """To the first credential that the docs name for it."""
    if example.field in BEFORE:
        await BEFORE[example.field](site, visitor)
    assert differences(example.answer, await visitor.answer(example, example.credentials[0])) == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.field)
async def test_example_reaches_as_far_as_its_credentials(visitor: Visitor, example: Example) -> None:
    """Every credential that the docs name is let in, every other is refused, and so is none at all."""
    for credential in visitor.apis:
        errors = (await visitor.answer(example, credential)).get("errors", ())
        is_refused = any(error["extensions"]["code"] in REFUSED for error in errors)
        assert is_refused == (credential not in example.credentials), f"{credential}: {errors}"
