"""A gateway that has as many events on their way as it may: what more comes is refused before anything is written."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, Final

import pytest

from local_stack.api import Api, event, product_added
from tests.support.second_gateway import SecondGateway, at, second_gateway
from tests.support.stack_site import Site, answer, until

pytestmark = pytest.mark.integration

PLACES: Final = 20
TRACK: Final = "mutation($events: [EventInput!]!) { track(events: $events) { results { status } } }"


async def told(api: Api, *events: dict[str, Any]) -> list[str]:
    """What each event was answered, or the code that refuses the whole batch."""
    found = await answer(api, TRACK, events=list(events))
    if "errors" in found:
        return [found["errors"][0]["extensions"]["code"]]
    return [one["status"] for one in found["data"]["track"]["results"]]


async def waiting(site: Site, gateway: SecondGateway) -> float:
    """Events that this gateway handed to Kafka and that have no answer yet."""
    page = (await site.http.get(f"{gateway.url}/metrics")).text
    return float(next(line.split()[1] for line in page.splitlines() if line.startswith("gateway_events_in_flight ")))


async def test_no_more_events_wait_for_a_frozen_broker_than_there_are_places(site: Site, tmp_path: Path) -> None:
    """Also long after their callers were told UNKNOWN; the last places are for orders; when the broker thaws all are free again."""
    extra = {"GATEWAY_MAX_IN_FLIGHT_EVENTS": str(PLACES), "GATEWAY_PUBLISH_DEADLINE_MS": "200"}
    pid = site.stack.info().kafka.pid
    assert pid is not None
    _, visitor = await site.visit()
    async with second_gateway(site.stack, site.http, str(tmp_path / "second.log"), extra=extra) as gateway:
        api = at(gateway, visitor)
        assert await told(api, event("PAGE_VIEWED")) == ["ACCEPTED"]
        os.kill(pid, signal.SIGSTOP)
        try:
            for _ in range(2):
                assert await told(api, *(product_added(f"p{n}", "tv") for n in range(8))) == ["UNKNOWN"] * 8
            for _ in range(3):
                assert await told(api, product_added("more", "tv")) == ["THROTTLED"]
            order = event("ORDER_COMPLETED", order={"orderId": "o1", "value": 1, "currency": "EUR"})
            assert await told(api, order) == ["UNKNOWN"]
            assert await waiting(site, gateway) == 17
        finally:
            os.kill(pid, signal.SIGCONT)

        again = [product_added(f"q{number}", "tv") for number in range(16)]

        async def all_free() -> bool:
            return await waiting(site, gateway) == 0 and await told(api, *again) == ["ACCEPTED"] * 16

        await until(all_free, lambda: "places are still held")
