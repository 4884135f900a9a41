"""A subscription as a pure step: what is known now, what to send, and how long to wait.

    watch: something may have changed ─▶ read the context ─▶ step ─▶ send its decisions ─▶ wait ─┐
      ▲                                                                                        │
      └────────────────────────────────────────────────────────────────────────────────────────┘

A step compares what the page shows with what it should show, so a change that is noticed several times is sent once, and if there are
several changes only the latest is sent. While the store is away a page keeps what it shows; a page that shows nothing yet gets its
fallback. When a preview expires, the page gets its real decisions again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.model.decisions.decide import Decision, Inputs, decide, unavailable_decision
from gateway.model.decisions.preview_token import ActivePreview, decide_preview
from gateway.model.rulesets.ruleset import Ruleset
from gateway.model.times import earliest_ms
from gateway.model.trends.snapshot import Trends

STORE_RETRY_MS: Final = 1_000
"""How soon a store that was away is read again."""

Content = tuple[str | None, str | None, str]
"""What a page shows at a placement: campaign, variant and banner (see `Decision.content`)."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who subscribes (None: an anonymous page) to which placements, on which page."""

    visitor_id: str | None
    placements: tuple[str, ...]
    page: Mapping[str, Any] | None
    consent_default: bool
    poll_ms: int
    """How soon the context is read again, in case a notice was lost."""


@dataclass(frozen=True, slots=True)
class StreamState:
    """What the page shows by placement, as far as it is known, and its preview."""

    shown: Mapping[str, Content]
    preview: ActivePreview | None = None


@dataclass(frozen=True, slots=True)
class StoreReading:
    """A context that was read; None: nothing is known of the visitor."""

    context: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Rules:
    """What decisions depend on for all visitors: the ruleset in force and the trends snapshot."""

    ruleset: Ruleset
    trends: Trends


@dataclass(frozen=True, slots=True)
class Step:
    """The state after a step, the decisions to send, in order, and when to step again unless a change is noticed before.

    `fresh`: whether the decisions are based on a context that was read. `condition_errors`: campaigns whose condition failed at run
    time; nothing is counted in a preview.
    """

    state: StreamState
    decisions: tuple[Decision, ...]
    fresh: bool
    wait_ms: int
    condition_errors: tuple[str, ...] = ()


def step(subscription: Subscription, state: StreamState, reading: StoreReading | None, rules: Rules, now_ms: int) -> Step:
    """The next step of a subscription. `reading` None: the store did not answer."""
    state = _without_expired_preview(state, now_ms)
    preview = state.preview
    ruleset = preview.ruleset or rules.ruleset if preview is not None else rules.ruleset
    if reading is None:
        decisions = [unavailable_decision(ruleset, placement) for placement in subscription.placements if placement not in state.shown]
        return _sending(state, decisions, fresh=False, wait_ms=min(subscription.poll_ms, STORE_RETRY_MS))
    inputs = Inputs(
        context=reading.context,
        page=subscription.page,
        now_ms=now_ms,
        visitor_id=subscription.visitor_id,
        trends=rules.trends,
        # No cap removes a banner that the page is showing.
        shown=frozenset(campaign_id for campaign_id, _, _ in state.shown.values() if campaign_id is not None),
        consent_default=subscription.consent_default,
    )
    if preview is not None:
        decisions = [decide_preview(ruleset, preview.preview, placement, inputs) for placement in subscription.placements]
    else:
        decisions = [decide(ruleset, placement, inputs) for placement in subscription.placements]
    ends_ms = earliest_ms(preview.preview.expires_at_ms if preview is not None else None, *(d.valid_until_ms for d in decisions))
    wait_ms = subscription.poll_ms if ends_ms is None else min(subscription.poll_ms, max(0, ends_ms - now_ms) + 1)
    return _sending(state, decisions, fresh=True, wait_ms=wait_ms)


def _without_expired_preview(state: StreamState, now_ms: int) -> StreamState:
    if state.preview is None or state.preview.preview.expires_at_ms > now_ms:
        return state
    # From now on decisions count, and what the preview showed was never shown to this visitor.
    return StreamState(shown={})


def _sending(state: StreamState, decisions: list[Decision], *, fresh: bool, wait_ms: int) -> Step:
    shown = dict(state.shown)
    changed = []
    for decision in decisions:
        if shown.get(decision.placement) != decision.content:
            shown[decision.placement] = decision.content
            changed.append(decision)
    counted = decisions if state.preview is None else []
    errors = tuple(campaign_id for decision in counted for campaign_id in decision.condition_errors)
    return Step(replace(state, shown=shown), tuple(changed), fresh, wait_ms, errors)
