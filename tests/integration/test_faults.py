"""A short run of faults on the real stack, under load: processes killed, two of one kind, the broker frozen, the store killed.

The recorded events are replayed meanwhile, shuffled and every tenth twice; afterwards every context must equal the oracle, which
reads the file in order. The long runs are `scripts/faults`.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.model.events.topics import SOURCE_TOPICS
from local_stack.api import Api, event, product_added
from tests.support.replay_under_faults import Replay, chosen_seed, frozen, second_writer
from tests.support.stack_site import DEADLINE_S, Site

pytestmark = pytest.mark.integration

FREEZE_S: Final = 6.0
TRACK: Final = "mutation($events: [EventInput!]!) { track(events: $events) { results { messageId status } } }"


@pytest.mark.long
async def test_killed_processors_lose_and_double_nothing(site: Site, tmp_path: Path) -> None:
    """Spark and the only writer killed at once, then one of two writers: all contexts equal the oracle."""
    replay = Replay(site, int(time.time() * 1000), chosen_seed(), steps=2)
    async with replay.sending(0):
        for part in ("context_stream", "context_writer"):
            await asyncio.to_thread(site.stack.kill, part)
    await site.start("context_writer")
    await site.start("context_stream")
    async with second_writer(site, tmp_path / "second-writer.log"):
        await replay.kill(1, "context_writer")
        await site.start("context_writer")
    await replay.assert_contexts_equal_the_oracle()


async def test_a_frozen_broker_gives_unknown_never_a_false_accepted(site: Site) -> None:
    """Events sent while the broker is frozen are UNKNOWN; sent again after it thawed, nothing is lost and nothing counted twice."""
    visits = [await site.visit() for _ in range(5)]
    sent: dict[str, dict[str, Any]] = {}
    statuses: dict[str, list[str]] = {}
    pid = site.stack.info().kafka.pid
    assert pid is not None

    async def send(api: Api, *events: dict[str, Any]) -> None:
        for result in (await api.run(TRACK, events=list(events)))["track"]["results"]:
            statuses.setdefault(result["messageId"], []).append(result["status"])

    owners = {}
    for visitor_id, api in visits:
        for number in range(10):
            added = product_added(f"p{number}", "smartphones")
            sent[added["messageId"]] = added
            owners[added["messageId"]] = (visitor_id, api)
    log_before = await site.ends(SOURCE_TOPICS)
    async with frozen(pid, FREEZE_S):
        await asyncio.gather(*(send(owners[message][1], sent[message]) for message in sent))
        assert {status for told in statuses.values() for status in told} == {"UNKNOWN"}
    await _sent_until_accepted(send, sent, owners, statuses)
    await site.records(log_before, lambda found: set(sent) <= {r.headers["ce_id"].decode() for r in found})
    for visitor_id, _ in visits:
        context = await site.context_when(visitor_id, lambda context: context["version"] == 10)
        assert sorted((line["product_id"], line["quantity"]) for line in context["cart"]) == [(f"p{n}", 1) for n in range(10)]


async def _sent_until_accepted(
    send: Any, sent: dict[str, dict[str, Any]], owners: dict[str, tuple[str, Api]], statuses: dict[str, list[str]]
) -> None:
    """Send what is not accepted again, as a client does, until all is."""
    deadline = time.monotonic() + DEADLINE_S
    while unknown := [message for message in sent if statuses[message][-1] != "ACCEPTED"]:
        assert time.monotonic() < deadline, f"{len(unknown)} events are still {statuses[unknown[0]]}"
        await asyncio.gather(*(send(owners[message][1], sent[message]) for message in unknown))


async def test_a_killed_store_under_load_comes_back_with_every_context_right(site: Site) -> None:
    """Valkey killed twice during a replay: every event is accepted, banners are fallbacks meanwhile, all contexts equal the oracle."""
    replay = Replay(site, int(time.time() * 1000), chosen_seed(), steps=6)
    _, visitor = await site.visit()
    for first in (0, 3):
        await replay.kill(first, "valkey")
        decision = await visitor.banner()
        assert (decision["reason"], decision["fresh"]) == ("UNAVAILABLE", False)
        await replay.send(first + 1, rate=0)
        sending = asyncio.create_task(replay.send(first + 2))
        await site.start("valkey")
        assert (await visitor.banner())["fresh"]
        await sending
    await replay.assert_contexts_equal_the_oracle()


async def test_a_restarted_gateway_serves_on(site: Site) -> None:
    """After a kill -9 tokens, cursors and decision ids from before hold, and the client that resends an event is counted once."""
    visitor_id, visitor = await site.visit()
    added = product_added("phone", "smartphones")
    result = await visitor.track(added, ask=True)
    shown = result["decisions"][0]["id"]
    async with site.without("gateway"):
        pass
    assert (await visitor.banner(after=result["cursor"]))["fresh"]
    again = await visitor.track(added, event("BANNER_CLICKED", decisionId=shown))
    assert [one["status"] for one in again["results"]] == ["ACCEPTED", "ACCEPTED"]
    context = await site.context_when(visitor_id, lambda context: context["version"] == 2)
    assert [line["quantity"] for line in context["cart"]] == [1]
