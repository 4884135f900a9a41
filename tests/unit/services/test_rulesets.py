"""The versions of the ruleset that a process knows: which one was in force when, and each loaded once. Kafka is not needed here."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.errors import NotFound, Unavailable
from gateway.kafka.ruleset_topic import RulesetTopic
from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.rulesets.ruleset import Ruleset
from gateway.model.rulesets.versions import RulesetRecord
from gateway.services import rulesets as service
from gateway.services.rulesets import KEPT_LOADED, RulesetService
from gateway.settings import Settings
from gateway.store.connection import connect
from gateway.store.notices import NoticeBus
from gateway.store.rulesets import RulesetStore
from gateway.telemetry import Metrics

NOWHERE = "127.0.0.1:1"
START_MS = 1_790_000_000_000
VERSIONS = 12


def text(number: int) -> str:
    return f"version: 1\nplacements: {{hero: {{fallback: {{headline: 'Number {number}'}}}}}}\n" if number != 5 else "version: 2\n"


@pytest.fixture
async def rulesets() -> RulesetService:
    """A process that followed the topic: a version every second, of which the fifth is none that it can load."""
    settings = Settings.model_validate({"token_secret": "0123456789abcdef" * 2, "kafka_bootstrap": NOWHERE})
    redis, metrics = connect(f"redis://{NOWHERE}", 1000), Metrics()
    topic, store, bus = RulesetTopic(NOWHERE), RulesetStore(redis), NoticeBus(redis, metrics)
    found = RulesetService(settings, load_ruleset(text(0), 1), topic, store, bus, metrics, lambda: START_MS)
    log = topic.log
    records = [RulesetRecord(f"m{number}", number - 1, text(number), START_MS + number * 1000) for number in range(1, VERSIONS + 1)]
    versions = [log.absorb(offset, record.encode()) for offset, record in enumerate(records)]
    await found._learn([version for version in versions if version is not None], True)
    topic.caught_up.set()
    return found


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
async def test_the_version_of_a_moment_is_the_latest_published_by_then(rulesets: RulesetService, at_ms: int, version: int) -> None:
    """One that cannot be loaded was never in force; before the first there is only the first, which says when it came."""
    found = await rulesets.at(at_ms)
    assert (found.ruleset.version, found.published_at_ms) == (version, START_MS + version * 1000)


async def test_old_versions_are_not_guessed_while_the_topic_is_away(rulesets: RulesetService) -> None:
    """The one in force is known without it."""
    rulesets._topic.caught_up.clear()
    assert (await rulesets.at(START_MS + 100_000)).ruleset.version == VERSIONS
    with pytest.raises(Unavailable):
        await rulesets.at(START_MS + 2500)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often each version was loaded."""
    found: Counter[int] = Counter()

    def counting(yaml: str, version: int) -> Ruleset:
        found[version] += 1
        return load_ruleset(yaml, version)

    monkeypatch.setattr(service, "load_ruleset", counting)
    return found


async def test_what_was_checked_for_a_publish_is_not_loaded_again(
    rulesets: RulesetService, loaded: Counter[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes into force as it was checked, under the number that the topic gives it."""

    async def written(value: bytes) -> None:
        versions = [rulesets._topic.log.absorb(VERSIONS, value)]
        await rulesets._learn([version for version in versions if version is not None], True)

    monkeypatch.setattr(rulesets._topic, "_write", written)
    found = await rulesets.publish(text(99), VERSIONS, dry_run=False)
    assert found.ruleset is not None
    assert (found.ruleset.ruleset.version, rulesets.current.version, rulesets.current.yaml) == (VERSIONS + 1, VERSIONS + 1, text(99))
    assert loaded == {VERSIONS + 1: 1}


async def test_a_version_is_loaded_once(rulesets: RulesetService, loaded: Counter[int]) -> None:
    """As long as it is kept; one that cannot be loaded is not found."""
    asked = [*range(VERSIONS - KEPT_LOADED + 2, VERSIONS), 1]
    for _ in range(3):
        for version in asked:
            assert (await rulesets.version(version)).ruleset.version == version
    assert loaded == dict.fromkeys(asked, 1)
    with pytest.raises(NotFound, match="this gateway cannot load version 5"):
        await rulesets.version(5)
