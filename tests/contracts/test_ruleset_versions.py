"""The versions of the ruleset in the event log: numbered in order, the same for every process, whatever happens to the topic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from gateway.background import BackgroundTasks
from gateway.kafka.ruleset_topic import RulesetTopic, TopicUnavailable
from gateway.model.events.topics import Topic
from gateway.model.rulesets.versions import PublishedVersion, RulesetRecord
from gateway.services.ports import RulesetVersions
from tests.contracts.sides import BOTH_SIDES, DEADLINE_S, NOWHERE, new_id, stack_of, until
from tests.support.memory.ruleset_versions import MemoryRulesetTopic, MemoryRulesetVersions


class Follower:
    """A process that follows the topic, and what it was told."""

    def __init__(self, versions: RulesetVersions, tasks: BackgroundTasks) -> None:
        self.versions = versions
        self.calls: list[tuple[list[PublishedVersion], bool]] = []
        tasks.start(versions.follow(self._learn))

    @property
    def learned(self) -> list[PublishedVersion]:
        return [version for versions, _ in self.calls for version in versions]

    async def _learn(self, versions: list[PublishedVersion], at_end: bool) -> None:
        self.calls.append((versions, at_end))


@dataclass(frozen=True)
class Side:
    """`new_follower` starts another process; `recreate` deletes the topic and creates it again."""

    new_follower: Callable[[], Awaitable[Follower]]
    recreate: Callable[[], Awaitable[None]]


@pytest.fixture(params=BOTH_SIDES)
async def side(request: pytest.FixtureRequest) -> AsyncIterator[Side]:
    tasks = BackgroundTasks()
    topic = MemoryRulesetTopic()
    bootstrap = "" if request.param == "memory" else stack_of(request).wiring.bootstrap

    async def new_follower() -> Follower:
        versions = MemoryRulesetVersions(topic) if request.param == "memory" else RulesetTopic(bootstrap)
        follower = Follower(versions, tasks)
        async with asyncio.timeout(DEADLINE_S):
            await versions.caught_up.wait()
        return follower

    async def recreate() -> None:
        if request.param == "memory":
            topic.recreate()
        else:
            await _recreate(bootstrap)

    yield Side(new_follower, recreate)
    await tasks.stop()


async def _recreate(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([Topic.RULESETS.value])
        async with asyncio.timeout(DEADLINE_S):
            while (await admin.create_topics([NewTopic(Topic.RULESETS.value, 1, 1)])).topic_errors[0][1]:  # noqa: ASYNC110  # Kafka has none
                await asyncio.sleep(0.05)
    finally:
        await admin.close()


@pytest.fixture(params=BOTH_SIDES)
async def away(request: pytest.FixtureRequest) -> AsyncIterator[RulesetVersions]:
    """A log that is away."""
    if request.param == "real":
        yield RulesetTopic(NOWHERE)
        return
    memory = MemoryRulesetVersions(MemoryRulesetTopic())
    for faults in (memory.reading, memory.writing):
        faults.stay_away(TopicUnavailable("away"))
    yield memory


def record(expected: int | None = None, yaml: str = "version: 1\n", published_at_ms: int = 7) -> RulesetRecord:
    return RulesetRecord(new_id("message"), expected, yaml, published_at_ms)


async def test_versions_are_numbered_one_after_the_other(side: Side) -> None:
    """Each has its text and its time; the follower that published knows them, and is told of each once."""
    follower = await side.new_follower()
    before, told = follower.versions.log.version, len(follower.learned)
    numbers = [await follower.versions.publish(record(before + index, f"text {index}", index)) for index in range(4)]
    assert numbers == [before + 1, before + 2, before + 3, before + 4]
    await until(lambda: len(follower.learned) == told + 4)
    assert [(one.version, one.yaml, one.published_at_ms) for one in follower.learned[told:]] == [
        (before + 1 + index, f"text {index}", index) for index in range(4)
    ]
    assert follower.versions.log.version == before + 4


async def test_a_follower_reads_from_the_start(side: Side) -> None:
    """Whenever it begins: it numbers the versions as all others do, and says when it reached the end."""
    first = await side.new_follower()
    for index in range(5):
        await first.versions.publish(record(yaml=f"text {index}"))
    later = await side.new_follower()
    assert later.versions.log.version == first.versions.log.version
    await until(lambda: len(later.learned) == later.versions.log.version)
    assert [one.version for one in later.learned] == list(range(1, later.versions.log.version + 1))
    assert later.learned[-1].yaml == "text 4"
    assert later.calls[-1][1]


async def test_a_follower_hears_of_versions_that_another_publishes(side: Side) -> None:
    """Within a moment."""
    one, other = await side.new_follower(), await side.new_follower()
    version = await one.versions.publish(record(yaml="of one"))
    await until(lambda: other.versions.log.version == version)
    await until(lambda: bool(other.learned) and other.learned[-1].yaml == "of one")


async def test_a_record_that_expects_another_version_is_void(side: Side) -> None:
    """It takes no number. Nobody is told of it, and the next one follows the version before it."""
    follower = await side.new_follower()
    version = await follower.versions.publish(record())
    assert version is not None
    told = len(follower.learned)
    for expected in (version - 1, version + 1):
        assert await follower.versions.publish(record(expected)) is None
    assert await follower.versions.publish(record(version)) == version + 1
    await until(lambda: len(follower.learned) == told + 1)


async def test_of_two_records_that_expect_the_same_version_one_is_void(side: Side) -> None:
    """Every process agrees on which."""
    one, other = await side.new_follower(), await side.new_follower()
    version = one.versions.log.version
    await until(lambda: other.versions.log.version == version)
    numbers = await asyncio.gather(*(follower.versions.publish(record(version)) for follower in (one, other)))
    assert sorted(numbers, key=str) == [version + 1, None]
    await until(lambda: one.versions.log.version == other.versions.log.version == version + 1)


async def test_a_message_that_is_sent_again_becomes_no_second_version(side: Side) -> None:
    """Its publisher gets the number of the first copy."""
    follower = await side.new_follower()
    sent = record()
    version = await follower.versions.publish(sent)
    assert await follower.versions.publish(sent) == version
    assert follower.versions.log.version == version


async def test_every_version_can_be_read(side: Side) -> None:
    """By its number, whoever published it; an unknown number has no place."""
    follower = await side.new_follower()
    version = await follower.versions.publish(record(yaml="to be read", published_at_ms=99))
    assert version is not None
    for reader in (follower, await side.new_follower()):
        published = await reader.versions.read(version)
        assert published is not None
        assert (published.version, published.yaml, published.published_at_ms) == (version, "to be read", 99)
    assert [await follower.versions.read(number) for number in (0, version + 1)] == [None, None]


async def test_a_topic_that_was_recreated_is_read_from_its_start(side: Side) -> None:
    """Its first record is version 1 again, for a follower that knew more as well as for a new one."""
    follower = await side.new_follower()
    for _ in range(3):
        await follower.versions.publish(record())
    await side.recreate()
    fresh = await side.new_follower()
    assert fresh.versions.log.version == 0
    assert await fresh.versions.publish(record(0, "first again")) == 1
    await until(lambda: follower.versions.log.version == 1)
    await until(lambda: follower.learned[-1].yaml == "first again")
    await until(follower.versions.caught_up.is_set)
    assert follower.versions.log.version == 1


async def test_a_log_that_is_away_confirms_nothing(away: RulesetVersions) -> None:
    """Its follower never reaches the end, and knows no version."""
    following = asyncio.create_task(away.follow(_never))
    with pytest.raises(TopicUnavailable):
        await away.publish(record())
    assert not away.caught_up.is_set()
    assert await away.read(1) is None
    following.cancel()
    await asyncio.wait([following])


async def _never(versions: list[PublishedVersion], at_end: bool) -> None:
    raise AssertionError("there is nothing to be told")
