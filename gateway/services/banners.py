"""Banner decisions for queries and subscriptions: read the context, wait for a cursor if asked to, decide.

A subscription is gap-free without comparing versions: a notice only marks it dirty; then the context is read by a read
issued after the notice, decided upon, and pushed if it differs from what was last sent. One read at a time; what changed
meanwhile is joined into the next, so the latest wins. A new ruleset marks all of them dirty, spread over a moment; so does a
new snapshot of the trends, where the ruleset in force depends on them.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.clock import NowMs
from gateway.errors import BadUserInput, Throttled
from gateway.model.decisions.decide import Decision, Inputs, decide, unavailable_decision
from gateway.model.decisions.decision_id import DecisionToken, InvalidDecisionId, open_decision_id, sign, token_of, visitor_hash
from gateway.model.decisions.preview_token import ActivePreview, decide_preview
from gateway.model.decisions.stream import Content, Rules, StoreReading, StreamState, Subscription, step
from gateway.model.events.cursor import Cursor, InvalidCursor, cursor_of_context, decode_cursor
from gateway.model.rulesets.ruleset import Ruleset
from gateway.services.rulesets import RulesetService
from gateway.services.trends import TrendsService
from gateway.settings import Settings
from gateway.store.connection import StoreUnavailable
from gateway.store.notices import NoticeBus, Watch
from gateway.store.reader import ContextReader, ContextReading
from gateway.telemetry import Metrics

MAX_PLACEMENTS: Final = 20
BACKSTOP_SECONDS: Final = 0.25
"""While waiting for a cursor the context is read again this often, should a notice be lost."""
RULESET_SPREAD_SECONDS: Final = 0.5
"""Over so long open subscriptions are decided anew after a change of the ruleset."""
TRENDS_SPREAD_SECONDS: Final = 5.0
"""The same after a new snapshot of the trends: nobody waits for one, and it may change every open page."""
RULESET_WAIT_SECONDS: Final = 0.5
"""So long a page waits for the ruleset and the trends that it was rendered by, should this process not have them yet …"""
RULESET_AGE_MS: Final = 60_000
"""… if it was rendered so recently: within a second they are everywhere."""

PageFields = Mapping[str, Any] | None
_NOTHING: Final = ContextReading(None, ())


@dataclass(frozen=True, slots=True)
class IssuedDecision:
    """A decision as it is given out: with its id, and how much of the log it has seen."""

    decision_id: str
    decision: Decision
    cursor: str
    fresh: bool
    decided_at_ms: int


@dataclass(frozen=True, slots=True)
class BannerRequest:
    """Who asks (None: nobody in particular), for which placements, on which page."""

    visitor_id: str | None
    placements: tuple[str, ...]
    page: PageFields
    preview: ActivePreview | None = None

    def __post_init__(self) -> None:
        if len(self.placements) > MAX_PLACEMENTS:
            raise BadUserInput(f"at most {MAX_PLACEMENTS} placements at once", field="placements")
        if any(not placement or len(placement) > 128 for placement in self.placements):
            raise BadUserInput("a placement has 1 to 128 characters", field="placements")


class BannerService:
    """Decides banners. One instance a process."""

    def __init__(
        self,
        settings: Settings,
        rulesets: RulesetService,
        trends: TrendsService,
        reader: ContextReader,
        bus: NoticeBus,
        metrics: Metrics,
        now_ms: NowMs,
    ) -> None:
        self._settings = settings
        self._key = settings.signing_key
        self._rulesets = rulesets
        self._trends = trends
        self._reader = reader
        self._bus = bus
        self._metrics = metrics
        self._now_ms = now_ms
        self._open: set[Watch] = set()
        rulesets.on_change(lambda: self._decide_all_anew(RULESET_SPREAD_SECONDS))
        trends.on_change(self._trends_changed)

    async def decisions(self, request: BannerRequest, after: str | None, max_wait_ms: int) -> list[IssuedDecision]:
        """One decision for each placement, in order. Waits up to `max_wait_ms` until the context covers `after`."""
        cursor = self._cursor(after)
        if not 0 <= max_wait_ms <= self._settings.max_wait_ms:
            raise BadUserInput(f"maxWaitMs must be from 0 to {self._settings.max_wait_ms}", field="maxWaitMs")
        try:
            found, fresh = await self._read(request.visitor_id, cursor, max_wait_ms)
        except StoreUnavailable:
            given = [
                self._give(unavailable_decision(self._ruleset(request), p), _NOTHING, request, fresh=False) for p in request.placements
            ]
        else:
            given = [self._decide(placement, found, request, fresh=fresh) for placement in request.placements]
        for one in given:
            self._metrics.decisions.labels(one.decision.reason.value).inc()
            if not one.fresh:
                self._metrics.stale.inc()
        return given

    async def changes(self, request: BannerRequest, shown: Sequence[str]) -> AsyncIterator[IssuedDecision]:
        """Decisions as they change: the first of a placement only where it differs from what `shown` says.

        When a preview expires the page gets its real decisions again.
        """
        if len(self._open) >= self._settings.max_subscriptions:
            raise Throttled("too many open subscriptions in this process; connect again later", retry_after_ms=5_000)
        subscription = Subscription(
            request.visitor_id, request.placements, request.page, self._settings.consent_default, round(self._settings.poll_seconds * 1000)
        )
        state = StreamState(self._shown(shown), request.preview)
        watch = self._bus.watch(*([request.visitor_id] if request.visitor_id else []))
        self._open.add(watch)
        self._metrics.subscriptions.inc()
        try:
            await self._have_ruleset_of(shown)
            while True:
                watch.clear()
                try:
                    reading = await self._found(request.visitor_id)
                except StoreUnavailable:
                    reading = None
                if reading is not None and watch.follow(reading.watched):
                    # Joined a known visitor meanwhile: read again, now that its notices are heard as well.
                    continue
                now_ms = self._now_ms()
                rules = Rules(self._rulesets.current, self._trends.current)
                next_step = step(subscription, state, None if reading is None else StoreReading(reading.context), rules, now_ms)
                if next_step.state.preview is not state.preview:
                    request = replace(request, preview=next_step.state.preview)
                state = next_step.state
                for campaign_id in next_step.condition_errors:
                    self._metrics.condition_errors.labels(campaign_id).inc()
                for decision in next_step.decisions:
                    self._metrics.pushes.inc()
                    yield self._give(decision, reading or _NOTHING, request, fresh=next_step.fresh, now_ms=now_ms)
                await watch.wait(next_step.wait_ms / 1000)
        finally:
            watch.close()
            self._open.discard(watch)
            self._metrics.subscriptions.dec()

    def previewed(self, ruleset: Ruleset, placement: str, inputs: Inputs) -> IssuedDecision:
        """The decision for inputs that are given, as a preview: nothing of it is counted."""
        request = BannerRequest(None, (placement,), None)
        inputs = replace(inputs, trends=self._trends.current, consent_default=self._settings.consent_default)
        decision = decide(ruleset, placement, inputs)
        return self._give(decision, ContextReading(inputs.context, ()), request, fresh=True, preview=True)

    async def _read(self, visitor_id: str | None, after: Cursor | None, max_wait_ms: int) -> tuple[ContextReading, bool]:
        found = await self._found(visitor_id)
        if after is None or visitor_id is None or after.is_covered_by(found.context, self._now_ms()):
            return found, True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + max_wait_ms / 1000
        watch = self._bus.watch(*found.watched)
        try:
            while (left := deadline - loop.time()) > 0:
                await watch.wait(min(left, BACKSTOP_SECONDS))
                watch.clear()
                found = await self._found(visitor_id)
                if watch.follow(found.watched):
                    watch.mark()
                if after.is_covered_by(found.context, self._now_ms()):
                    return found, True
            return found, False
        finally:
            watch.close()

    async def _found(self, visitor_id: str | None) -> ContextReading:
        return _NOTHING if visitor_id is None else await self._reader.read(visitor_id)

    def _decision(self, placement: str, found: ContextReading, request: BannerRequest, now_ms: int) -> Decision:
        inputs = Inputs(
            context=found.context,
            page=request.page,
            now_ms=now_ms,
            visitor_id=request.visitor_id,
            trends=self._trends.current,
            consent_default=self._settings.consent_default,
        )
        if request.preview is not None:
            return decide_preview(self._ruleset(request), request.preview.preview, placement, inputs)
        decision = decide(self._rulesets.current, placement, inputs)
        for campaign_id in decision.condition_errors:
            self._metrics.condition_errors.labels(campaign_id).inc()
        return decision

    def _ruleset(self, request: BannerRequest) -> Ruleset:
        fixed = request.preview.ruleset if request.preview is not None else None
        return fixed or self._rulesets.current

    def _trends_changed(self) -> None:
        if self._rulesets.current.uses_trends:
            self._decide_all_anew(TRENDS_SPREAD_SECONDS)

    def _decide_all_anew(self, spread_seconds: float) -> None:
        loop = asyncio.get_running_loop()
        for watch in self._open:
            loop.call_later(random.uniform(0, spread_seconds), watch.mark)

    async def _have_ruleset_of(self, shown: Sequence[str]) -> None:
        """Server-rendered and live page agree: what this page was rendered by is loaded first."""
        tokens = self._tokens(shown)
        recent = [token for token in tokens if not token.preview and self._now_ms() - token.decided_at_ms < RULESET_AGE_MS]
        if recent:
            await self._rulesets.at_least(max(token.ruleset_version for token in recent), RULESET_WAIT_SECONDS)
            if self._rulesets.current.uses_trends:
                await self._trends.at_least(max(token.trends_snapshot for token in recent), RULESET_WAIT_SECONDS)

    def _decide(self, placement: str, found: ContextReading, request: BannerRequest, *, fresh: bool) -> IssuedDecision:
        now_ms = self._now_ms()
        return self._give(self._decision(placement, found, request, now_ms), found, request, fresh=fresh, now_ms=now_ms)

    def _give(
        self,
        decision: Decision,
        found: ContextReading,
        request: BannerRequest,
        *,
        fresh: bool,
        preview: bool = False,
        now_ms: int | None = None,
    ) -> IssuedDecision:
        """`now_ms`: when it was decided, to the millisecond, so that it can be explained by its id."""
        now_ms = self._now_ms() if now_ms is None else now_ms
        cursor = cursor_of_context(found.context, now_ms).encode()
        token = token_of(
            decision, cursor, now_ms, visitor_hash(self._key, request.visitor_id), preview=preview or request.preview is not None
        )
        return IssuedDecision(sign(self._key, token), decision, cursor, fresh, now_ms)

    def _shown(self, shown: Sequence[str]) -> dict[str, Content]:
        """What the page shows, by placement. An id we did not make (any more) counts as not shown."""
        return {token.placement: (token.campaign_id, token.variant, token.banner_id) for token in self._tokens(shown)}

    def _tokens(self, shown: Sequence[str]) -> list[DecisionToken]:
        found = []
        for decision_id in shown[: 2 * MAX_PLACEMENTS]:
            with contextlib.suppress(InvalidDecisionId):
                found.append(open_decision_id(self._key, decision_id))
        return found

    def _cursor(self, after: str | None) -> Cursor | None:
        if after is None:
            return None
        try:
            if not isinstance(after, str):
                raise InvalidCursor("a cursor is a text")
            return decode_cursor(after)
        except InvalidCursor as problem:
            raise BadUserInput(f"after: {problem}", field="after") from problem
