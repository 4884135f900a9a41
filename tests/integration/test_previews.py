"""Previews on the real stack: a page shows another version, a moment, a campaign, or a ruleset that is not published."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.cli import main
from gateway.model.decisions.preview_token import Preview
from local_stack.api import Frames, event
from tests.integration.test_rulesets import DECISION, decision, interested, published, rules, second, shipped_again
from tests.support.second_gateway import SecondGateway, at, second_gateway
from tests.support.stack_site import DEADLINE_S, Site, answer, codes_of, subscription_refusal, until

pytestmark = pytest.mark.integration

DRAFTS: Final = "rulesets:draft:*"

__all__ = ["second", "shipped_again"]

CREATE: Final = """mutation($yaml: String, $campaign: ID, $version: Int, $minutes: Int! = 60) {
  createPreview(yaml: $yaml, campaignId: $campaign, rulesetVersion: $version, expiresInMinutes: $minutes) { token expiresAt } }"""


async def test_a_preview_shows_a_campaign_and_counts_nothing(site: Site) -> None:
    """A campaign whatever its condition says, another version, another time; the events of such a page are rejected."""
    old = await published(site.secret, rules(tv="TV old"))
    late = "  - {id: late, placement: homepage-hero, when: 'true', banner: {headline: Late}, schedule: {from: 2099-01-01T00:00:00Z}}\n"
    await published(site.secret, rules(tv="TV new", extra=late))
    visitor = await interested(site, "tv")

    async def shown(arguments: str) -> dict[str, Any]:
        token = (await site.secret.run(f"mutation {{ createPreview({arguments}) {{ token expiresAt }} }}"))["createPreview"]["token"]
        return await decision(visitor, token=token)

    for arguments, headline in (
        ('campaignId: "late"', "Late"),
        ('at: "2099-01-02T00:00:00Z"', "TV new"),
        (f"rulesetVersion: {old}", "TV old"),
        ("expiresInMinutes: 5", "TV new"),
    ):
        found = await shown(arguments)
        assert (found["banner"]["headline"], found["reason"]) == (headline, "PREVIEW")
    result = await visitor.track(event("BANNER_VIEWED", decisionId=(await shown("expiresInMinutes: 5"))["id"]))
    assert (result["results"][0]["status"], result["results"][0]["error"]["code"]) == ("REJECTED", "PREVIEW")
    real = await decision(visitor)
    assert (real["reason"], real["banner"]["headline"]) == ("TARGETING_MATCH", "TV new")
    assert await codes_of(visitor, DECISION, token="pv_forged") == ["BAD_USER_INPUT"]
    assert await codes_of(site.secret, 'mutation { createPreview(campaignId: "nobody") { token } }') == ["NOT_FOUND"]
    assert await codes_of(site.secret, "mutation { createPreview(expiresInMinutes: 0) { token } }") == ["BAD_USER_INPUT"]


async def test_a_preview_shows_what_is_not_published_on_every_process(site: Site, second: SecondGateway) -> None:
    """For as long as its token holds, whatever is published meanwhile; its events are rejected; gone, it says so."""
    await published(site.secret, rules(tv="In force"))
    visitor = await interested(site, "tv")
    draft = rules(tv="Draft", extra="  - {id: never, placement: homepage-hero, when: 'false', banner: {headline: Never}}\n")

    async def token_of(**wish: Any) -> str:
        return str((await site.secret.run(CREATE, yaml=draft, **wish))["createPreview"]["token"])

    before = set(await site.redis.keys(DRAFTS))
    token, forced = await token_of(), await token_of(campaign="never", minutes=5)
    for api in (visitor, at(second, visitor)):
        found = await decision(api, token=token)
        assert (found["banner"]["headline"], found["reason"], found["rulesetVersion"]) == ("Draft", "PREVIEW", 0)
        assert (await decision(api, token=forced))["banner"]["headline"] == "Never"
        assert (await decision(api))["banner"]["headline"] == "In force"
        result = await api.track(event("BANNER_VIEWED", decisionId=found["id"]))
        assert result["results"][0]["error"]["code"] == "PREVIEW"
    [key] = set(await site.redis.keys(DRAFTS)) - before
    assert 55 * 60_000 < await site.redis.pttl(key) <= 60 * 60_000
    await site.redis.delete(key)
    async with second_gateway(site.stack, site.http, second.log_file + ".new") as fresh:
        assert await codes_of(at(fresh, visitor), DECISION, token=token) == ["NOT_FOUND"]


async def test_a_draft_with_mistakes_is_no_preview(site: Site) -> None:
    """Every mistake with line and column; a campaign that it does not have; a version beside it; a visitor's token."""
    before = await site.redis.keys(DRAFTS)
    wrong = rules(tv="{nobody}", radio="ok").replace("interested_category", "interest", 1)
    refused = (await answer(site.secret, CREATE, yaml=wrong))["errors"][0]
    assert (refused["extensions"]["code"], refused["extensions"]["field"]) == ("BAD_USER_INPUT", "yaml")
    lines = refused["message"].splitlines()
    assert [line.startswith("yaml:4:") and "campaign for-tv: " in line for line in lines] == [True, True]
    assert await codes_of(site.secret, CREATE, yaml=rules(), campaign="nobody") == ["NOT_FOUND"]
    assert await codes_of(site.secret, CREATE, yaml=rules(), version=1) == ["BAD_USER_INPUT"]
    _, visitor = await site.visit()
    assert await codes_of(visitor, CREATE, yaml=rules()) == ["FORBIDDEN"]
    assert sorted(await site.redis.keys(DRAFTS)) == sorted(before)


async def test_the_preview_command_prints_a_token_and_a_link(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With which the page shows the file; a mistake of the file is named before anything is sent."""
    file, connection = tmp_path / "campaigns.yaml", ["--url", site.stack.wiring.gateway_url, "--key", site.stack.wiring.keys.secret]
    file.write_text(rules(tv="From the file"), encoding="utf-8")
    options = ["--campaign", "for-tv", "--minutes", "5", "--page-url", "http://shop.example/?a=1"]
    assert await asyncio.to_thread(main, ["rules", "preview", str(file), *options, *connection]) == 0
    told = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert told["link"] == f"http://shop.example/?a=1&gw_preview={told['token']}"
    _, visitor = await site.visit()
    assert (await decision(visitor, token=told["token"]))["banner"]["headline"] == "From the file"
    file.write_text("version: 1\nplacements: {a: {}}\nwrong: 1\n", encoding="utf-8")
    assert await asyncio.to_thread(main, ["rules", "preview", str(file), *connection]) == 1
    assert capsys.readouterr().err.startswith(f"{file}:3:1: ")


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_an_open_page_follows_a_preview(site: Site, transport: str) -> None:
    """Of the ruleset in force, as it changes; a forged token is refused."""
    follow = """subscription($token: String) { bannerChanged(placements: ["homepage-hero"], previewToken: $token) {
      reason banner { headline } } }"""
    await published(site.secret, rules(tv="TV 1"))
    visitor = await interested(site, "tv")
    token = (await site.secret.run('mutation { createPreview(campaignId: "for-tv") { token } }'))["createPreview"]["token"]
    assert await subscription_refusal(visitor, transport, follow, token=f"{token}x") == "BAD_USER_INPUT"
    if transport == "websocket":
        return
    body = {"query": follow, "variables": {"token": token}}
    async with asyncio.timeout(DEADLINE_S):
        headers = {**visitor.headers, "accept": "text/event-stream"}
        async with visitor.http.stream("POST", visitor.url, json=body, headers=headers) as response:
            found = (json.loads(line[5:]) async for line in response.aiter_lines() if line.startswith("data:"))
            for headline in ("TV 1", "TV 2"):
                pushed = (await anext(found))["data"]["bannerChanged"]
                assert (pushed["banner"]["headline"], pushed["reason"]) == (headline, "PREVIEW")
                await published(site.secret, rules(tv="TV 2"))


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_when_a_preview_expires_an_open_page_gets_its_real_banner(site: Site, transport: str) -> None:
    """By itself, also where the two look the same: what the page shows from then on counts. A new question is refused."""
    await published(site.secret, rules(tv="TV", radio="Radio"))
    for campaign, previewed in (("for-radio", "Radio"), ("for-tv", "TV")):
        visitor = await interested(site, "tv")
        expires_at_ms = int(time.time() * 1000) + 2_000
        token = Preview(None, campaign, None, expires_at_ms).sign(site.stack.wiring.keys.token_secret.encode())
        async with visitor.frames(transport, [], preview=token) as frames:
            await frames.until(previewed)
            await until_seen(frames, 2)
            assert abs(time.time() * 1000 - expires_at_ms) < 1000
        (_, shown, _), (headline, real, _) = frames.seen
        assert headline == "TV"
        result = await visitor.track(event("BANNER_VIEWED", decisionId=shown), event("BANNER_VIEWED", decisionId=real))
        assert [one["status"] for one in result["results"]] == ["REJECTED", "ACCEPTED"]
        assert await codes_of(visitor, DECISION, token=token) == ["BAD_USER_INPUT"]


async def until_seen(frames: Frames, count: int) -> None:
    async def holds() -> bool:
        return len(frames.seen) == count

    await until(holds, lambda: f"the page was sent {frames.seen}")


async def test_preview_decides_for_a_context_that_is_given(site: Site) -> None:
    """By any version, at any time; a context that nobody could have is bad user input."""
    version = await published(site.secret, rules(tv="TV {last_search|}"))
    query = """query($context: JSON!, $version: Int) { preview(placement: "homepage-hero", context: $context, rulesetVersion: $version) {
      id reason campaignId rulesetVersion banner { headline } } }"""
    found = (await site.secret.run(query, context={"interested_category": "tv", "last_search": "oled"}))["preview"]
    assert (found["banner"]["headline"], found["reason"], found["rulesetVersion"]) == ("TV oled", "TARGETING_MATCH", version)
    found = (await site.secret.run(query, context={"interested_category": "smartphones"}, version=1))["preview"]
    assert (found["campaignId"], found["rulesetVersion"]) == ("interest-deals", 1)
    wrongs: list[Any] = [
        5,
        [],
        {"interest": 1},
        {"cart": 1},
        {"cart": [{}]},
        {"interests": {"tv": "x"}},
        {"interests": {"tv": -1}},
        {"consent": {"personalization": 1}},
    ]
    for wrong in wrongs:
        assert await codes_of(site.secret, query, context=wrong) == ["BAD_USER_INPUT"]
    _, visitor = await site.visit()
    result = await visitor.track(event("BANNER_VIEWED", decisionId=found["id"]))
    assert result["results"][0]["error"]["code"] == "PREVIEW"
