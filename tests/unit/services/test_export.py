"""The export of a visitor: both ids of a person, whichever was asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.errors import Unavailable
from gateway.store.connection import StoreUnavailable
from tests.support.memory.gateway import MemoryGateway
from tests.unit.services.pages import ANONYMOUS, VISITOR, rules


@pytest.fixture
async def gateway() -> AsyncIterator[MemoryGateway]:
    async with MemoryGateway(rules()) as gateway:
        yield gateway


async def test_nothing_is_stored_about_a_visitor_who_never_came(gateway: MemoryGateway) -> None:
    """Then there is no export."""
    assert await gateway.exports.export(VISITOR) is None


async def test_a_visitor_is_exported_as_of_now(gateway: MemoryGateway) -> None:
    """With the time of the export."""
    await gateway.add_to_cart(VISITOR, "tv")
    await asyncio.sleep(60)
    exported = await gateway.exports.export(VISITOR)
    assert exported is not None
    assert (exported["user_id"], exported["exported_at"], exported["aliases"]) == (VISITOR, "2026-09-21T14:14:20.000Z", {})
    assert [line["category"] for line in exported["context"]["cart"]] == ["tv"]


@pytest.mark.parametrize("asked", [ANONYMOUS, VISITOR])
async def test_a_visitor_who_joined_is_exported_under_both_ids(gateway: MemoryGateway, asked: str) -> None:
    """Since then the two are one person, and the alias still holds its part."""
    await gateway.add_to_cart(ANONYMOUS, "radio")
    await gateway.write(ANONYMOUS, "IDENTIFY", {"user_id": VISITOR})
    await gateway.add_to_cart(VISITOR, "tv")
    exported = await gateway.exports.export(asked)
    assert exported is not None
    assert (exported["user_id"], list(exported["aliases"])) == (VISITOR, [ANONYMOUS])
    assert sorted(exported["state"]["parts"]) == [ANONYMOUS, VISITOR]
    assert exported["aliases"][ANONYMOUS]["alias_of"] == VISITOR


async def test_an_alias_whose_visitor_was_not_stored_yet_is_exported_itself(gateway: MemoryGateway) -> None:
    """The writer stores the alias first; here it died before the union."""
    await gateway.add_to_cart(ANONYMOUS, "radio")
    gateway.store.writing.let_pass(1)
    gateway.store.writing.stay_away(StoreUnavailable("away"))
    with pytest.raises(StoreUnavailable):
        await gateway.write(ANONYMOUS, "IDENTIFY", {"user_id": VISITOR})
    gateway.return_store()
    exported = await gateway.exports.export(ANONYMOUS)
    assert exported is not None
    assert (exported["user_id"], exported["state"]["alias_of"], list(exported["state"]["parts"])) == (ANONYMOUS, VISITOR, [ANONYMOUS])


@pytest.mark.parametrize("reads", [0, 1, 2])
async def test_a_store_that_goes_away_in_the_middle_exports_nothing(gateway: MemoryGateway, reads: int) -> None:
    """Half of what is stored would be taken for all of it."""
    await gateway.add_to_cart(ANONYMOUS, "radio")
    await gateway.write(ANONYMOUS, "IDENTIFY", {"user_id": VISITOR})
    gateway.states.reading.let_pass(reads)
    gateway.states.reading.fail(StoreUnavailable("away"))
    with pytest.raises(Unavailable):
        await gateway.exports.export(ANONYMOUS)
