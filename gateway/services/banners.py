"""Banner decisions for queries and subscriptions: read the context, wait for a cursor if asked to, decide.

A subscription misses nothing, although it compares no versions: a notice only marks it dirty. Then the context is read, by a
read that starts after the notice; the decisions follow from it, and those that differ from the last ones are pushed. There is
one read at a time, and everything that changes meanwhile is covered by the next one, so the latest state wins. A new ruleset
marks all subscriptions dirty, spread over a short time. So does a new snapshot of the trends, if the ruleset in force uses them.
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
from gateway.model.events.fields import MAX_ID_CHARACTERS
from gateway.model.rulesets.ruleset import Ruleset
from gateway.model.times import MINUTE_MS
from gateway.services.ports import Contexts, Notices, NoticeWatch
from gateway.services.rulesets import RulesetService
from gateway.services.trends import TrendsService
from gateway.settings import Settings
from gateway.store.connection import StoreUnavailable
from gateway.store.reader import ContextReading
from gateway.telemetry import Metrics

MAX_PLACEMENTS: Final = 20
MAX_SHOWN: Final = 2 * MAX_PLACEMENTS
"""Only this many ids of shown decisions are read: one per placement, and one more each that the page may have received since."""
BACKSTOP_SECONDS: Final = 0.25
"""While waiting for a cursor, the context is read again this often, in case a notice is lost."""
RULESET_SPREAD_SECONDS: Final = 0.5
"""After a change of the ruleset, open subscriptions are decided again, spread over this time."""
TRENDS_SPREAD_SECONDS: Final = 5.0
"""The same after a new snapshot of the trends: nobody waits for one, and it may change every open page."""
RULESET_WAIT_SECONDS: Final = 0.5
"""If this process does not have the ruleset and trends yet that a page was rendered with, the page waits this long for them …"""
RULESET_AGE_MS: Final = MINUTE_MS
"""… provided it was rendered at most this long ago: within a second every process has them."""

PageFields = Mapping[str, Any] | None
_NO_CONTEXT: Final = ContextReading(None, ())


@dataclass(frozen=True, slots=True)
class IssuedDecision:
    """A decision as the caller gets it: with its id, and how much of the event log it includes."""

    decision_id: str
    decision: Decision
    cursor: str
    fresh: bool
    decided_at_ms: int


@dataclass(frozen=True, slots=True)
class BannerRequest:
    """The visitor (None: no visitor, only a page), the placements, the page, and the preview if there is one.

    Raises `BadUserInput` for too many placements, or a placement of a wrong length.
    """

    visitor_id: str | None
    placements: tuple[str, ...]
    page: PageFields
    preview: ActivePreview | None = None

    def __post_init__(self) -> None:
        if len(self.placements) > MAX_PLACEMENTS:
            raise BadUserInput(f"at most {MAX_PLACEMENTS} placements at once", field="placements")
        if any(not 0 < len(placement) <= MAX_ID_CHARACTERS for placement in self.placements):
            raise BadUserInput(f"a placement has 1 to {MAX_ID_CHARACTERS} characters", field="placements")


class BannerService:
    """Decides banners. One instance per process."""

    def __init__(
        self,
        settings: Settings,
        rulesets: RulesetService,
        trends: TrendsService,
        reader: Contexts,
        bus: Notices,
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
        self._open: set[NoticeWatch] = set()
        rulesets.on_change(lambda: self._mark_all(RULESET_SPREAD_SECONDS))
        trends.on_change(self._trends_changed)

    async def decisions(self, request: BannerRequest, after: str | None, max_wait_ms: int) -> list[IssuedDecision]:
        """One decision per placement, in order. Waits up to `max_wait_ms` until the context covers the cursor `after`.

        If the store does not answer, the decisions are the fallbacks and are not fresh. Raises `BadUserInput`.
        """
        cursor = _parse_cursor(after)
        if not 0 <= max_wait_ms <= self._settings.max_wait_ms:
            raise BadUserInput(f"maxWaitMs must be from 0 to {self._settings.max_wait_ms}", field="maxWaitMs")
        try:
            stored, fresh = await self._read_after(request.visitor_id, cursor, max_wait_ms)
        except StoreUnavailable:
            fallbacks = [unavailable_decision(self._ruleset(request), placement) for placement in request.placements]
            issued = [self._issue(fallback, _NO_CONTEXT, request, fresh=False) for fallback in fallbacks]
        else:
            issued = [self._decide(placement, stored, request, fresh=fresh) for placement in request.placements]
        for decision in issued:
            self._metrics.decisions.labels(decision.decision.reason.value).inc()
            if not decision.fresh:
                self._metrics.stale.inc()
        return issued

    async def changes(self, request: BannerRequest, shown: Sequence[str]) -> AsyncIterator[IssuedDecision]:
        """Decisions as they change. The first of a placement comes only if it differs from what `shown` says the page shows.

        When a preview expires, the page gets its real decisions again. Raises `Throttled` if too many subscriptions are open.
        """
        if len(self._open) >= self._settings.max_subscriptions:
            raise Throttled("too many open subscriptions in this process; connect again later", retry_after_ms=5_000)
        subscription = Subscription(
            request.visitor_id, request.placements, request.page, self._settings.consent_default, round(self._settings.poll_seconds * 1000)
        )
        state = StreamState(self._shown_contents(shown), request.preview)
        watch = self._bus.watch(*([request.visitor_id] if request.visitor_id else []))
        self._open.add(watch)
        self._metrics.subscriptions.inc()
        try:
            await self._catch_up_with(shown)
            while True:
                watch.clear()
                try:
                    reading = await self._read(request.visitor_id)
                except StoreUnavailable:
                    reading = None
                if reading is not None and watch.follow(reading.watched):
                    # It joined a known visitor in the meantime: read again, now that its notices are heard as well.
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
                    yield self._issue(decision, reading or _NO_CONTEXT, request, fresh=next_step.fresh, now_ms=now_ms)
                await watch.wait(next_step.wait_ms / 1000)
        finally:
            watch.close()
            self._open.discard(watch)
            self._metrics.subscriptions.dec()

    def preview(self, ruleset: Ruleset, placement: str, inputs: Inputs) -> IssuedDecision:
        """The decision for the given inputs, as a preview: it is not counted."""
        request = BannerRequest(None, (placement,), None)
        inputs = replace(inputs, trends=self._trends.current, consent_default=self._settings.consent_default)
        decision = decide(ruleset, placement, inputs)
        return self._issue(decision, ContextReading(inputs.context, ()), request, fresh=True, is_preview=True)

    async def _read_after(self, visitor_id: str | None, after: Cursor | None, max_wait_ms: int) -> tuple[ContextReading, bool]:
        """The context, and whether it covers `after`; waits for that up to `max_wait_ms`."""
        stored = await self._read(visitor_id)
        if after is None or visitor_id is None or after.is_covered_by(stored.context, self._now_ms()):
            return stored, True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + max_wait_ms / 1000
        watch = self._bus.watch(*stored.watched)
        try:
            while (remaining := deadline - loop.time()) > 0:
                await watch.wait(min(remaining, BACKSTOP_SECONDS))
                watch.clear()
                stored = await self._read(visitor_id)
                if watch.follow(stored.watched):
                    watch.mark()
                if after.is_covered_by(stored.context, self._now_ms()):
                    return stored, True
            return stored, False
        finally:
            watch.close()

    async def _read(self, visitor_id: str | None) -> ContextReading:
        return _NO_CONTEXT if visitor_id is None else await self._reader.read(visitor_id)

    def _decide(self, placement: str, stored: ContextReading, request: BannerRequest, *, fresh: bool) -> IssuedDecision:
        now_ms = self._now_ms()
        inputs = Inputs(
            context=stored.context,
            page=request.page,
            now_ms=now_ms,
            visitor_id=request.visitor_id,
            trends=self._trends.current,
            consent_default=self._settings.consent_default,
        )
        if request.preview is not None:
            decision = decide_preview(self._ruleset(request), request.preview.preview, placement, inputs)
        else:
            decision = decide(self._rulesets.current, placement, inputs)
            for campaign_id in decision.condition_errors:
                self._metrics.condition_errors.labels(campaign_id).inc()
        return self._issue(decision, stored, request, fresh=fresh, now_ms=now_ms)

    def _issue(
        self,
        decision: Decision,
        stored: ContextReading,
        request: BannerRequest,
        *,
        fresh: bool,
        is_preview: bool = False,
        now_ms: int | None = None,
    ) -> IssuedDecision:
        """`now_ms`: when it was decided, to the millisecond, so that it can be explained by its id."""
        now_ms = self._now_ms() if now_ms is None else now_ms
        cursor = cursor_of_context(stored.context, now_ms).encode()
        is_preview = is_preview or request.preview is not None
        token = token_of(decision, cursor, now_ms, visitor_hash(self._key, request.visitor_id), preview=is_preview)
        return IssuedDecision(sign(self._key, token), decision, cursor, fresh, now_ms)

    def _ruleset(self, request: BannerRequest) -> Ruleset:
        previewed = request.preview.ruleset if request.preview is not None else None
        return previewed or self._rulesets.current

    def _trends_changed(self) -> None:
        if self._rulesets.current.uses_trends:
            self._mark_all(TRENDS_SPREAD_SECONDS)

    def _mark_all(self, spread_seconds: float) -> None:
        """Have every open subscription decide again, each at a random time within `spread_seconds`."""
        loop = asyncio.get_running_loop()
        for watch in self._open:
            loop.call_later(random.uniform(0, spread_seconds), watch.mark)

    async def _catch_up_with(self, shown: Sequence[str]) -> None:
        """Load the ruleset and trends that the page was rendered with, so that its live decisions agree with what it shows."""
        tokens = self._decision_tokens(shown)
        recent = [token for token in tokens if not token.preview and self._now_ms() - token.decided_at_ms < RULESET_AGE_MS]
        if recent:
            await self._rulesets.at_least(max(token.ruleset_version for token in recent), RULESET_WAIT_SECONDS)
            if self._rulesets.current.uses_trends:
                await self._trends.at_least(max(token.trends_snapshot for token in recent), RULESET_WAIT_SECONDS)

    def _shown_contents(self, shown: Sequence[str]) -> dict[str, Content]:
        """What the page shows, by placement. An id that we did not sign, or no longer accept, counts as not shown."""
        return {token.placement: (token.campaign_id, token.variant, token.banner_id) for token in self._decision_tokens(shown)}

    def _decision_tokens(self, decision_ids: Sequence[str]) -> list[DecisionToken]:
        tokens = []
        for decision_id in decision_ids[:MAX_SHOWN]:
            with contextlib.suppress(InvalidDecisionId):
                tokens.append(open_decision_id(self._key, decision_id))
        return tokens


def _parse_cursor(after: str | None) -> Cursor | None:
    if after is None:
        return None
    try:
        if not isinstance(after, str):
            raise InvalidCursor("a cursor is a string")
        return decode_cursor(after)
    except InvalidCursor as problem:
        raise BadUserInput(f"after: {problem}", field="after") from problem
