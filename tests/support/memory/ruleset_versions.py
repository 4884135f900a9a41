"""The topic of ruleset versions in memory, and its followers: away, frozen, re-created, with answers that get lost."""

from __future__ import annotations

import asyncio

from gateway.kafka.ruleset_topic import PUBLISH_SECONDS, RETRY_SECONDS, OnVersions, TopicUnavailable
from gateway.model.rulesets.versions import InvalidRecord, PublishedVersion, RulesetLog, RulesetRecord, decode_record
from tests.support.memory.faults import Faults

POLL_RECORDS = 3
"""A follower gets at most this many records at once, so that it does not reach the end by its first poll."""


class MemoryRulesetTopic:
    """The topic that all followers read."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.generation = 0
        self._changed = asyncio.Event()

    def append(self, value: bytes) -> None:
        """Append a record."""
        self.values.append(value)
        self._has_changed()

    def recreate(self) -> None:
        """Delete the topic with everything in it, and create it again."""
        self.values, self.generation = [], self.generation + 1
        self._has_changed()

    async def wait_for_change(self) -> None:
        """Wait until something is appended, or the topic is re-created."""
        await self._changed.wait()

    def _has_changed(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class MemoryRulesetVersions:
    """A `RulesetVersions`: one follower of the topic, and a writer to it.

    `reading` is what its next polls and reads of single versions meet, `writing` what its next publications do.
    """

    def __init__(self, topic: MemoryRulesetTopic, publish_seconds: float = PUBLISH_SECONDS) -> None:
        self.log = RulesetLog()
        self.caught_up = asyncio.Event()
        self.reading = Faults()
        self.writing = Faults()
        self._topic = topic
        self._publish_seconds = publish_seconds
        self._next_offset = 0
        self._generation = topic.generation
        self._records_seen = asyncio.Condition()

    async def follow(self, on_versions: OnVersions) -> None:
        """As `RulesetVersions.follow`."""
        while True:
            try:
                await self.reading.enter()
            except TopicUnavailable:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if self._generation != self._topic.generation and self._topic.values:
                # By its first record, as the real follower: an empty topic looks like one without news.
                self.log, self._next_offset, self._generation = RulesetLog(), 0, self._topic.generation
                self.caught_up.clear()
            values = self._news()[:POLL_RECORDS]
            versions = [version for value in values if (version := self._absorb(value)) is not None]
            at_end = not self._news()
            if values:
                async with self._records_seen:
                    self._records_seen.notify_all()
            if versions or (at_end and not self.caught_up.is_set()):
                await on_versions(versions, at_end)
            if at_end:
                self.caught_up.set()
            if not self._news():
                await self._topic.wait_for_change()

    async def publish(self, record: RulesetRecord) -> int | None:
        """As `RulesetVersions.publish`."""
        try:
            async with asyncio.timeout(self._publish_seconds):
                await self.writing.enter()
                self._topic.append(record.encode())
                self.writing.leave()
                async with self._records_seen:
                    await self._records_seen.wait_for(lambda: self._knows(record.message_id))
        except (TimeoutError, TopicUnavailable) as error:
            raise TopicUnavailable("the event log did not confirm the ruleset; it may or may not have been published") from error
        return self.log.version_of(record.message_id)

    async def read(self, version: int) -> PublishedVersion | None:
        """As `RulesetVersions.read`."""
        offset = self.log.offset_of(version)
        if offset is None:
            return None
        await self.reading.enter()
        if offset >= len(self._topic.values):
            raise TopicUnavailable(f"version {version} cannot be read from the event log")
        record = decode_record(self._topic.values[offset])
        self.reading.leave()
        return PublishedVersion(version, record.yaml, record.published_at_ms, offset, record.text_format)

    def _news(self) -> list[bytes]:
        """What was not read yet. Of a topic that was re-created, everything."""
        return self._topic.values[self._next_offset if self._generation == self._topic.generation else 0 :]

    def _absorb(self, value: bytes) -> PublishedVersion | None:
        offset, self._next_offset = self._next_offset, self._next_offset + 1
        try:
            return self.log.absorb(offset, value)
        except InvalidRecord:
            return None

    def _knows(self, message_id: str) -> bool:
        try:
            self.log.version_of(message_id)
        except KeyError:
            return False
        return True
