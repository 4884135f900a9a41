"""One person on several devices, on the real stack: joined in any order, consent of each, and what an old device's token still sees."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.model.events.topics import Topic
from local_stack.api import Api, deals_on, product_added
from tests.integration.test_gateway_visitors import CONTEXT, consent, identify
from tests.support.second_gateway import at, second_gateway
from tests.support.stack_site import Site, codes_of, subscription_refusal

pytestmark = pytest.mark.integration

ANSWER: Final = """mutation($to: Boolean!, $measurement: Boolean, $message: ID!) {
  setConsent(personalization: $to, measurement: $measurement, messageId: $message) { cursor results { status } } }"""
FOLLOW: Final = """subscription($user: ID) { bannerChanged(placements: ["homepage-hero"], userId: $user) { id } }"""


async def answered(api: Api, to: bool, measurement: bool | None) -> str:
    found = (await api.run(ANSWER, to=to, measurement=measurement, message=str(uuid.uuid4())))["setConsent"]
    assert found["results"] == [{"status": "ACCEPTED"}]
    return str(found["cursor"])


def told(context: dict[str, Any], devices: list[str]) -> dict[str, Any]:
    """A context without its positions and the names of its visitor; devices by their number."""
    hidden = ("positions", "user_id", "stable_id", "updated_at", "interests")
    found = {name: value for name, value in context.items() if name not in hidden}
    found["anonymous_ids"] = sorted(devices.index(one) for one in context["anonymous_ids"])
    return found


async def test_three_devices_join_in_any_order_twice_and_nowhere_else(site: Site) -> None:
    """Each order gives the same context, with the variants of who joined first; a second identify to the same user changes
    nothing, one to another is a dead letter."""
    since = await site.ends([Topic.DEAD_LETTERS])
    stranger, _ = site.known("stranger")
    contexts = []
    orders = list(itertools.permutations(range(3)))
    for order in orders:
        user_id, known = site.known()
        visits = [await site.visit() for _ in range(3)]
        for number, (_, api) in enumerate(visits):
            await api.track(product_added(f"p{number}", "tablets"))
        for number in order:
            await identify(known, token=visits[number][1].credential)
        for number in reversed(order):
            await identify(known, token=visits[number][1].credential)
            await identify(site.secret, user=stranger, anonymous=visits[number][0])
        found = await site.context_when(user_id, lambda context: context["version"] == 9)
        assert found["stable_id"] == visits[order[0]][0]
        contexts.append(told(found, [visitor_id for visitor_id, _ in visits]))
    assert contexts == [contexts[0]] * len(orders)
    assert {line["product_id"] for line in contexts[0]["cart"]} == {"p0", "p1", "p2"}
    letters = await site.records(since, lambda found: len(found) >= 3 * len(orders))
    assert {letter.body["code"] for letter in letters} == {"ALREADY_IDENTIFIED"}
    assert await site.context(stranger) == {}


async def test_the_token_of_a_joined_device_never_reads_the_person(site: Site) -> None:
    """It gets banners, over HTTP, WebSocket and SSE; the context of the person is FORBIDDEN, by its own name or the person's."""
    _, anonymous = await site.visit()
    user_id, known = site.known()
    await known.track(product_added("tv", "televisions"), ask=True)
    joined = await identify(known, token=anonymous.credential, traits=None)
    assert (await anonymous.banner(after=joined["cursor"]))["banner"]["headline"] == deals_on("televisions")
    assert await codes_of(anonymous, CONTEXT) == ["FORBIDDEN"]
    named = CONTEXT.replace("userContext", f'userContext(userId: "{user_id}")')
    assert await codes_of(anonymous, named) == ["FORBIDDEN"]
    for transport in ("websocket", "sse"):
        assert await subscription_refusal(anonymous, transport, FOLLOW, user=user_id) == "FORBIDDEN"
        assert await subscription_refusal(anonymous, transport, CONTEXT) == "FORBIDDEN"
        assert await subscription_refusal(anonymous, transport, named) == "FORBIDDEN"


async def test_consent_of_one_device_holds_on_all(site: Site) -> None:
    """Withdrawn on one: at once on the others that joined, without any processor, and in open pages; given again there, all return."""
    visits = [await site.visit() for _ in range(2)]
    user_id, known = site.known()
    for number, (_, api) in enumerate(visits):
        await api.track(product_added(f"p{number}", "tablets"))
        joined = await identify(known, token=api.credential)
        await known.banner(after=joined["cursor"])
    apis = [known, *(api for _, api in visits)]
    device = visits[0][1]
    async with known.frames("websocket", []) as person, visits[1][1].frames("sse", []) as other:
        await asyncio.gather(person.until(deals_on("tablets")), other.until(deals_on("tablets")))
        async with site.without("context_writer", orderly=True):
            await consent(device, False)
            assert [(await api.banner())["reason"] for api in apis] == ["NO_CONSENT"] * 3
            await asyncio.gather(person.until("Welcome! Fresh deals every day"), other.until("Welcome! Fresh deals every day"))
            # The others never said no, and their yes does not lift it.
            await consent(known, True)
            await consent(visits[1][1], True)
            assert [(await api.banner())["reason"] for api in apis] == ["NO_CONSENT"] * 3
            assert (await site.context(user_id))["cart"] == []
            await consent(device, True)
            assert [(await api.banner())["banner"]["headline"] for api in apis] == [deals_on("tablets")] * 3
            await asyncio.gather(person.until(deals_on("tablets")), other.until(deals_on("tablets")))


async def test_measurement_is_an_answer_of_its_own(site: Site) -> None:
    """Refused, it leaves personalization alone, and the other way round; the strictest of the devices is in force."""
    _, anonymous = await site.visit()
    user_id, known = site.known()
    await anonymous.track(product_added("p", "tablets"))
    await known.banner(after=(await identify(known, token=anonymous.credential))["cursor"])
    steps: list[tuple[Api, bool, bool | None, bool, bool | None, str]] = [
        (known, True, None, True, None, "TARGETING_MATCH"),
        (known, True, True, True, True, "TARGETING_MATCH"),
        (anonymous, True, False, True, False, "TARGETING_MATCH"),
        (known, False, True, False, False, "NO_CONSENT"),
        (anonymous, True, True, False, True, "NO_CONSENT"),
    ]
    for api, to, measurement, personalized, measured, reason in steps:
        await answered(api, to, measurement)
        assert (await site.context(user_id))["consent"] == {"personalization": personalized, "measurement": measured}
        assert (await known.banner())["reason"] == reason


async def test_who_was_never_asked_follows_the_setting(site: Site, tmp_path: Path) -> None:
    """GATEWAY_CONSENT_DEFAULT false: the fallback until somebody says yes; also for a visitor of whom nothing is known."""
    _, visitor = await site.visit()
    _, newcomer = await site.visit()
    await visitor.track(product_added("p", "tablets"), ask=True)
    extra = {"GATEWAY_CONSENT_DEFAULT": "false"}
    async with second_gateway(site.stack, site.http, str(tmp_path / "second.log"), extra=extra) as strict:
        for api in (visitor, newcomer):
            assert (await at(strict, api).banner())["reason"] == "NO_CONSENT"
        assert (await visitor.banner())["reason"] == "TARGETING_MATCH"
        await answered(at(strict, visitor), True, None)
        assert (await at(strict, visitor).banner())["banner"]["headline"] == deals_on("tablets")
