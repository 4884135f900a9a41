"""A gateway in memory: every part, and the services over them, wired as `gateway.app` wires the real ones."""

from __future__ import annotations

from typing import Any, Final

from gateway.auth import Authenticator
from gateway.clock import NowMs
from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.events.contribution import Position
from gateway.model.events.event import Event, check_record
from gateway.model.events.event_kinds import topic_of
from gateway.model.visitors.state import Update
from gateway.services.banners import BannerService
from gateway.services.campaign_stats import CampaignStatsService
from gateway.services.explain import ExplainService
from gateway.services.export import ExportService
from gateway.services.previews import PreviewService
from gateway.services.rulesets import RulesetService
from gateway.services.tracking import TrackingService
from gateway.services.trends import TrendsService
from gateway.settings import Settings
from gateway.store.connection import StoreUnavailable
from gateway.store.writer import ContextWriter
from gateway.telemetry import Metrics
from tests.support.memory.campaign_statistics import MemoryCampaignStatistics
from tests.support.memory.contexts import MemoryContexts
from tests.support.memory.drafts import MemoryDrafts
from tests.support.memory.event_log import MemoryEventLog
from tests.support.memory.faults import Faults
from tests.support.memory.notices import MemoryNotices
from tests.support.memory.ruleset_copies import MemoryRulesetCopies
from tests.support.memory.ruleset_versions import MemoryRulesetTopic, MemoryRulesetVersions
from tests.support.memory.state_store import MemoryStateStore
from tests.support.memory.states import MemoryStates
from tests.support.memory.trends import MemoryTrends
from tests.support.virtual_time import now_ms

TOKEN_SECRET: Final = "0123456789abcdef" * 2
SECRET_KEY: Final = "sk_test_0123456789"
LOG_EPOCH: Final = 1


class MemoryGateway:
    """`async with MemoryGateway(yaml) as gateway` starts the services with `yaml` as the file of the ruleset.

    `settings` are those of the gateway. Parts that several gateways share are passed on: the topic of ruleset versions, and the copy.
    """

    def __init__(
        self,
        yaml: str,
        *,
        topic: MemoryRulesetTopic | None = None,
        copies: MemoryRulesetCopies | None = None,
        now_ms: NowMs = now_ms,
        **settings: Any,
    ) -> None:
        values = {"token_secret": TOKEN_SECRET, "secret_keys": [SECRET_KEY], "log_epoch": LOG_EPOCH, **settings}
        self.settings = Settings.model_validate(values)
        self.metrics = Metrics()
        self.notices = MemoryNotices()
        self.store = MemoryStateStore(self.notices.announce)
        self.contexts = MemoryContexts(self.store)
        self.states = MemoryStates(self.store)
        self.event_log = MemoryEventLog()
        self.topic = topic or MemoryRulesetTopic()
        self.versions = MemoryRulesetVersions(self.topic)
        self.copies = copies or MemoryRulesetCopies(self.notices.announce)
        self.snapshots = MemoryTrends(self.notices.announce)
        self.drafts = MemoryDrafts(now_ms)
        self.statistics = MemoryCampaignStatistics()
        self.writer = ContextWriter(self.store, now_ms)
        self.authenticator = Authenticator(self.settings, now_ms)
        self.rulesets = RulesetService(self.settings, load_ruleset(yaml, 1), self.versions, self.copies, self.notices, self.metrics, now_ms)
        self.trends = TrendsService(self.snapshots, self.notices, self.metrics, now_ms)
        self.banners = BannerService(self.settings, self.rulesets, self.trends, self.contexts, self.notices, self.metrics, now_ms)
        self.tracking = TrackingService(self.settings, self.authenticator, self.event_log, self.writer, self.metrics, now_ms)
        self.previews = PreviewService(self.settings.signing_key, self.rulesets, self.drafts, now_ms)
        self.explanations = ExplainService(self.settings, self.rulesets, self.trends, self.states, now_ms)
        self.exports = ExportService(self.states, now_ms)
        self.campaign_stats = CampaignStatsService(self.statistics, self.rulesets)
        self._now_ms = now_ms
        self._events = 0
        self._offset = 0

    async def __aenter__(self) -> MemoryGateway:
        await self.rulesets.start()
        await self.trends.start()
        await self.rulesets.wait_ready(1.0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.trends.stop()
        await self.rulesets.stop()

    def metric(self, name: str, **labels: str) -> float:
        """The value of a metric; 0 before it was first counted."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    async def publish(self, yaml: str) -> int:
        """Publish a ruleset, and return its version."""
        outcome = await self.rulesets.publish(yaml, None, dry_run=False)
        assert outcome.ruleset is not None, outcome.problems
        return outcome.ruleset.ruleset.version

    def event(self, visitor_id: str, event_type: str, payload: dict[str, Any] | None = None) -> Event:
        """An event that happens now, with a message id of its own."""
        self._events += 1
        record = {"message_id": f"m{self._events}", "type": event_type, "visitor_id": visitor_id, "payload": payload or {}}
        return check_record({**record, "event_time_ms": self._now_ms(), "received_at_ms": self._now_ms()})

    async def store_event(self, event: Event, log_epoch: int = LOG_EPOCH) -> Position:
        """Have the context writer store an event that happened; returns its position in the log."""
        self._offset += 1
        position = Position(topic_of(event.type).value, 0, self._offset)
        await self.writer.apply([Update(event.visitor_id, position, log_epoch, event)])
        return position

    async def write(self, visitor_id: str, event_type: str, payload: dict[str, Any] | None = None) -> Position:
        """Have an event happen, and the context writer store it."""
        return await self.store_event(self.event(visitor_id, event_type, payload))

    async def add_to_cart(self, visitor_id: str, category: str) -> Position:
        """Have a product of a category added to a cart, so that it becomes the category the visitor is interested in."""
        return await self.write(visitor_id, "PRODUCT_ADDED", {"product": {"product_id": f"a-{category}", "category": category}})

    def lose_store(self) -> None:
        """Let the store go away: nothing can be read or written. Notices stay, as their connection is another one."""
        for faults in self._faults_of_store():
            faults.stay_away(StoreUnavailable("the store is away"))

    def return_store(self) -> None:
        """Let the store come back as it was."""
        for faults in self._faults_of_store():
            faults.recover()

    def _faults_of_store(self) -> tuple[Faults, ...]:
        return (
            *(self.store.reading, self.store.writing, self.contexts.reading, self.states.reading),
            *(self.copies.reading, self.copies.writing, self.snapshots.reading, self.drafts.calling, self.statistics.reading),
        )
