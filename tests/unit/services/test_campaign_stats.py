"""Results of a campaign: the hours of a period, and the splits of the versions that decided, over a store that may be away."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.errors import BadUserInput, NotFound, Unavailable
from gateway.kafka.ruleset_topic import TopicUnavailable
from gateway.model.statistics.intervals import once_each
from gateway.model.statistics.results import Coverage, StatsRow
from gateway.model.times import HOUR_MS
from gateway.services.campaign_stats import MAX_VERSIONS, CampaignReport
from gateway.services.rulesets import KEPT_VERSIONS
from tests.support.memory.gateway import LOG_EPOCH, MemoryGateway
from tests.support.virtual_time import START_MS

HOUR = START_MS // HOUR_MS
"""The hour in which the statistics were computed; it has not ended."""


def rules(weights: str, holdout: str = "") -> str:
    """A campaign with a split between `a` and `b`. `holdout`: its share, as YAML."""
    a, b = (
        f"{{variant: {name}, weight: {weight}, banner: {{headline: {name}}}}}"
        for name, weight in zip("ab", weights.split(":"), strict=True)
    )
    return f"""version: 1
placements: {{hero: {{}}}}
campaigns:
- {{id: sale, placement: hero, when: 'true', {holdout}split: [{a}, {b}]}}
"""


@pytest.fixture
async def gateway() -> AsyncIterator[MemoryGateway]:
    async with MemoryGateway(rules("1:1")) as gateway:
        yield gateway


def row(variant: str, version: int = 1, visitors: int = 10) -> StatsRow:
    return StatsRow(variant, version, views=visitors, visitors=once_each(visitors, 0))


def save(gateway: MemoryGateway, hours: dict[int, list[StatsRow]], campaign_id: str = "sale") -> None:
    gateway.statistics.save(campaign_id, hours, Coverage(START_MS, 7, 30, LOG_EPOCH, min(hours, default=0)))


async def report(gateway: MemoryGateway, from_ms: int | None = None, to_ms: int | None = None) -> CampaignReport:
    found = await gateway.campaign_stats.report("sale", from_ms, to_ms)
    assert found is not None
    return found


def visitors(found: CampaignReport) -> dict[str, int]:
    return {one.variant: one.totals.visitors.visitors for one in found.result.variants}


async def test_before_the_first_run_there_is_no_report(gateway: MemoryGateway) -> None:
    """The campaign is known, its statistics were never computed."""
    assert await gateway.campaign_stats.report("sale", None, None) is None


async def test_a_campaign_without_rows_has_an_empty_report(gateway: MemoryGateway) -> None:
    """Others were counted; nobody saw this one."""
    save(gateway, {HOUR: [row("a")]}, "another")
    found = await report(gateway)
    assert (found.as_of_ms, found.from_ms, found.to_ms, found.attribution_days, visitors(found)) == (START_MS, None, None, None, {})


async def test_an_unknown_campaign_is_not_found(gateway: MemoryGateway) -> None:
    """One of an earlier ruleset that has rows is known."""
    with pytest.raises(NotFound, match="unknown campaign gone"):
        await gateway.campaign_stats.report("gone", None, None)
    save(gateway, {HOUR: [row("")]}, "gone")
    found = await gateway.campaign_stats.report("gone", None, None)
    assert found is not None
    assert visitors(found) == {"": 10}


async def test_without_a_period_all_hours_are_counted(gateway: MemoryGateway) -> None:
    """To the end of the hour that has not ended; the variants in the order of the ruleset."""
    save(gateway, {HOUR - 2: [row("b"), row("a")], HOUR: [row("a")]})
    found = await report(gateway)
    assert (found.from_ms, found.to_ms, found.attribution_days) == ((HOUR - 2) * HOUR_MS, (HOUR + 1) * HOUR_MS, 7)
    assert list(visitors(found).items()) == [("a", 20), ("b", 10)]


@pytest.mark.parametrize(
    ("from_ms", "to_ms", "counted"),
    [
        ((HOUR - 1) * HOUR_MS, None, 2),
        ((HOUR - 1) * HOUR_MS - 1, None, 3),
        (None, (HOUR - 1) * HOUR_MS, 1),
        (None, (HOUR - 1) * HOUR_MS + 1, 2),
        ((HOUR - 1) * HOUR_MS, HOUR * HOUR_MS, 1),
        ((HOUR - 9) * HOUR_MS, (HOUR - 8) * HOUR_MS, 0),
        ((HOUR + 8) * HOUR_MS, None, 0),
    ],
)
async def test_a_period_counts_the_hours_that_it_touches(
    gateway: MemoryGateway, from_ms: int | None, to_ms: int | None, counted: int
) -> None:
    """Its end is not part of it."""
    save(gateway, {hour: [row("a", visitors=1)] for hour in (HOUR - 2, HOUR - 1, HOUR)})
    assert sum(visitors(await report(gateway, from_ms, to_ms)).values()) == counted


@pytest.mark.parametrize("to_ms", [START_MS, START_MS - 1])
async def test_an_empty_period_is_the_callers_mistake(gateway: MemoryGateway, to_ms: int) -> None:
    """Before anything is read."""
    gateway.lose_store()
    with pytest.raises(BadUserInput) as refusal:
        await report(gateway, START_MS, to_ms)
    assert refusal.value.field == "from"


async def test_an_event_dated_ahead_belongs_to_the_report(gateway: MemoryGateway) -> None:
    """The time of an event may be slightly later than its receipt, and so in the next hour."""
    save(gateway, {HOUR + 1: [row("a")]})
    found = await report(gateway)
    assert (found.to_ms, visitors(found)) == ((HOUR + 2) * HOUR_MS, {"a": 10})


async def test_visitors_are_compared_with_the_split_that_decided_for_them(gateway: MemoryGateway) -> None:
    """Each version of the ruleset has its own."""
    await gateway.publish(rules("3:1"))
    save(gateway, {HOUR: [row("a", 1, 50), row("b", 1, 50), row("a", 2, 75), row("b", 2, 25)]})
    ratio = (await report(gateway)).result.sample_ratio
    assert ratio.expected == pytest.approx({"a": 125, "b": 75})
    assert ratio.p_value == pytest.approx(1)
    assert not ratio.mismatch


async def test_a_mismatch_is_found(gateway: MemoryGateway) -> None:
    """Something loses visitors of `b`."""
    save(gateway, {HOUR: [row("a", 1, 500), row("b", 1, 300)]})
    assert (await report(gateway)).result.sample_ratio.mismatch


async def test_variants_are_compared_with_the_holdout_if_there_is_one(gateway: MemoryGateway) -> None:
    """Otherwise with the first variant."""
    save(gateway, {HOUR: [row("a"), row("b")]})
    assert (await report(gateway)).result.control == "a"
    await gateway.publish(rules("1:1", holdout="holdout: 0.5, "))
    save(gateway, {HOUR: [row("a", 2), row("b", 2), row("holdout", 2)]})
    assert (await report(gateway)).result.control == "holdout"


async def old_versions(gateway: MemoryGateway) -> None:
    """Publish so many versions that the first ones are no longer in memory."""
    for number in range(KEPT_VERSIONS + 2):
        await gateway.publish(rules(f"1:{number + 1}"))


async def test_a_version_that_cannot_be_read_is_left_out(gateway: MemoryGateway) -> None:
    """Statistics without it are better than none. It is asked for again the next time, and never again after that."""
    await old_versions(gateway)
    save(gateway, {HOUR: [row("a", 1), row("b", 2)]})
    gateway.versions.reading.stay_away(TopicUnavailable("away"))
    assert (await report(gateway)).left_out == [1, 2]
    gateway.versions.reading.recover()
    assert (await report(gateway)).left_out == []
    gateway.versions.reading.stay_away(TopicUnavailable("away"))
    assert (await report(gateway)).left_out == []


async def test_the_versions_with_the_most_visitors_are_looked_up(gateway: MemoryGateway) -> None:
    """At most twenty: each is a read."""
    await old_versions(gateway)
    rows = [row("a", version, visitors=100 - version) for version in range(1, MAX_VERSIONS + 3)]
    save(gateway, {HOUR: rows})
    assert (await report(gateway)).left_out == [MAX_VERSIONS + 1, MAX_VERSIONS + 2]


async def test_a_version_without_the_campaign_expects_nobody(gateway: MemoryGateway) -> None:
    """Its visitors have no share; the report names it as left out."""
    await gateway.publish("version: 1\nplacements: {hero: {}}\n")
    save(gateway, {HOUR: [row("a", 1), row("a", 2)]})
    assert (await report(gateway)).left_out == [2]


async def test_a_store_that_is_away_is_said_to_be_away(gateway: MemoryGateway) -> None:
    """Not that nothing was counted."""
    save(gateway, {HOUR: [row("a")]})
    gateway.lose_store()
    with pytest.raises(Unavailable):
        await report(gateway)
    gateway.return_store()
    assert visitors(await report(gateway)) == {"a": 10}
