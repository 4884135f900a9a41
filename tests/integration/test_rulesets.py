"""Rulesets on the real stack: published, in force on every process, pushed where they change something, and kept."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from bench.http_client import HttpClient
from gateway.cli import main
from gateway.services.rulesets import KEPT_VERSIONS
from gateway.store.keys import RULESET_KEY
from local_stack.api import Api, event, product_added
from local_stack.project import PROJECT_ROOT
from tests.support.second_gateway import SecondGateway, at, second_gateway
from tests.support.stack_site import DEADLINE_S, Site, codes_of, until

pytestmark = pytest.mark.integration

PUBLISH: Final = """mutation($yaml: String!, $expected: Int, $dryRun: Boolean!) {
  publishRuleset(yaml: $yaml, expectedVersion: $expected, dryRun: $dryRun) {
    ruleset { version publishedAt placements campaigns { campaignId placement priority when startsAt endsAt } yaml }
    problems { message campaignId line column } } }"""
RULESET: Final = "query($version: Int) { ruleset(version: $version) { version publishedAt yaml } }"
DECISION: Final = """query($user: ID, $token: String) { banner(placement: "homepage-hero", userId: $user, previewToken: $token) {
  id reason campaignId rulesetVersion validUntil banner { headline } } }"""
EXPLAIN: Final = """query($at: DateTime) { explain(placement: "homepage-hero", at: $at) {
  decision { rulesetVersion banner { headline } } notes } }"""
SHIPPED: Final = (PROJECT_ROOT / "examples" / "storefront" / "campaigns.yaml").read_text(encoding="utf-8")
IN_FORCE_S: Final = 1.0
QUERIES_PER_S: Final = 200


def rules(fallback: str = "Hello", *, extra: str = "", **headlines: str) -> str:
    """A ruleset with a campaign for each category of interest."""
    campaigns = "".join(
        f"  - {{id: for-{name}, placement: homepage-hero, when: 'interested_category == \"{name}\"', banner: {{headline: '{headline}'}}}}\n"
        for name, headline in headlines.items()
    )
    head = f"version: 1\nplacements: {{homepage-hero: {{fallback: {{headline: '{fallback}'}}}}}}\n"
    return f"{head}campaigns:\n{campaigns}{extra}" if campaigns or extra else head


async def publish(api: Api, text: str, expected: int | None = None, *, dry_run: bool = False) -> dict[str, Any]:
    result: dict[str, Any] = (await api.run(PUBLISH, yaml=text, expected=expected, dryRun=dry_run))["publishRuleset"]
    return result


async def published(api: Api, text: str) -> int:
    result = await publish(api, text)
    assert result["problems"] == []
    return int(result["ruleset"]["version"])


async def in_force(api: Api) -> int:
    return int((await api.run(RULESET))["ruleset"]["version"])


async def decision(api: Api, **variables: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await api.run(DECISION, **variables))["banner"]
    return found


@pytest.fixture(autouse=True)
async def shipped_again(site: Site) -> AsyncIterator[None]:
    """Other tests rely on the shipped campaigns."""
    yield
    await published(site.secret, SHIPPED)


@pytest.fixture
async def second(site: Site, tmp_path: Path) -> AsyncIterator[SecondGateway]:
    async with second_gateway(site.stack, site.http, str(tmp_path / "second.log")) as gateway:
        yield gateway


async def interested(site: Site, category: str) -> Api:
    _, visitor = await site.visit()
    await visitor.track(product_added("p", category), ask=True)
    return visitor


async def test_the_file_is_the_first_version(site: Site) -> None:
    """Published once, when the topic was empty."""
    found = (await site.secret.run(RULESET, version=1))["ruleset"]
    assert (found["version"], found["yaml"]) == (1, SHIPPED)
    assert found["publishedAt"] is not None


async def test_a_condition_that_fails_is_counted(site: Site) -> None:
    """The campaign is skipped, the answer is no error, and the metric names the campaign."""
    broken = "  - {id: broken, placement: homepage-hero, priority: 9, when: 'traits.plan == 1', banner: {headline: Broken}}\n"
    await published(site.secret, rules(tv="TV", extra=broken))
    visitor = await interested(site, "tv")
    assert (await decision(visitor))["banner"]["headline"] == "TV"
    assert await site.metric('gateway_condition_errors_total{campaign="broken"}') >= 1


async def test_a_published_ruleset_is_in_force_everywhere_within_a_second(site: Site, second: SecondGateway) -> None:
    """Whoever took it; each version can be read everywhere."""
    gateways = [site.secret, at(second, site.secret)]
    version = 0
    for n in range(6):
        version = await published(gateways[n % 2], rules(f"Round {n}"))
        at_s = time.monotonic()
        for api in gateways:
            await _until_answers_by(api, version, IN_FORCE_S)
            assert (await decision(api))["banner"]["headline"] == f"Round {n}"
        print(f"in force everywhere {1000 * (time.monotonic() - at_s):.0f} ms after the answer")
    for api in gateways:
        assert (await api.run(RULESET, version=version - 3))["ruleset"]["yaml"] == rules("Round 2")


async def _until_answers_by(api: Api, version: int, within_s: float = DEADLINE_S) -> None:
    async def answers() -> bool:
        return bool((await decision(api))["rulesetVersion"] == version)

    await until(answers, lambda: f"version {version} is not in force", within_s)


async def test_subscribers_get_exactly_the_pushes_whose_decision_changed(site: Site, second: SecondGateway) -> None:
    """100 pages over two processes, 200 queries a second: no request fails, each page is sent its changes and nothing else.

    Whoever asks more than a second after a version was published is answered by it, whichever process is asked.
    """
    await published(site.secret, rules(tv="TV 1", radio="Radio 1"))
    visitors = {category: await interested(site, category) for category in ("tv", "radio")}
    pages: dict[str, list[Any]] = {"tv": [], "radio": []}
    stop = asyncio.Event()
    async with AsyncExitStack() as open_pages:
        for n in range(100):
            category = ("tv", "radio")[n % 2]
            api = visitors[category] if n % 4 < 2 else at(second, visitors[category])
            pages[category].append(await open_pages.enter_async_context(api.frames("websocket" if n % 8 < 4 else "sse", [])))
        for frames in pages["tv"] + pages["radio"]:
            await frames.until("TV 1" if frames in pages["tv"] else "Radio 1")
        asking = asyncio.create_task(_ask([visitors["tv"], at(second, visitors["tv"])], stop))
        await asyncio.sleep(0.5)
        versions = [(await published(site.secret, rules(tv="TV 2", radio="Radio 1")), time.monotonic())]
        for frames in pages["tv"]:
            await frames.until("TV 2", IN_FORCE_S)
        # What is sent in order and comes after shows that nothing else came before.
        versions.append((await published(at(second, site.secret), rules(tv="TV 2", radio="Radio 3")), time.monotonic()))
        for frames in pages["radio"]:
            await frames.until("Radio 3", IN_FORCE_S)
        await asyncio.sleep(max(0.0, versions[-1][1] + IN_FORCE_S + 0.5 - time.monotonic()))
        stop.set()
        answers = await asking
        assert [[h for h, _, _ in frames.seen] for frames in pages["tv"]] == [["TV 1", "TV 2"]] * 50
        assert [[h for h, _, _ in frames.seen] for frames in pages["radio"]] == [["Radio 1", "Radio 3"]] * 50
    assert {one.headline for one in answers} == {"TV 1", "TV 2"}
    assert len(answers) / (answers[-1].sent_s - answers[0].sent_s) == pytest.approx(QUERIES_PER_S, rel=0.05)
    for version, published_s in versions:
        late = [one for one in answers if one.sent_s > published_s + IN_FORCE_S]
        assert {one.gateway for one in late} == {0, 1}
        assert [one for one in late if one.version < version] == []


@dataclass(frozen=True)
class Asked:
    """A query: when it was sent (monotonic), to which of the gateways, and what it was answered."""

    sent_s: float
    gateway: int
    headline: str
    version: int


async def _ask(gateways: list[Api], stop: asyncio.Event) -> list[Asked]:
    """Ask for the banner `QUERIES_PER_S` times a second, in turn; a failing request fails the test."""
    # httpx takes milliseconds of this process for a query, and it also reads 100 pages.
    clients, body = [HttpClient(api.url) for api in gateways], json.dumps({"query": DECISION}).encode()

    async def ask(gateway: int) -> Asked:
        sent_s = time.monotonic()
        found = json.loads(await clients[gateway].post(body, str(gateways[gateway].credential)))["data"]["banner"]
        return Asked(sent_s, gateway, found["banner"]["headline"], found["rulesetVersion"])

    asked: list[asyncio.Task[Asked]] = []
    began_s = time.monotonic()
    try:
        while not stop.is_set():
            while len(asked) < (time.monotonic() - began_s) * QUERIES_PER_S:
                asked.append(asyncio.create_task(ask(len(asked) % len(gateways))))
            await asyncio.sleep(0.005)
        return list(await asyncio.gather(*asked))
    finally:
        for client in clients:
            client.close()


async def test_a_page_rendered_by_a_newer_ruleset_is_not_sent_back(site: Site, second: SecondGateway) -> None:
    """The process that the page subscribes to loads that ruleset first."""
    visitor = await interested(site, "tv")
    for n in range(5):
        await published(site.secret, rules(tv=f"TV {n}"))
        shown = (await decision(visitor))["id"]
        async with at(second, visitor).frames("websocket", [shown]) as frames:
            await published(site.secret, rules(tv=f"TV {n} again"))
            await frames.until(f"TV {n} again")
            assert [headline for headline, _, _ in frames.seen] == [f"TV {n} again"]


async def test_an_unexpected_version_is_a_conflict(site: Site, second: SecondGateway) -> None:
    """Of several that expect the same version, one wins, whichever processes they ask."""
    version = await in_force(site.secret)
    asked = [
        codes_of((site.secret, at(second, site.secret))[n % 2], PUBLISH, yaml=rules(f"{n}"), expected=version, dryRun=False)
        for n in range(8)
    ]
    answers = await asyncio.gather(*asked)
    assert sorted(answers) == [[]] + [["CONFLICT"]] * 7
    assert await in_force(site.secret) == version + 1
    assert await codes_of(site.secret, PUBLISH, yaml=rules(), expected=version, dryRun=True) == ["CONFLICT"]
    assert (await publish(site.secret, rules("New"), version + 1))["ruleset"]["version"] == version + 2


async def test_mistakes_are_data_and_change_nothing(site: Site) -> None:
    """Each with its line and column; a dry run stores nothing either."""
    version = await in_force(site.secret)
    wrong = rules(tv="{nobody}", radio="ok").replace("interested_category", "interest", 1)
    result = await publish(site.secret, wrong)
    assert result["ruleset"] is None
    assert [(p["campaignId"], p["line"]) for p in result["problems"]] == [("for-tv", 4), ("for-tv", 4)]
    assert all(problem["column"] > 1 for problem in result["problems"])
    dry = await publish(site.secret, rules(tv="TV"), version, dry_run=True)
    assert (dry["problems"], dry["ruleset"]["version"], dry["ruleset"]["publishedAt"]) == ([], version + 1, None)
    assert [campaign["campaignId"] for campaign in dry["ruleset"]["campaigns"]] == ["for-tv"]
    assert await in_force(site.secret) == version


async def test_rulesets_need_a_secret_key(site: Site) -> None:
    """Reading, publishing and previewing."""
    _, visitor = await site.visit()
    for api in (visitor, site.publishable):
        assert await codes_of(api, RULESET) == ["FORBIDDEN"]
        assert await codes_of(api, PUBLISH, yaml=rules(), dryRun=True) == ["FORBIDDEN"]
        assert await codes_of(api, "mutation { createPreview { token } }") == ["FORBIDDEN"]
        assert await codes_of(api, '{ preview(placement: "homepage-hero", context: {}) { id } }') == ["FORBIDDEN"]
    assert await codes_of(site.secret, RULESET, version=10_000) == ["NOT_FOUND"]
    assert await codes_of(site.secret, RULESET, version=-1) == ["NOT_FOUND"]


async def test_a_large_ruleset_is_taken_from_a_secret_key_only(site: Site) -> None:
    """Nearly a megabyte of YAML."""
    large = rules() + "# " + "x" * 980_000 + "\n"
    version = await published(site.secret, large)
    assert len((await site.secret.run(RULESET, version=version))["ruleset"]["yaml"]) == len(large)
    assert await codes_of(site.publishable, PUBLISH, yaml=large, dryRun=True) == ["PAYLOAD_TOO_LARGE"]


async def test_a_thousand_campaigns_are_in_force_within_the_time_of_a_publish(site: Site) -> None:
    """Reading them takes a while: nobody is told that it may have been written, or not, while it was."""
    version = await published(site.secret, rules(**{f"category-{number}": f"Deals {number}" for number in range(1000)}))
    assert await in_force(site.secret) == version


async def test_the_version_of_a_past_moment_decides(site: Site) -> None:
    """However many were published since: more than are kept."""
    version = await published(site.secret, rules("Then"))
    moment = (await site.secret.run(RULESET))["ruleset"]["publishedAt"]
    for number in range(KEPT_VERSIONS + 2):
        await published(site.secret, rules(f"Later {number}"))
    found = (await site.secret.run(EXPLAIN, at=moment))["explain"]
    assert (found["decision"]["rulesetVersion"], found["decision"]["banner"]["headline"], found["notes"]) == (version, "Then", [])


async def test_a_schedule_changes_an_open_page_at_its_time(site: Site) -> None:
    """Nothing happens but that time passes."""
    visitor = await interested(site, "tv")
    begins = (datetime.now(UTC) + timedelta(seconds=4)).replace(microsecond=0)
    times = [(begins + timedelta(seconds=after)).isoformat().replace("+00:00", "Z") for after in (0, 2)]
    schedule = f"{{from: {times[0]}, until: {times[1]}}}"
    campaign = f"  - {{id: sale, placement: homepage-hero, when: 'true', banner: {{headline: Sale}}, schedule: {schedule}}}\n"
    await published(site.secret, rules(extra=campaign))
    first = await decision(visitor)
    assert (first["banner"]["headline"], first["validUntil"]) == ("Hello", times[0].replace("Z", ".000Z"))
    async with visitor.frames("websocket", [first["id"]]) as frames:
        await frames.until("Sale")
        began = time.time()
        await frames.until("Hello")
        assert [headline for headline, _, _ in frames.seen] == ["Sale", "Hello"]
    assert abs(began - begins.timestamp()) < 1
    assert abs(time.time() - begins.timestamp() - 2) < 1


async def test_a_cap_that_lets_go_changes_an_open_page(site: Site) -> None:
    """Nothing happens but that the view that the cap counted is a minute old."""
    campaign = (
        "  - {id: sale, placement: homepage-hero, when: 'true', banner: {headline: Sale}, caps: {views: [{max: 1, per: 1 minute}]}}\n"
    )
    await published(site.secret, rules(extra=campaign))
    _, visitor = await site.visit()
    viewed_ms = int(time.time() * 1000) - 55_000
    seen = await visitor.track(event("BANNER_VIEWED", decisionId=(await decision(visitor))["id"], at_ms=viewed_ms), ask=True)
    assert seen["decisions"][0]["banner"]["headline"] == "Hello"
    capped = await decision(visitor)
    assert datetime.fromisoformat(capped["validUntil"]).timestamp() * 1000 == pytest.approx(viewed_ms + 60_000, abs=1)
    async with visitor.frames("websocket", [capped["id"]]) as frames:
        await frames.until("Sale")
        assert abs(time.time() * 1000 - viewed_ms - 60_000) < 1000
        assert [headline for headline, _, _ in frames.seen] == ["Sale"]


async def test_a_placement_that_is_not_there_breaks_no_page(site: Site) -> None:
    """Asked for, or taken away by a ruleset under open pages: no banner, the reason says why, and it comes back with the placement."""
    await published(site.secret, rules("Hello"))
    _, visitor = await site.visit()
    unknown = await visitor.run('{ banner(placement: "renamed") { reason fresh banner { id } } }')
    assert unknown["banner"] == {"reason": "UNKNOWN_PLACEMENT", "fresh": True, "banner": None}
    async with visitor.frames("websocket", []) as websocket, visitor.frames("sse", []) as sse:
        for text, headline in ((rules("Hello"), "Hello"), (rules().replace("homepage-hero", "moved"), ""), (rules("Again"), "Again")):
            await published(site.secret, text)
            for frames in (websocket, sse):
                await frames.until(headline)
            assert (await decision(visitor))["reason"] == ("DEFAULT" if headline else "UNKNOWN_PLACEMENT")
        assert [[headline for headline, _, _ in frames.seen] for frames in (websocket, sse)] == [["Hello", "", "Again"]] * 2


async def test_what_cannot_be_loaded_never_comes_into_force(site: Site, second: SecondGateway) -> None:
    """Written past the gateway: a broken ruleset counts as a version, is logged and void; garbage counts as nothing."""
    version = await published(site.secret, rules("Good"))

    def record(text: str, expected: int | None) -> bytes:
        fields = {"version_expected": expected, "yaml": text, "published_at_ms": 1, "message_id": str(uuid.uuid4())}
        return json.dumps(fields).encode()

    values = [b"garbage", b"{}", record(rules("Void"), version - 1), record("broken: [", version), record(rules("Later"), version)]
    await site.write([("rulesets", None, value) for value in values])
    assert await published(site.secret, rules("After")) == version + 2
    for api in (site.secret, at(second, site.secret)):
        await _until_answers_by(api, version + 2)
        assert await codes_of(api, RULESET, version=version + 1) == ["NOT_FOUND"]
    assert f"version {version + 1} of the ruleset cannot be loaded" in second.log()


async def test_the_commands_publish_compare_and_roll_back(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a shop's pipeline would call them."""
    file, connection = tmp_path / "campaigns.yaml", ["--url", site.stack.wiring.gateway_url, "--key", site.stack.wiring.keys.secret]

    async def run(*arguments: str) -> tuple[int, str]:
        code = await asyncio.to_thread(main, ["rules", *arguments, *connection])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    version = await published(site.secret, rules(tv="TV 1"))
    file.write_text(rules(tv="TV 2", radio="Radio"), encoding="utf-8")
    assert await run("diff", str(file)) == (0, "+ campaign for-radio\n~ campaign for-tv: banner\n")
    assert await run("publish", str(file), "--dry-run") == (0, f"{file}: OK, would become version {version + 1}\n")
    assert await run("publish", str(file), "--expected", str(version)) == (0, f"{file}: version {version + 1} is in force\n")
    code, text = await run("publish", str(file), "--expected", str(version))
    assert (code, "CONFLICT" in text) == (1, True)
    assert await run("rollback", str(version)) == (0, f"version {version}: version {version + 2} is in force\n")
    assert (await site.secret.run(RULESET))["ruleset"]["yaml"] == rules(tv="TV 1")
    code, text = await run("history", "--limit", "2")
    assert [line.split("  ")[-1] for line in text.splitlines()] == [
        "- campaign for-radio; ~ campaign for-tv: banner",
        "+ campaign for-radio; ~ campaign for-tv: banner",
    ]
    file.write_text("version: 1\nplacements: {a: {}}\nwrong: 1\n", encoding="utf-8")
    code, text = await run("publish", str(file))
    assert (code, text.startswith(f"{file}:3:1: ")) == (1, True)


async def test_without_kafka_a_new_process_starts_from_the_copy(site: Site, tmp_path: Path) -> None:
    """And a publish says that it cannot; when Kafka is back, everything goes on."""
    version = await published(site.secret, rules("From the copy"))
    await until(lambda: _copied(site, version), lambda: "no copy in Redis")
    async with AsyncExitStack() as running:
        async with site.without("kafka"):
            log = str(tmp_path / "lonely.log")
            lonely = await running.enter_async_context(second_gateway(site.stack, site.http, log, path="/healthz"))
            found = await decision(at(lonely, site.publishable))
            assert (found["rulesetVersion"], found["banner"]["headline"]) == (version, "From the copy")
            assert await codes_of(at(lonely, site.secret), PUBLISH, yaml=rules(), dryRun=False) == ["UNAVAILABLE"]
            assert f"version {version} from the copy in Redis is in force" in lonely.log()
        await until(lambda: _publishes(at(lonely, site.secret)), lambda: f"nothing is published: {lonely.log()}")
        version = await in_force(at(lonely, site.secret))
        await _until_answers_by(site.secret, version)


async def _copied(site: Site, version: int) -> bool:
    stored = await site.redis.get(RULESET_KEY)
    return stored is not None and json.loads(stored)["version"] == version


async def _publishes(api: Api) -> bool:
    return await codes_of(api, PUBLISH, yaml=rules("Again"), dryRun=False) == []


async def test_a_ruleset_names_public_traits(site: Site) -> None:
    """What a visitor token may set by identify, beside those of the settings."""
    identify = 'mutation($id: ID!) { identify(messageId: $id, traits: {plan: "gold"}) { results { status } } }'
    _, visitor = site.known()
    assert await codes_of(visitor, identify, id=str(uuid.uuid4())) == ["FORBIDDEN"]
    await published(site.secret, rules().replace("version: 1", "version: 1\npublic_traits: [plan]"))
    assert await codes_of(visitor, identify, id=str(uuid.uuid4())) == []
