"""What the services need from the store, the event log and the change notices. `gateway.store` and `gateway.kafka` implement it.

While the store does not answer, every method of a store raises `StoreUnavailable`; it is safe to call it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from gateway.kafka.publisher import DeliveryOutcome, OutgoingRecord
from gateway.kafka.ruleset_topic import OnVersions
from gateway.model.rulesets.versions import PublishedVersion, RulesetLog, RulesetRecord
from gateway.model.trends.snapshot import Trends
from gateway.model.visitors.state import State, Update
from gateway.store.reader import ContextReading
from gateway.store.rulesets import RulesetCopy
from gateway.store.states import StoredStates
from gateway.store.stats import StoredStats
from gateway.store.writer import WriteOutcome


class NoticeWatch(Protocol):
    """Reports when something may have changed. Wait until it is dirty, clear it, then read."""

    def follow(self, visitor_ids: Iterable[str]) -> bool:
        """Listen for these visitors as well. True if one of them is new: then an earlier read may have missed a change."""

    def listen(self, channels: Iterable[str]) -> bool:
        """The same as `follow`, for named channels."""

    def clear(self) -> None:
        """Mark it clean, before a read that includes everything noticed so far."""

    def mark(self) -> None:
        """Mark it dirty: something may have changed."""

    async def wait(self, timeout_seconds: float) -> None:
        """Wait until it is dirty, at most `timeout_seconds`."""

    def close(self) -> None:
        """Stop listening. Safe to call twice."""


class Notices(Protocol):
    """Change notices. A watch is dirty at first, after every notice, and whenever a notice may have been lost."""

    def watch(self, *visitor_ids: str) -> NoticeWatch:
        """A watch for these visitors. Close it when done."""


class Contexts(Protocol):
    """Public contexts."""

    async def read(self, visitor_id: str) -> ContextReading:
        """The current context of a visitor, from the primary. For an anonymous id that joined a visitor: that visitor's context."""


class ContextUpdates(Protocol):
    """Applies consent and erasures at once."""

    async def apply(self, updates: Iterable[Update]) -> WriteOutcome:
        """Absorb updates. They are stored when it returns."""


class States(Protocol):
    """Whole states, for explanations and exports."""

    async def read(self, visitor_id: str) -> StoredStates:
        """The state of a visitor; for an anonymous id that joined a visitor, that visitor's state as well."""

    async def states(self, visitor_ids: Iterable[str]) -> list[State | None]:
        """The state stored under each of these ids, including aliases."""


class EventLog(Protocol):
    """The event log, for writing."""

    async def publish(
        self, records: Sequence[OutgoingRecord], deadline_ms: int, ended: Callable[[], None] = lambda: None
    ) -> list[DeliveryOutcome]:
        """One outcome per record, in order, within `deadline_ms`. Raises `LogUnavailable` if nothing was written.

        `ended` is called once none of the records is in flight any more.
        """


class RulesetVersions(Protocol):
    """The versions of the ruleset in the event log."""

    @property
    def log(self) -> RulesetLog:
        """The versions read so far."""

    @property
    def caught_up(self) -> asyncio.Event:
        """Set once the topic was read to its end."""

    async def follow(self, on_versions: OnVersions) -> None:
        """Follow until cancelled."""

    async def publish(self, record: RulesetRecord) -> int | None:
        """Write a record. Returns the version it became, or None if it is void. After `TopicUnavailable` it may have been written."""

    async def read(self, version: int) -> PublishedVersion | None:
        """A version; None if its place in the log is unknown. Raises `TopicUnavailable`."""


class RulesetCopies(Protocol):
    """The copy of the ruleset in force, to start from without the event log."""

    async def load(self) -> RulesetCopy | None:
        """The copy; None if there is none, or it cannot be read."""

    async def save(self, copy: RulesetCopy) -> bool:
        """Store a copy, unless the stored one is at least as new. Returns whether it was stored."""


class TrendsSnapshots(Protocol):
    """Numbered snapshots of the trends."""

    async def current(self) -> int:
        """The number of the current snapshot; 0 if there is none yet."""

    async def load(self, number: int) -> Trends | None:
        """A snapshot; None: it is no longer kept."""

    async def number_at(self, at_ms: int) -> int:
        """The number of the snapshot that was current at a time; 0 if none is known."""


class Drafts(Protocol):
    """Unpublished rulesets for previews, by the hash of their text."""

    async def save(self, name: str, yaml: str, until_ms: int) -> None:
        """Keep a draft until a time (ms since the epoch)."""

    async def load(self, name: str) -> str | None:
        """The text of a draft; None: it is no longer kept."""


class CampaignStatistics(Protocol):
    """The campaign statistics that the batch job computed."""

    async def load(self, campaign_id: str) -> StoredStats | None:
        """The statistics of a campaign; None if there are none."""

    async def as_of_ms(self) -> int | None:
        """When the event log was last read (ms since the epoch); None: never."""
