"""Preview tokens: what they may ask for, and drafts that are kept, away or gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.errors import BadUserInput, NotFound, Unavailable
from gateway.model.decisions.preview_token import draft_hash
from gateway.model.times import MINUTE_MS
from gateway.services.previews import KEPT_LOADED, MAX_MINUTES, PreviewRequest
from gateway.store.connection import StoreUnavailable
from tests.support.memory.gateway import MemoryGateway
from tests.support.virtual_time import START_MS
from tests.unit.services.pages import rules


@pytest.fixture
async def gateway() -> AsyncIterator[MemoryGateway]:
    async with MemoryGateway(rules()) as gateway:
        await gateway.publish(rules("Second"))
        yield gateway


def wanted(
    version: int | None = None, campaign_id: str | None = None, at_ms: int | None = None, minutes: int = 5, yaml: str | None = None
) -> PreviewRequest:
    return PreviewRequest(version, campaign_id, at_ms, minutes, yaml)


async def test_a_token_asks_for_what_it_was_made_for(gateway: MemoryGateway) -> None:
    """A published version, a campaign, a time; without a version it is the ruleset in force."""
    token, expires_at_ms = await gateway.previews.create(wanted(version=1, campaign_id="interest", at_ms=7))
    assert expires_at_ms == START_MS + 5 * MINUTE_MS
    active = await gateway.previews.open(token)
    assert active is not None
    assert active.ruleset is not None
    preview = active.preview
    assert (preview.ruleset_version, preview.campaign_id, preview.at_ms, preview.expires_at_ms) == (1, "interest", 7, expires_at_ms)
    assert (active.ruleset.version, active.ruleset.yaml) == (1, rules())
    current = await gateway.previews.open((await gateway.previews.create(wanted()))[0])
    assert current is not None
    assert current.ruleset is None


async def test_without_a_token_there_is_no_preview(gateway: MemoryGateway) -> None:
    """And nothing is read."""
    gateway.lose_store()
    assert await gateway.previews.open(None) is None


async def test_a_token_expires(gateway: MemoryGateway) -> None:
    """At its last millisecond."""
    token, _ = await gateway.previews.create(wanted(minutes=1))
    await asyncio.sleep(59.999)
    assert await gateway.previews.open(token) is not None
    await asyncio.sleep(0.001)
    with pytest.raises(BadUserInput, match="expired"):
        await gateway.previews.open(token)


@pytest.mark.parametrize("token", ["", "pv_", "pv_forged", "garbage"])
async def test_a_forged_token_is_the_callers_mistake(gateway: MemoryGateway, token: str) -> None:
    """The error names the argument."""
    with pytest.raises(BadUserInput) as refusal:
        await gateway.previews.open(token)
    assert refusal.value.field == "previewToken"


@pytest.mark.parametrize(
    ("request_", "error", "field"),
    [
        (wanted(minutes=0), BadUserInput, "expiresInMinutes"),
        (wanted(minutes=MAX_MINUTES + 1), BadUserInput, "expiresInMinutes"),
        (wanted(version=1, yaml=rules()), BadUserInput, "rulesetVersion"),
        (wanted(yaml="version: 1\nplacement: {}"), BadUserInput, "yaml"),
        (wanted(version=9), NotFound, "version"),
        (wanted(campaign_id="nobody"), NotFound, "campaignId"),
        (wanted(campaign_id="nobody", yaml=rules()), NotFound, "campaignId"),
    ],
)
async def test_what_cannot_be_previewed_is_refused(
    gateway: MemoryGateway, request_: PreviewRequest, error: type[BadUserInput | NotFound], field: str
) -> None:
    """The error names the argument, and no draft is kept."""
    with pytest.raises(error) as refusal:
        await gateway.previews.create(request_)
    assert refusal.value.field == field
    assert gateway.drafts.stored == {}


async def test_a_draft_is_kept_as_long_as_a_token_names_it(gateway: MemoryGateway) -> None:
    """By the hash of its text, so that a second token for it keeps it for longer."""
    short, _ = await gateway.previews.create(wanted(yaml=rules("Draft"), minutes=1))
    long, expires_at_ms = await gateway.previews.create(wanted(yaml=rules("Draft"), minutes=60))
    assert gateway.drafts.stored == {draft_hash(rules("Draft")): (rules("Draft"), expires_at_ms)}
    active = await gateway.previews.open(short)
    assert active is not None
    assert active.ruleset is not None
    assert (active.ruleset.version, active.ruleset.yaml) == (0, rules("Draft"))
    await asyncio.sleep(59 * 60)
    assert await gateway.previews.open(long) is not None


async def test_a_draft_stays_loaded(gateway: MemoryGateway) -> None:
    """The latest few; the others are read again."""
    tokens = [(await gateway.previews.create(wanted(yaml=rules(f"Draft {n}"))))[0] for n in range(KEPT_LOADED + 1)]
    for token in tokens:
        await gateway.previews.open(token)
    gateway.lose_store()
    for token in tokens[1:]:
        assert await gateway.previews.open(token) is not None
    with pytest.raises(Unavailable):
        await gateway.previews.open(tokens[0])


async def test_a_draft_that_is_gone_is_not_found(gateway: MemoryGateway) -> None:
    """The error says to create another preview."""
    token, _ = await gateway.previews.create(wanted(yaml=rules("Draft")))
    gateway.drafts.stored.clear()
    with pytest.raises(NotFound, match="create another preview") as refusal:
        await gateway.previews.open(token)
    assert refusal.value.field == "previewToken"


async def test_a_draft_of_another_release_that_cannot_be_loaded_is_not_found(gateway: MemoryGateway) -> None:
    """This gateway does not know its language."""
    token, _ = await gateway.previews.create(wanted(yaml=rules("Draft")))
    (name,) = gateway.drafts.stored
    gateway.drafts.stored[name] = ("version: 2", START_MS + MINUTE_MS)
    with pytest.raises(NotFound, match="cannot load"):
        await gateway.previews.open(token)


@pytest.mark.parametrize("is_answer_lost", [False, True])
async def test_a_store_that_is_away_makes_no_preview(gateway: MemoryGateway, is_answer_lost: bool) -> None:
    """A token whose draft may not be kept is not handed out. Without a draft no store is needed."""
    calling = gateway.drafts.calling
    (calling.fail_afterwards if is_answer_lost else calling.fail)(StoreUnavailable("away"))
    with pytest.raises(Unavailable):
        await gateway.previews.create(wanted(yaml=rules("Draft")))
    gateway.lose_store()
    assert await gateway.previews.create(wanted())
