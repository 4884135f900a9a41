"""What the services need of the store, the event log and their change notices. The real parts are in `gateway.store` and `gateway.kafka`.

Every method of a store raises `StoreUnavailable` while the store does not answer; calling it again is safe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

from gateway.kafka.publisher import DeliveryOutcome, OutgoingRecord
from gateway.model.rulesets.versions import PublishedVersion, RulesetLog, RulesetRecord
from gateway.model.trends.snapshot import Trends
from gateway.model.visitors.state import State, Update
from gateway.store.reader import ContextReading
from gateway.store.rulesets import RulesetCopy
from gateway.store.states import StoredStates
from gateway.store.stats import StoredStats
from gateway.store.writer import WriteOutcome


class Watch(Protocol):
    """Says when something may have changed. Wait until it is dirty, clear it, then read."""

    def follow(self, visitor_ids: Iterable[str]) -> bool:
        """Listen for these visitors too; True if one of them is new (then a read made before may have missed a change)."""

    def listen(self, channels: Iterable[str]) -> bool:
        """As `follow`, by the names of channels."""

    def clear(self) -> None:
        """Make clean, before a read that will see all that was noticed so far."""

    def mark(self) -> None:
        """Make dirty: something may have changed."""

    async def wait(self, timeout_seconds: float) -> None:
        """Wait until dirty, or until the time has passed."""

    def close(self) -> None:
        """Stop listening. Safe to call twice."""


class Notices(Protocol):
    """Change notices. A watch is dirty at first, after every notice, and whenever a notice may have been lost."""

    def watch(self, *visitor_ids: str) -> Watch:
        """A watch for these visitors. Close it when done."""


class Contexts(Protocol):
    """Public contexts."""

    async def read(self, visitor_id: str) -> ContextReading:
        """The context of a visitor, following an anonymous id to the visitor it joined, as it is in the primary now."""


class ContextUpdates(Protocol):
    """Where consent and erasures are applied at once."""

    async def apply(self, updates: Iterable[Update]) -> WriteOutcome:
        """Absorb updates; when this returns, they are stored."""


class States(Protocol):
    """Whole states, for explanations and exports."""

    async def read(self, visitor_id: str) -> StoredStates:
        """The state of a visitor, following an anonymous id to the visitor it joined."""

    async def states(self, visitor_ids: Iterable[str]) -> list[State | None]:
        """What is stored under each of these ids, aliases included."""


class EventLog(Protocol):
    """The event log as those who write to it see it."""

    async def publish(
        self, records: Sequence[OutgoingRecord], deadline_ms: int, ended: Callable[[], None] = lambda: None
    ) -> list[DeliveryOutcome]:
        """One outcome for each record, in order, within `deadline_ms`. Raises `LogUnavailable`: nothing was written.

        `ended` is called once none of the records is in flight any more.
        """


OnVersions = Callable[[list[PublishedVersion], bool], Awaitable[None]]
"""Called with new versions, oldest first, and whether the end of the topic was reached."""


class RulesetVersions(Protocol):
    """The versions of the ruleset in the event log."""

    @property
    def log(self) -> RulesetLog:
        """What is known of them so far."""

    @property
    def caught_up(self) -> asyncio.Event:
        """Set once all were read."""

    async def follow(self, on_versions: OnVersions) -> None:
        """Follow until cancelled."""

    async def publish(self, record: RulesetRecord) -> int | None:
        """The version that a record became; None: it is void. Raises `TopicUnavailable`: it may or may not have been written."""

    async def read(self, version: int) -> PublishedVersion | None:
        """A version; None if its place is unknown. Raises `TopicUnavailable`."""


class RulesetCopies(Protocol):
    """The copy of the ruleset in force, to start from without the event log."""

    async def load(self) -> RulesetCopy | None:
        """The copy; None: there is none that can be read."""

    async def save(self, copy: RulesetCopy) -> bool:
        """Store a copy unless the stored one is as new; whether it was stored."""


class TrendsSnapshots(Protocol):
    """Numbered snapshots of the trends."""

    async def current(self) -> int:
        """The number of the current one; 0: there is none yet."""

    async def load(self, number: int) -> Trends | None:
        """A snapshot; None: it is no longer kept."""

    async def number_at(self, at_ms: int) -> int:
        """The number of the one that was current at a time; 0: none is known."""


class Drafts(Protocol):
    """Rulesets that are previewed and not published, by the hash of their text."""

    async def save(self, name: str, yaml: str, until_ms: int) -> None:
        """Keep a draft until a time."""

    async def load(self, name: str) -> str | None:
        """The text of a draft; None: it is no longer kept."""


class CampaignStatistics(Protocol):
    """What the batch job counted of campaigns."""

    async def load(self, campaign_id: str) -> StoredStats | None:
        """The statistics of a campaign; None: nothing was counted of it."""

    async def as_of_ms(self) -> int | None:
        """As of when anything was last counted; None: never."""
