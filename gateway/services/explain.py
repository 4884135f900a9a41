"""Explanations of decisions: for a visitor now, as it stood at a past moment, or of a decision that was given.

A decision id says placement, ruleset, time, how much of the log was seen, and what was shown; of the visitor it holds a
hash, so the caller names the visitor and the hash is checked. It does not hold the page, nor what the page showed before:
the page is given again, and of the ways it can have been decided the first that gives what was given is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from gateway.clock import NowMs
from gateway.errors import BadUserInput, NotFound
from gateway.model.decisions.decide import Inputs, unavailable_decision
from gateway.model.decisions.decision_id import DecisionToken, InvalidDecisionId, open_decision_id, sign, token_of, visitor_hash
from gateway.model.decisions.explain import ExplainedDecision, ExplanationStep, explain_decision
from gateway.model.events.cursor import Cursor, InvalidCursor, cursor_of_context, decode_cursor
from gateway.model.events.positions import Positions
from gateway.model.rulesets.ruleset import Ruleset
from gateway.model.trends.snapshot import NO_TRENDS, Trends
from gateway.model.visitors.as_of import ContributionFilter, answering_state, as_of, caveats, covered_by, received_by, why_unreachable
from gateway.model.visitors.context_view import view
from gateway.model.visitors.evidence import EvidenceItem, evidence_of
from gateway.model.visitors.state import State
from gateway.services.banners import BannerRequest, IssuedDecision
from gateway.services.rulesets import LoadedRuleset
from gateway.settings import Settings
from gateway.store.states import StateReader, StoredStates


class RulesetSource(Protocol):
    """Where the versions of the ruleset come from (`gateway.services.rulesets.RulesetService`)."""

    @property
    def current(self) -> Ruleset:
        """The ruleset in force."""

    async def version(self, version: int | None) -> LoadedRuleset:
        """A version, the one in force for None. Raises `NotFound` or `Unavailable`."""

    async def at(self, at_ms: int) -> LoadedRuleset:
        """The version that was in force at a moment, the first of all where none was yet. Raises `NotFound` or `Unavailable`."""


class TrendsSource(Protocol):
    """Where the trends come from (`gateway.services.trends.TrendsService`)."""

    @property
    def current(self) -> Trends:
        """The current snapshot."""

    async def snapshot(self, number: int) -> Trends | None:
        """The snapshot of a number; None: it is no longer kept. Raises `Unavailable`."""

    async def number_at(self, at_ms: int) -> int:
        """The number of the snapshot that was current at a moment; 0: none is known of then. Raises `Unavailable`."""


@dataclass(frozen=True, slots=True)
class DecisionExplanation:
    """A decision, what it looked at, what became of each campaign, and where this may be inexact (`notes`)."""

    given: IssuedDecision
    context: Mapping[str, Any]
    steps: Sequence[ExplanationStep]
    evidence: Sequence[EvidenceItem]
    notes: Sequence[str]


@dataclass(frozen=True, slots=True)
class CandidateExplanation:
    """One way in which a decision may have come about."""

    story: ExplainedDecision
    state: State | None
    context: Mapping[str, Any] | None
    note: str | None = None

    def gives(self, token: DecisionToken) -> bool:
        return self.story.decision.content == (token.campaign_id, token.variant, token.banner_id)


class ExplainService:
    """Explains decisions. One instance a process."""

    def __init__(self, settings: Settings, rulesets: RulesetSource, trends: TrendsSource, states: StateReader, now_ms: NowMs) -> None:
        self._key = settings.signing_key
        self._consent_default = settings.consent_default
        self._rulesets = rulesets
        self._trends = trends
        self._states = states
        self._now_ms = now_ms

    async def explain(self, request: BannerRequest, decision_id: str | None, at_ms: int | None) -> DecisionExplanation:
        """The explanation of the first placement of `request`. Raises `BadUserInput`, `NotFound` or `Unavailable`."""
        if decision_id is not None:
            if at_ms is not None:
                raise BadUserInput("a decision id says when it was: leave at out", field="at")
            return await self._given(request, decision_id)
        if at_ms is None:
            return await self._now(request)
        if at_ms > self._now_ms():
            raise BadUserInput("at must not lie ahead", field="at")
        return await self._past(request, at_ms)

    async def _now(self, request: BannerRequest) -> DecisionExplanation:
        held = await self._held(request.visitor_id)
        state = held.own if held.own is None or held.own.alias_of is None else held.owner
        told = self._told(self._rulesets.current, self._trends.current, request, state, self._now_ms())
        return self._explained(told, request, self._now_ms(), [])

    async def _past(self, request: BannerRequest, at_ms: int) -> DecisionExplanation:
        held = await self._held(request.visitor_id)
        in_force, notes = await self._rulesets.at(at_ms), list[str]()
        ruleset = in_force.ruleset
        if in_force.published_at_ms is not None and in_force.published_at_ms > at_ms:
            notes.append(f"no version of the ruleset was published by then; this is what version {ruleset.version} decides")
        number = await self._trends.number_at(at_ms) if ruleset.uses_trends else 0
        if number == 0 and ruleset.uses_trends:
            notes.append("no trends snapshot of then is kept: this is decided without trends")
        trends = await self._snapshot(ruleset, number, notes)
        state = _as_of(held, received_by(at_ms))
        if held.own is None and request.visitor_id is not None:
            notes.append("nothing is held of this visitor; had it a context that expired, the log may tell: processors explain")
        if state is not None:
            # Judged by all that is held: what was withdrawn or erased since is not to be seen at an earlier moment either.
            _check_reach(answering_state(held.own, held.owner, received_by(at_ms)) or state, at_ms)
            notes += caveats(state, at_ms)
            if not state.parts and state.cutoff_ms is None:
                state = None
        return self._explained(self._told(ruleset, trends, request, state, at_ms), request, at_ms, notes)

    async def _given(self, request: BannerRequest, decision_id: str) -> DecisionExplanation:
        token, cursor = self._opened(request, decision_id)
        ruleset = (await self._rulesets.version(token.ruleset_version)).ruleset
        held = await self._held(request.visitor_id)
        notes: list[str] = []
        trends = await self._snapshot(ruleset, token.trends_snapshot, notes)
        ways = self._ways(ruleset, trends, request, held, token, cursor)
        told = next((way for way in ways if way.gives(token)), None)
        notes += [] if told is None or told.note is None else [told.note]
        if told is None and (fallback := _unavailable(ways[0], ruleset, token)) is not None:
            told, notes = fallback, [*notes, "it was decided while the context store could not be read: the fallback without a language"]
        if told is None:
            told = ways[0]
            notes.append(_difference(token, request))
        if told.state is not None:
            notes += caveats(told.state, token.decided_at_ms)
        explained = self._explained(told, request, token.decided_at_ms, notes)
        matches = told.gives(token)
        given = replace(explained.given, decision_id=decision_id if matches else explained.given.decision_id, cursor=token.cursor)
        return replace(explained, given=given)

    def _opened(self, request: BannerRequest, decision_id: str) -> tuple[DecisionToken, Cursor]:
        try:
            token = open_decision_id(self._key, decision_id)
            cursor = decode_cursor(token.cursor)
        except (InvalidDecisionId, InvalidCursor) as problem:
            raise BadUserInput(f"decisionId: {problem}", field="decisionId") from problem
        if token.placement != request.placements[0]:
            raise BadUserInput(f"decisionId is a decision for the placement {token.placement}", field="placement")
        if token.visitor_hash != visitor_hash(self._key, request.visitor_id):
            whose = "was given to nobody in particular: leave userId out" if not token.visitor_hash else "was given to another visitor"
            whose = whose if request.visitor_id is not None else "holds only a hash of its visitor: name the visitor by userId"
            raise BadUserInput(f"decisionId {whose}", field="userId")
        if token.preview:
            raise BadUserInput("decisionId was given for a preview, which shows what no rule decided", field="decisionId")
        return token, cursor

    def _ways(
        self, ruleset: Ruleset, trends: Trends, request: BannerRequest, held: StoredStates, token: DecisionToken, cursor: Cursor
    ) -> list[CandidateExplanation]:
        """The ways in which the decision may have come about, the likeliest first."""
        states: list[tuple[State | None, str | None]]
        if request.visitor_id is None:
            states = [(None, None)]
        elif cursor.positions == Positions():
            states = [(None, _why_unknown(held, token.decided_at_ms))]
        else:
            states = [
                (_seen(held, cursor, token, token.decided_at_ms), None),
                (_seen(held, cursor, token, None), "it was decided before the latest answer on consent took effect"),
            ]
        ways = []
        for state, note in states:
            ways.append(replace(self._told(ruleset, trends, request, state, token.decided_at_ms), note=note))
            if token.campaign_id is not None:
                told = self._told(ruleset, trends, request, state, token.decided_at_ms, frozenset({token.campaign_id}))
                ways.append(replace(told, note="the page showed this campaign already, so its caps did not count"))
        return ways

    def _told(
        self,
        ruleset: Ruleset,
        trends: Trends,
        request: BannerRequest,
        state: State | None,
        now_ms: int,
        shown: frozenset[str] = frozenset(),
    ) -> CandidateExplanation:
        context = None if state is None else view(state)
        inputs = Inputs(
            context=context,
            page=request.page,
            now_ms=now_ms,
            visitor_id=request.visitor_id,
            trends=trends,
            shown=shown,
            consent_default=self._consent_default,
        )
        return CandidateExplanation(explain_decision(ruleset, request.placements[0], inputs), state, context)

    def _explained(self, told: CandidateExplanation, request: BannerRequest, decided_at_ms: int, notes: list[str]) -> DecisionExplanation:
        decision = told.story.decision
        cursor = cursor_of_context(told.context, decided_at_ms).encode()
        token = token_of(decision, cursor, decided_at_ms, visitor_hash(self._key, request.visitor_id))
        given = IssuedDecision(sign(self._key, token), decision, cursor, True, decided_at_ms)
        evidence = [] if told.state is None else evidence_of(told.state, told.story.fields, told.story.campaign_ids)
        return DecisionExplanation(given, told.context or {}, told.story.steps, evidence, notes)

    async def _snapshot(self, ruleset: Ruleset, number: int, notes: list[str]) -> Trends:
        """The trends of a number; what is no longer kept is noted, where a decision can depend on it."""
        if not ruleset.uses_trends:
            # Nothing of it is seen, so it need not be read; the number stays part of the decision.
            return replace(NO_TRENDS, snapshot=number)
        found = await self._trends.snapshot(number)
        if found is None:
            notes.append(f"the trends snapshot {number} is no longer kept: this is decided without trends")
            return replace(NO_TRENDS, snapshot=number)
        if not found.is_complete:
            notes.append(f"what was bought together at the trends snapshot {number} is no longer kept")
        return found

    async def _held(self, visitor_id: str | None) -> StoredStates:
        if visitor_id is None:
            return StoredStates(None)
        return await self._states.read(visitor_id)


def _as_of(held: StoredStates, keep: ContributionFilter) -> State | None:
    """The state that answered for a visitor id, with what `keep` keeps."""
    return as_of(held.own, held.owner, keep)


def _seen(held: StoredStates, cursor: Cursor, token: DecisionToken, consent_by_ms: int | None) -> State:
    """The state that the decision of a token saw."""
    state = _as_of(held, covered_by(cursor.positions.offsets, consent_by_ms))
    if state is None:
        raise NotFound("nothing is held of this visitor any more: the context expired")
    if state.positions.log_epoch != cursor.positions.log_epoch:
        raise NotFound("the topics were made anew since that decision: its positions name other events now")
    _check_reach(state, token.decided_at_ms)
    return replace(state, positions=cursor.positions)


def _why_unknown(held: StoredStates, decided_at_ms: int) -> str | None:
    """What to say of a decision that knew nothing of its visitor."""
    then = _as_of(held, received_by(decided_at_ms))
    if then is None or not then.parts:
        return None
    return (
        "nothing was known of the visitor: what had been received was not processed yet, or the context store could not be read "
        "(then the reason was UNAVAILABLE)"
    )


def _check_reach(state: State, at_ms: int) -> None:
    why = why_unreachable(state, at_ms)
    if why is not None:
        raise NotFound(f"this moment cannot be explained: {why}")


def _unavailable(told: CandidateExplanation, ruleset: Ruleset, token: DecisionToken) -> CandidateExplanation | None:
    decision = unavailable_decision(ruleset, token.placement)
    found = replace(told, story=replace(told.story, decision=decision, steps=(), fields=(), campaign_ids=()))
    return found if found.gives(token) else None


def _difference(token: DecisionToken, request: BannerRequest) -> str:
    given = f"campaign {token.campaign_id}" if token.campaign_id else "the fallback"
    given += f", variant {token.variant}" if token.variant else ""
    given += f", banner {token.banner_id}" if token.banner_id else ", no banner"
    cause = "a decision id does not hold the page: give the page it was decided for" if not request.page else "was it another page?"
    return f"this is not what was given, which was {given}; {cause}"
