"""An erased visitor stays erased when the whole log is read again into an empty store."""

from __future__ import annotations

import asyncio
import itertools
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from local_stack.api import event, product_added
from local_stack.project import PROJECT_ROOT
from local_stack.stack.local_stack import LocalStack
from tests.support.stack_site import Site

pytestmark = pytest.mark.integration

VISITORS = 70
ERASED = 50
OPERATIONS: Final = (PROJECT_ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
DELETE = "mutation($id: ID!, $message: ID!) { deleteUser(userId: $id, messageId: $message) { cursor results { status } } }"
IDENTIFY = """mutation($id: ID!, $anonymous: ID!, $message: ID!) {
  identify(userId: $id, anonymousId: $anonymous, messageId: $message) { cursor } }"""


async def shopper(site: Site, number: int) -> tuple[str, str]:
    """A known visitor with a cart, joined by an anonymous one that had a cart, too; gives both ids."""
    user_id, _ = site.known(f"erasable-{number}")
    await site.secret.track(product_added("tv", "televisions", userId=user_id))
    anonymous_id = await device(site, user_id, "phone")
    await site.context_when(user_id, lambda context: context.get("version") == 4)
    return user_id, anonymous_id


async def device(site: Site, user_id: str, product_id: str) -> str:
    """An anonymous visitor with a cart and an order who joins the known one."""
    anonymous_id, anonymous = await site.visit()
    await anonymous.track(product_added(product_id, "smartphones"), event("ORDER_COMPLETED", order={"orderId": f"o-{anonymous_id}"}))
    joined = (await site.secret.run(IDENTIFY, id=user_id, anonymous=anonymous_id, message=f"i-{anonymous_id}"))["identify"]
    await site.secret.banner(user_id=user_id, after=joined["cursor"])
    return anonymous_id


async def erase(site: Site, visitor_id: str) -> None:
    answer = (await site.secret.run(DELETE, id=visitor_id, message=f"d-{visitor_id}"))["deleteUser"]
    assert [result["status"] for result in answer["results"]] == ["ACCEPTED"]
    await site.secret.banner(user_id=visitor_id, after=answer["cursor"])


def documented(command: str) -> list[str]:
    """The words of the one command in docs/operations.md that begins so."""
    (line,) = (line.strip() for line in OPERATIONS.splitlines() if line.strip().startswith(command))
    return shlex.split(line)


def replay_the_log(stack: LocalStack, checkpoint: Path) -> None:
    """Read every source topic from its beginning once more, into the context updates: by the command that the docs name."""
    wiring = stack.wiring
    command = [sys.executable, "-m", *documented("processors context-stream --trigger availableNow"), "--master", "local[16]"]
    given = {"--bootstrap": wiring.bootstrap, "--checkpoint": str(checkpoint), "--log-epoch": str(wiring.identity.log_epoch)}
    for option, value in given.items():
        command[command.index(option) + 1] = value
    subprocess.run(command, env={**os.environ, **stack.environment("context_stream")}, check=True, timeout=300)


async def test_a_replay_of_the_whole_log_brings_no_erased_visitor_back(site: Site, stack: LocalStack, tmp_path: Path) -> None:
    """Neither the known id nor the anonymous one that had joined; all others are as before, to the last field.

    Of a visitor one of whose devices was erased, by its own id, the rest stays: what other devices did, and the visitor.
    """
    shoppers = await asyncio.gather(*(shopper(site, number) for number in range(VISITORS)))
    for user_id, _ in shoppers[:ERASED]:
        await erase(site, user_id)
    partly, its_phone = shoppers[-1]
    its_tablet = await device(site, partly, "tablet")
    await erase(site, its_phone)
    rest = await site.context_when(partly, lambda context: context.get("version") == 4)
    assert (rest["anonymous_ids"], {line["product_id"] for line in rest["cart"]}) == ([its_tablet], {"tv", "tablet"})
    # A person who comes back starts anew.
    returned, _ = shoppers[0]
    again = await site.secret.track(product_added("radio", "radios", userId=returned))
    await site.secret.banner(user_id=returned, after=again["cursor"])
    before: dict[str, dict[str, Any]] = {user_id: await site.context(user_id) for user_id, _ in shoppers}
    assert [line["product_id"] for line in before[returned]["cart"]] == ["radio"]
    assert {before[user_id]["version"] for user_id, _ in shoppers[1:ERASED]} == {0}

    for visitor_id in (*itertools.chain(*shoppers), its_tablet):
        await site.redis.delete(*(key.replace("12345", visitor_id) for key in documented("valkey-cli DEL")[2:]))
        assert await site.context(visitor_id) == {}
    seen: list[str] = []
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(watch(site, [user_id for user_id, _ in shoppers[1:ERASED]], seen, stop))
        await asyncio.to_thread(replay_the_log, stack, tmp_path / "checkpoint")
        for user_id, _ in shoppers:
            await site.context_when(user_id, lambda context, wanted=before[user_id]: told(context) == told(wanted))  # type: ignore[misc]
        stop.set()
    assert seen == []


def told(context: dict[str, Any]) -> dict[str, Any]:
    """A context without its positions: those of an anonymous id that is nobody's again went with it."""
    return {name: value for name, value in context.items() if name != "positions"}


async def watch(site: Site, erased: list[str], seen: list[str], stop: asyncio.Event) -> None:
    """Note every erased visitor who shows up with anything, even for a moment."""
    while not stop.is_set():
        seen += [user_id for user_id in erased if (await site.context(user_id)).get("version")]
        await asyncio.sleep(0.01)
