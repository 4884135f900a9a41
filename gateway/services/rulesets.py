"""The ruleset in force in this process.

    Kafka, topic `rulesets`   the source of truth: the highest version whose YAML this process can load
    Redis, a copy             used while Kafka is unreachable; written by every process that reads a version from Kafka
    the file of the settings  the seed: in force as version 1 if neither has a version, and published once to an empty topic

A version comes into force by one assignment, and an older one never replaces it. A ruleset that cannot be loaded here never
comes into force; the previous one stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from gateway.background import BackgroundTasks
from gateway.clock import NowMs
from gateway.errors import BackendUnavailable, Conflict, NotFound
from gateway.kafka.ruleset_topic import TopicUnavailable
from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.rulesets.ruleset import InvalidRuleset, Ruleset, RulesetProblem
from gateway.model.rulesets.versions import CURRENT_FORMAT, PublishedVersion, RulesetRecord
from gateway.services.ports import Notices, RulesetCopies, RulesetVersions
from gateway.settings import Settings
from gateway.store.connection import StoreUnavailable
from gateway.store.keys import RULESET_CHANNEL
from gateway.store.rulesets import RulesetCopy
from gateway.telemetry import Metrics

KEPT_VERSIONS: Final = 20
KEPT_LOADED: Final = 8
KEPT_CHECKED: Final = 2
"""Rulesets that were checked in order to publish them, and are not in force yet."""
IN_FORCE_SECONDS: Final = 2.0
"""How long `publish` waits until its version is in force in this process."""
NEWER_SECONDS: Final = 0.5
"""How long a caller waits for a version that is newer than the one in force."""
POLL_SECONDS: Final = 20.0
RETRY_SECONDS: Final = 1.0
SEED_EPOCH: Final = -1
"""The seed is older than every published version."""

log = logging.getLogger(__name__)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class LoadedRuleset:
    """A loaded ruleset, and when it was published (None: not published)."""

    ruleset: Ruleset
    published_at_ms: int | None


@dataclass(frozen=True, slots=True)
class PublishOutcome:
    """The result of publishing: the ruleset, or the mistakes because of which it was rejected."""

    ruleset: LoadedRuleset | None
    problems: Sequence[RulesetProblem]


class RulesetService:
    """Holds the ruleset in force and publishes new ones. One instance per process."""

    def __init__(
        self,
        settings: Settings,
        seed: Ruleset,
        topic: RulesetVersions,
        store: RulesetCopies,
        bus: Notices,
        metrics: Metrics,
        now_ms: NowMs,
    ) -> None:
        self._epoch = settings.log_epoch
        self._seed = seed
        self._store = store
        self._watch = bus.watch()
        self._metrics = metrics
        self._now_ms = now_ms
        self._topic = topic
        self._in_force = LoadedRuleset(seed, None)
        self._key = (SEED_EPOCH, seed.version)
        self._recent: dict[int, PublishedVersion] = {}
        self._loaded: dict[int, LoadedRuleset] = {}
        self._checked: list[Ruleset] = []
        self._callbacks: list[Callable[[], None]] = []
        self._changed = asyncio.Condition()
        self._tasks = BackgroundTasks()
        metrics.ruleset_version.set(seed.version)

    @property
    def current(self) -> Ruleset:
        """The ruleset in force."""
        return self._in_force.ruleset

    def on_change(self, callback: Callable[[], None]) -> None:
        """Register a callback that runs in the event loop after each change of the ruleset in force."""
        self._callbacks.append(callback)

    async def start(self) -> None:
        """Start with the copy in Redis, then follow Kafka in the background."""
        with contextlib.suppress(StoreUnavailable):
            await self._adopt_copy()
        self._watch.listen([RULESET_CHANNEL])
        self._tasks.start(self._topic.follow(self._learn))
        self._tasks.start(self._keep_copy())

    async def wait_ready(self, timeout_seconds: float) -> bool:
        """Wait until the topic was read to its end. False if that takes longer than `timeout_seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._topic.caught_up.wait()
        if not self._topic.caught_up.is_set():
            source = "the copy in Redis" if self._key[0] != SEED_EPOCH else "the file"
            log.warning("rulesets cannot be read from Kafka yet; version %d from %s is in force", self.current.version, source)
        return self._topic.caught_up.is_set()

    async def stop(self) -> None:
        """Stop the background tasks."""
        await self._tasks.stop()
        self._watch.close()

    async def at_least(self, version: int, wait_seconds: float) -> bool:
        """Wait until this version, or a later one, is in force. False if that takes longer than `wait_seconds`."""
        if self.current.version >= version:
            return True
        self._watch.mark()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_seconds), self._changed:
                await self._changed.wait_for(lambda: self.current.version >= version)
        return self.current.version >= version

    async def version(self, version: int | None) -> LoadedRuleset:
        """A version; None: the one in force. Raises `NotFound` or `Unavailable`."""
        in_force = self._in_force
        if version is None or version == in_force.ruleset.version:
            return in_force
        if version > in_force.ruleset.version:
            await self.at_least(version, NEWER_SECONDS)
        loaded = self._loaded.get(version)
        if loaded is None:
            published = self._recent.get(version) or await self._read(version)
            try:
                loaded = LoadedRuleset(await self._load(published.yaml, version, published.text_format), published.published_at_ms)
            except InvalidRuleset as problem:
                raise NotFound(f"this gateway cannot load version {version}: another release published it") from problem
            _keep_latest(self._loaded, version, loaded, KEPT_LOADED)
        return loaded

    async def at(self, at_ms: int) -> LoadedRuleset:
        """The version in force at a time, or the first version if none was yet. Raises `NotFound` or `Unavailable`."""
        in_force = self._in_force
        if in_force.published_at_ms is None or in_force.published_at_ms <= at_ms:
            return in_force
        if not self._topic.caught_up.is_set():
            raise BackendUnavailable("old versions cannot be read while the event log is unreachable")
        older = range(1, in_force.ruleset.version)
        for version in (*(version for version in self._topic.log.published_by(at_ms) if version in older), *older):
            # A version that cannot be loaded was never in force here.
            with contextlib.suppress(NotFound):
                return await self.version(version)
        return in_force

    async def publish(self, text: str, expected_version: int | None, *, dry_run: bool) -> PublishOutcome:
        """Publish a ruleset, or only check it. Raises `Conflict` if another version than the expected one is current, `Unavailable`."""
        current = self._topic.log.version if self._topic.caught_up.is_set() else self.current.version
        try:
            ruleset = await self._load(text, current + 1)
        except InvalidRuleset as problem:
            return PublishOutcome(None, problem.problems)
        if expected_version not in (None, current):
            raise Conflict(f"version {current} is current, not {expected_version}; check what changed, then publish again")
        if dry_run:
            return PublishOutcome(LoadedRuleset(ruleset, None), ())
        if not self._topic.caught_up.is_set():
            raise BackendUnavailable("the event log is unreachable; nothing was published")
        self._checked = [*self._checked, ruleset][-KEPT_CHECKED:]
        published_at_ms = self._now_ms()
        try:
            version = await self._topic.publish(RulesetRecord(str(uuid.uuid4()), expected_version, text, published_at_ms))
        except TopicUnavailable as problem:
            raise BackendUnavailable(f"{problem}; read the ruleset before you try again") from problem
        if version is None:
            raise Conflict("another ruleset was published in the meantime; check what changed, then publish again")
        await self.at_least(version, IN_FORCE_SECONDS)
        return PublishOutcome(await self.version(version), ())

    async def _load(self, text: str, version: int, text_format: int = CURRENT_FORMAT) -> Ruleset:
        """Load a ruleset, unless it is in force or was just checked. Raises `InvalidRuleset`."""
        known = (*self._checked, self._in_force.ruleset)
        checked = next((ruleset for ruleset in known if (ruleset.yaml, ruleset.text_format) == (text, text_format)), None)
        return await asyncio.to_thread(load_ruleset, text, version, text_format) if checked is None else replace(checked, version=version)

    async def _read(self, version: int) -> PublishedVersion:
        if version < 1 or (self._topic.caught_up.is_set() and version > self._topic.log.version):
            raise NotFound(f"the ruleset has no version {version}", field="version")
        published = await self._topic.read(version)
        if published is None:
            raise BackendUnavailable("old versions cannot be read while the event log is unreachable")
        return published

    async def _learn(self, versions: list[PublishedVersion], at_end: bool) -> None:
        """Handle versions read from Kafka: the newest that can be loaded comes into force."""
        for published in versions:
            _keep_latest(self._recent, published.version, published, KEPT_VERSIONS)
            # The topic may have been re-created.
            self._loaded.pop(published.version, None)
        if not at_end and not self._topic.caught_up.is_set():
            return
        for published in sorted(self._recent.values(), key=lambda published: -published.version):
            if (self._epoch, published.version) <= self._key:
                break
            if await self._adopt(self._epoch, published):
                break
        self._watch.mark()
        if self._topic.log.version == 0:
            self._tasks.start(self._publish_seed())
        elif self._epoch == self._key[0] and self._topic.log.version < self._key[1]:
            remedy = "if the topic was re-created, raise GATEWAY_LOG_EPOCH"
            log.error("Redis has version %d of the ruleset, the topic only %d: %s", self._key[1], self._topic.log.version, remedy)
        elif not self._topic.caught_up.is_set() and self.current.yaml != self._seed.yaml:
            log.info("the published version %d is in force, not the ruleset file", self.current.version)

    async def _publish_seed(self) -> None:
        """Publish the file as the first version. If several processes do, one succeeds: the record expects an empty topic."""
        record = RulesetRecord(str(uuid.uuid4()), 0, self._seed.yaml, self._now_ms())
        while self._topic.log.version == 0:
            with contextlib.suppress(TopicUnavailable):
                await self._topic.publish(record)
                return
            await asyncio.sleep(RETRY_SECONDS)

    async def _keep_copy(self) -> None:
        """Keep this process and the copy in Redis at the same version, the newer of the two."""
        while True:
            self._watch.clear()
            wait_seconds = POLL_SECONDS
            try:
                await self._adopt_copy()
                await self._save_copy()
            except StoreUnavailable:
                wait_seconds = RETRY_SECONDS
            await self._watch.wait(wait_seconds)

    async def _adopt_copy(self) -> None:
        copy = await self._store.load()
        if copy is not None and (copy.log_epoch, copy.version) > self._key:
            published = PublishedVersion(copy.version, copy.yaml, copy.published_at_ms, -1, copy.text_format)
            if copy.log_epoch == self._epoch:
                # A version of another epoch would be taken for one of this topic, and come into force instead of its first ones.
                _keep_latest(self._recent, copy.version, published, KEPT_VERSIONS)
            await self._adopt(copy.log_epoch, published)

    async def _save_copy(self) -> None:
        in_force, (epoch, version) = self._in_force, self._key
        if in_force.published_at_ms is not None and epoch != SEED_EPOCH:
            ruleset = in_force.ruleset
            await self._store.save(RulesetCopy(epoch, version, ruleset.yaml, in_force.published_at_ms, ruleset.text_format))

    async def _adopt(self, epoch: int, published: PublishedVersion) -> bool:
        """Bring a version into force, unless a newer one is by now. False if it cannot be loaded."""
        version = published.version
        try:
            ruleset = await self._load(published.yaml, version, published.text_format)
        except InvalidRuleset as problem:
            first = problem.problems[0].text("ruleset")
            log.error("version %d of the ruleset cannot be loaded, %d mistakes; the first: %s", version, len(problem.problems), first)
            return False
        if (epoch, version) > self._key:
            self._key, self._in_force = (epoch, version), LoadedRuleset(ruleset, published.published_at_ms)
            self._metrics.ruleset_version.set(version)
            log.info("version %d of the ruleset is in force", version)
            for callback in self._callbacks:
                callback()
            async with self._changed:
                self._changed.notify_all()
        return True


def _keep_latest(values: dict[int, Value], version: int, value: Value, limit: int) -> None:
    """Add a value, and drop the ones added first while there are more than `limit`."""
    values.pop(version, None)
    values[version] = value
    while len(values) > limit:
        del values[next(iter(values))]
