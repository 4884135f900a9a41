"""The ruleset in force: published, kept as a copy, read from a topic that is away, loses answers, or is re-created."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from gateway.errors import Conflict, NotFound, Unavailable
from gateway.kafka.ruleset_topic import PUBLISH_SECONDS, TopicUnavailable
from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.rulesets.ruleset import Ruleset
from gateway.model.rulesets.versions import RulesetRecord
from gateway.services import rulesets as service
from gateway.services.rulesets import KEPT_LOADED, NEWER_SECONDS, POLL_SECONDS, RETRY_SECONDS
from gateway.store.connection import StoreUnavailable
from gateway.store.rulesets import RulesetCopy
from tests.support.memory.gateway import MemoryGateway
from tests.support.memory.ruleset_copies import MemoryRulesetCopies
from tests.support.memory.ruleset_versions import MemoryRulesetTopic
from tests.support.virtual_time import START_MS, now_ms

VERSIONS = 12
UNLOADABLE = 5
"""A version that another release published."""


def text(number: int) -> str:
    return f"version: {2 if number == UNLOADABLE else 1}\nplacements: {{hero: {{fallback: {{headline: 'Number {number}'}}}}}}\n"


def record(number: int, expected: int | None = None) -> RulesetRecord:
    """The record of a version, published a second after the one before."""
    return RulesetRecord(f"m{number}", expected, text(number), START_MS + number * 1000)


@pytest.fixture
def topic() -> MemoryRulesetTopic:
    """A topic that had a version every second."""
    topic = MemoryRulesetTopic()
    for number in range(1, VERSIONS + 1):
        topic.append(record(number, number - 1).encode())
    return topic


@pytest.fixture
async def gateway(topic: MemoryRulesetTopic) -> AsyncIterator[MemoryGateway]:
    """A process that followed that topic."""
    async with MemoryGateway(text(0), topic=topic) as gateway:
        yield gateway


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often each version was loaded."""
    counts: Counter[int] = Counter()

    def counting(yaml: str, version: int, text_format: int) -> Ruleset:
        counts[version] += 1
        return load_ruleset(yaml, version, text_format)

    monkeypatch.setattr(service, "load_ruleset", counting)
    return counts


def in_force(gateway: MemoryGateway) -> tuple[int, str]:
    return gateway.rulesets.current.version, gateway.rulesets.current.yaml


# The start


async def test_the_file_is_published_as_the_first_version_of_an_empty_topic() -> None:
    """Once, although several processes start at the same time."""
    topic = MemoryRulesetTopic()
    async with MemoryGateway(text(1), topic=topic) as first, MemoryGateway(text(2), topic=topic) as second:
        await asyncio.sleep(1)
        assert in_force(first) == in_force(second)
        assert first.versions.log.version == 1


async def test_a_lost_answer_publishes_the_file_once() -> None:
    """It is sent again under the same message id."""
    gateway = MemoryGateway(text(1))
    gateway.versions.writing.fail_afterwards(TopicUnavailable("no answer"))
    async with gateway:
        await asyncio.sleep(10 * RETRY_SECONDS)
        assert (gateway.versions.log.version, in_force(gateway)) == (1, (1, text(1)))


async def test_the_topic_comes_before_the_file(gateway: MemoryGateway) -> None:
    """Its latest version is in force, and the copy holds it."""
    await asyncio.sleep(1)
    assert in_force(gateway) == (VERSIONS, text(VERSIONS))
    assert gateway.copies.stored == RulesetCopy(1, VERSIONS, text(VERSIONS), START_MS + VERSIONS * 1000)
    assert gateway.metric("gateway_ruleset_version") == VERSIONS


async def test_only_the_latest_version_is_loaded_at_the_start(topic: MemoryRulesetTopic, loaded: Counter[int]) -> None:
    """Although the topic is read in several polls."""
    async with MemoryGateway(text(0), topic=topic):
        assert loaded == {VERSIONS: 1}


async def test_the_copy_is_in_force_while_the_log_is_away(topic: MemoryRulesetTopic) -> None:
    """A process that starts then decides by the latest version that any process saw; the file is older than every version."""
    copies = MemoryRulesetCopies()
    copies.stored = RulesetCopy(1, 7, text(7), START_MS)
    gateway = MemoryGateway(text(0), topic=topic, copies=copies)
    gateway.versions.reading.freeze()
    async with gateway:
        assert in_force(gateway) == (7, text(7))
        assert not await gateway.rulesets.wait_ready(5.0)
        assert now_ms() == START_MS + 6_000  # a second of the start, and five more
        with pytest.raises(Unavailable, match="nothing was published"):
            await gateway.rulesets.publish(text(99), None, dry_run=False)
        with pytest.raises(Unavailable):
            await gateway.rulesets.version(3)
        gateway.versions.reading.recover()
        assert await gateway.rulesets.wait_ready(5.0)
        assert in_force(gateway)[0] == VERSIONS


async def test_without_log_and_copy_the_file_is_in_force(topic: MemoryRulesetTopic) -> None:
    """Until one of them can be read."""
    gateway = MemoryGateway(text(0), topic=topic)
    gateway.versions.reading.freeze()
    gateway.lose_store()
    async with gateway:
        assert in_force(gateway) == (1, text(0))
        gateway.copies.stored = RulesetCopy(1, 3, text(3), START_MS)
        gateway.return_store()
        await asyncio.sleep(RETRY_SECONDS)
        assert in_force(gateway) == (3, text(3))


# Publishing


async def test_a_published_ruleset_is_in_force_when_publish_returns(gateway: MemoryGateway) -> None:
    """Those who registered are called once, and the copy is stored."""
    calls = list[int]()
    gateway.rulesets.on_change(lambda: calls.append(gateway.rulesets.current.version))
    outcome = await gateway.rulesets.publish(text(99), VERSIONS, dry_run=False)
    assert outcome.ruleset is not None
    assert (outcome.ruleset.ruleset.version, outcome.ruleset.published_at_ms) == (VERSIONS + 1, now_ms())
    assert (in_force(gateway), calls) == ((VERSIONS + 1, text(99)), [VERSIONS + 1])
    await asyncio.sleep(1)
    assert gateway.copies.stored is not None
    assert gateway.copies.stored.version == VERSIONS + 1


async def test_a_dry_run_writes_nothing(gateway: MemoryGateway) -> None:
    """It answers under which number the ruleset would be in force."""
    outcome = await gateway.rulesets.publish(text(99), VERSIONS, dry_run=True)
    assert outcome.ruleset is not None
    assert (outcome.ruleset.ruleset.version, outcome.ruleset.published_at_ms, in_force(gateway)[0]) == (VERSIONS + 1, None, VERSIONS)


async def test_mistakes_are_listed_and_nothing_is_written(gateway: MemoryGateway) -> None:
    """All of them, each with its line."""
    outcome = await gateway.rulesets.publish("version: 1\nplacement: {}\ncampaign: []\n", None, dry_run=False)
    assert outcome.ruleset is None
    assert {2, 3} <= {problem.line for problem in outcome.problems}
    assert gateway.versions.log.version == VERSIONS


async def test_another_version_than_the_expected_one_is_a_conflict(gateway: MemoryGateway) -> None:
    """Known before anything is written, even for a dry run."""
    for dry_run in (True, False):
        with pytest.raises(Conflict, match=f"version {VERSIONS} is current, not 3"):
            await gateway.rulesets.publish(text(99), 3, dry_run=dry_run)


async def test_of_two_publishers_at_once_one_gets_a_conflict(topic: MemoryRulesetTopic) -> None:
    """Both saw the same version; the one whose record comes second wrote a void record."""
    async with MemoryGateway(text(0), topic=topic) as one, MemoryGateway(text(0), topic=topic) as other:
        outcomes = await asyncio.gather(
            *(process.rulesets.publish(text(number), VERSIONS, dry_run=False) for number, process in ((98, one), (99, other))),
            return_exceptions=True,
        )
        assert [isinstance(outcome, Conflict) for outcome in outcomes].count(True) == 1
        await asyncio.sleep(1)
        assert in_force(one) == in_force(other)
        assert in_force(one)[0] == VERSIONS + 1


@pytest.mark.parametrize("is_written", [True, False])
async def test_a_publish_without_an_answer_says_to_read_first(gateway: MemoryGateway, is_written: bool) -> None:
    """It may or may not have been published. If it was, it comes into force nevertheless."""
    writing = gateway.versions.writing
    (writing.fail_afterwards if is_written else writing.fail)(TopicUnavailable("no answer"))
    with pytest.raises(Unavailable, match="read the ruleset before you try again"):
        await gateway.rulesets.publish(text(99), None, dry_run=False)
    await asyncio.sleep(1)
    assert in_force(gateway)[0] == VERSIONS + is_written


async def test_a_publish_into_a_frozen_log_ends_at_its_deadline(gateway: MemoryGateway) -> None:
    """The caller does not wait for longer."""
    gateway.versions.writing.freeze()
    with pytest.raises(Unavailable):
        await gateway.rulesets.publish(text(99), None, dry_run=False)
    assert now_ms() == START_MS + PUBLISH_SECONDS * 1000


async def test_what_was_checked_for_a_publish_is_not_loaded_again(gateway: MemoryGateway, loaded: Counter[int]) -> None:
    """It comes into force as it was checked, under the number that the topic gives it."""
    await gateway.rulesets.publish(text(99), VERSIONS, dry_run=False)
    assert (in_force(gateway), loaded) == ((VERSIONS + 1, text(99)), {VERSIONS + 1: 1})


# The copy, and a topic that was re-created


async def test_a_newer_copy_is_adopted_at_its_notice(gateway: MemoryGateway) -> None:
    """Another process read a version that this one cannot read: its log is frozen."""
    gateway.versions.reading.freeze()
    await gateway.copies.save(RulesetCopy(1, VERSIONS + 1, text(99), START_MS))
    await asyncio.sleep(0.001)
    assert in_force(gateway) == (VERSIONS + 1, text(99))
    assert (await gateway.rulesets.version(None)).published_at_ms == START_MS


async def test_a_newer_copy_whose_notice_was_lost_is_adopted_by_the_poll(gateway: MemoryGateway) -> None:
    """And an older one never."""
    gateway.versions.reading.freeze()
    gateway.copies.stored = RulesetCopy(1, VERSIONS + 1, text(99), START_MS)
    await asyncio.sleep(POLL_SECONDS)
    assert in_force(gateway) == (VERSIONS + 1, text(99))
    gateway.copies.stored = RulesetCopy(1, 3, text(3), START_MS)
    await asyncio.sleep(POLL_SECONDS)
    assert in_force(gateway) == (VERSIONS + 1, text(99))
    assert gateway.copies.stored.version == VERSIONS + 1


async def test_a_copy_that_cannot_be_loaded_leaves_the_ruleset_as_it_is(gateway: MemoryGateway) -> None:
    """Another release published it."""
    await gateway.copies.save(RulesetCopy(1, VERSIONS + 1, text(UNLOADABLE), START_MS))
    await asyncio.sleep(1)
    assert in_force(gateway)[0] == VERSIONS


async def test_the_copy_is_stored_as_soon_as_the_store_is_back(gateway: MemoryGateway) -> None:
    """Also if the answer to the write gets lost."""
    gateway.lose_store()
    await gateway.publish(text(99))
    await asyncio.sleep(10)
    gateway.return_store()
    gateway.copies.writing.fail_afterwards(StoreUnavailable("the answer got lost"))
    await asyncio.sleep(2 * RETRY_SECONDS)
    assert gateway.copies.stored is not None
    assert gateway.copies.stored.version == VERSIONS + 1


async def test_a_topic_that_was_recreated_does_not_take_the_ruleset_away(gateway: MemoryGateway, caplog: pytest.LogCaptureFixture) -> None:
    """A process that starts publishes its file as the first version. The one in force stays everywhere, and the log says what to do."""
    await asyncio.sleep(1)
    gateway.topic.recreate()
    with caplog.at_level(logging.ERROR):
        async with MemoryGateway(text(20), topic=gateway.topic, copies=gateway.copies) as restarted:
            await asyncio.sleep(5)
            assert in_force(restarted) == (VERSIONS, text(VERSIONS))
    assert (gateway.versions.log.version, in_force(gateway)) == (1, (VERSIONS, text(VERSIONS)))
    assert "raise GATEWAY_LOG_EPOCH" in caplog.text


async def test_a_later_epoch_begins_again_with_its_first_version(gateway: MemoryGateway) -> None:
    """After a restart with the epoch raised: the copy of the epoch before is older than every version of the new topic."""
    await asyncio.sleep(1)
    gateway.topic.recreate()
    async with MemoryGateway(text(20), topic=gateway.topic, copies=gateway.copies, log_epoch=2) as restarted:
        await asyncio.sleep(1)
        assert in_force(restarted)[0] == 1
        assert gateway.copies.stored is not None
        assert (gateway.copies.stored.log_epoch, gateway.copies.stored.version) == (2, 1)


# Old versions


@pytest.mark.parametrize(
    ("at_ms", "version"),
    [
        (START_MS + 100_000, VERSIONS),
        (START_MS + VERSIONS * 1000, VERSIONS),
        (START_MS + VERSIONS * 1000 - 1, VERSIONS - 1),
        (START_MS + 2500, 2),
        (START_MS + 5500, 4),
        (START_MS + 1000, 1),
        (START_MS, 1),
        (0, 1),
    ],
)
async def test_the_version_of_a_moment_is_the_latest_published_by_then(gateway: MemoryGateway, at_ms: int, version: int) -> None:
    """One that cannot be loaded was never in force. Before the first there is only the first, which says when it came."""
    loaded = await gateway.rulesets.at(at_ms)
    assert (loaded.ruleset.version, loaded.published_at_ms) == (version, START_MS + version * 1000)


async def test_old_versions_are_not_guessed_while_the_topic_is_away(gateway: MemoryGateway) -> None:
    """The one in force is known without it."""
    gateway.versions.caught_up.clear()
    assert (await gateway.rulesets.at(START_MS + 100_000)).ruleset.version == VERSIONS
    with pytest.raises(Unavailable):
        await gateway.rulesets.at(START_MS + 2500)


async def test_a_version_is_loaded_once(gateway: MemoryGateway, loaded: Counter[int]) -> None:
    """As long as it is kept; one that cannot be loaded is not found."""
    asked = [*range(VERSIONS - KEPT_LOADED + 2, VERSIONS), 1]
    for _ in range(3):
        for version in asked:
            assert (await gateway.rulesets.version(version)).ruleset.version == version
    assert loaded == dict.fromkeys(asked, 1)
    with pytest.raises(NotFound, match=f"this gateway cannot load version {UNLOADABLE}"):
        await gateway.rulesets.version(UNLOADABLE)


@pytest.mark.parametrize("version", [0, -1, VERSIONS + 1])
async def test_a_version_that_does_not_exist_is_not_found(gateway: MemoryGateway, version: int) -> None:
    """A newer one is waited for a moment: another process may have published it."""
    with pytest.raises(NotFound) as refusal:
        await gateway.rulesets.version(version)
    assert refusal.value.field == "version"
    assert now_ms() - START_MS == (NEWER_SECONDS * 1000 if version > VERSIONS else 0)


async def test_a_version_that_another_process_just_published_is_waited_for(gateway: MemoryGateway) -> None:
    """It is read from the topic meanwhile."""
    asking = asyncio.create_task(gateway.rulesets.version(VERSIONS + 1))
    await asyncio.sleep(0.2)
    gateway.topic.append(record(99).encode())
    assert (await asking).ruleset.yaml == text(99)
    assert now_ms() == START_MS + 200


async def test_an_old_version_comes_from_the_topic(topic: MemoryRulesetTopic) -> None:
    """The latest twenty are kept in memory; a read that fails is no answer."""
    for number in range(VERSIONS + 1, 31):
        topic.append(record(number, number - 1).encode())
    async with MemoryGateway(text(0), topic=topic) as gateway:
        reads = gateway.versions.reading.calls
        assert (await gateway.rulesets.version(25)).ruleset.yaml == text(25)
        assert gateway.versions.reading.calls == reads
        gateway.versions.reading.fail(TopicUnavailable("away"))
        with pytest.raises(Unavailable):
            await gateway.rulesets.version(2)
        assert (await gateway.rulesets.version(2)).ruleset.yaml == text(2)
