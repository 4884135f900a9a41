"""Explanations: why a visitor sees a banner now, why a visitor saw it at a past time, or why a given decision was made.

A decision id holds the placement, the ruleset, the time, how much of the event log was included, and what was shown. It holds
only a hash of the visitor, so the caller names the visitor and the hash is checked. It holds neither the page nor what the
page showed before. So the caller passes the page again, and the service tries the candidates: the ways in which the decision
can have come about. The first candidate that results in what was shown is the explanation.
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
from gateway.services.ports import States
from gateway.services.rulesets import LoadedRuleset
from gateway.settings import Settings
from gateway.store.states import StoredStates


class RulesetSource(Protocol):
    """Where the versions of the ruleset come from (`gateway.services.rulesets.RulesetService`)."""

    @property
    def current(self) -> Ruleset:
        """The ruleset in force."""

    async def version(self, version: int | None) -> LoadedRuleset:
        """A version; None: the one in force. Raises `NotFound` or `Unavailable`."""

    async def at(self, at_ms: int) -> LoadedRuleset:
        """The version in force at a time, or the first version if none was yet. Raises `NotFound` or `Unavailable`."""


class TrendsSource(Protocol):
    """Where the trends come from (`gateway.services.trends.TrendsService`)."""

    @property
    def current(self) -> Trends:
        """The current snapshot."""

    async def snapshot(self, number: int) -> Trends | None:
        """The snapshot with that number; None: it is no longer kept. Raises `Unavailable`."""

    async def number_at(self, at_ms: int) -> int:
        """The number of the snapshot that was current at a time; 0: none is known. Raises `Unavailable`."""


@dataclass(frozen=True, slots=True)
class DecisionExplanation:
    """A decision, the context it used, the outcome of each campaign, and why the explanation may be inexact (`notes`)."""

    issued: IssuedDecision
    context: Mapping[str, Any]
    steps: Sequence[ExplanationStep]
    evidence: Sequence[EvidenceItem]
    notes: Sequence[str]


@dataclass(frozen=True, slots=True)
class CandidateExplanation:
    """One way in which a decision can have come about. `note`: what this way assumes."""

    story: ExplainedDecision
    state: State | None
    context: Mapping[str, Any] | None
    note: str | None = None

    def matches(self, token: DecisionToken) -> bool:
        """Whether it results in what the decision showed."""
        return self.story.decision.content == (token.campaign_id, token.variant, token.banner_id)


class ExplainService:
    """Explains decisions. One instance per process."""

    def __init__(self, settings: Settings, rulesets: RulesetSource, trends: TrendsSource, states: States, now_ms: NowMs) -> None:
        self._key = settings.signing_key
        self._consent_default = settings.consent_default
        self._rulesets = rulesets
        self._trends = trends
        self._states = states
        self._now_ms = now_ms

    async def explain(self, request: BannerRequest, decision_id: str | None, at_ms: int | None) -> DecisionExplanation:
        """The explanation for the first placement of `request`. Raises `BadUserInput`, `NotFound` or `Unavailable`."""
        if decision_id is not None:
            if at_ms is not None:
                raise BadUserInput("a decision id contains its time: omit at", field="at")
            return await self._explain_issued(request, decision_id)
        if at_ms is None:
            return await self._explain_now(request)
        if at_ms > self._now_ms():
            raise BadUserInput("at must not be in the future", field="at")
        return await self._explain_past(request, at_ms)

    async def _explain_now(self, request: BannerRequest) -> DecisionExplanation:
        stored = await self._read_state(request.visitor_id)
        state = stored.own if stored.own is None or stored.own.alias_of is None else stored.owner
        candidate = self._candidate(self._rulesets.current, self._trends.current, request, state, self._now_ms())
        return self._explanation(candidate, request, self._now_ms(), [])

    async def _explain_past(self, request: BannerRequest, at_ms: int) -> DecisionExplanation:
        stored = await self._read_state(request.visitor_id)
        loaded, notes = await self._rulesets.at(at_ms), list[str]()
        ruleset = loaded.ruleset
        if loaded.published_at_ms is not None and loaded.published_at_ms > at_ms:
            notes.append(f"no version of the ruleset was published at that time; this is what version {ruleset.version} decides")
        number = await self._trends.number_at(at_ms) if ruleset.uses_trends else 0
        if number == 0 and ruleset.uses_trends:
            notes.append("no trends snapshot from that time is kept: this was decided without trends")
        trends = await self._read_trends(ruleset, number, notes)
        state = _state_as_of(stored, received_by(at_ms))
        if stored.own is None and request.visitor_id is not None:
            notes.append("nothing is stored about this visitor; if a context expired, read the log instead: processors explain")
        if state is not None:
            # Everything stored counts here: what was withdrawn or erased later must not be visible at an earlier time either.
            _check_reach(answering_state(stored.own, stored.owner, received_by(at_ms)) or state, at_ms)
            notes += caveats(state, at_ms)
            if not state.parts and state.cutoff_ms is None:
                state = None
        return self._explanation(self._candidate(ruleset, trends, request, state, at_ms), request, at_ms, notes)

    async def _explain_issued(self, request: BannerRequest, decision_id: str) -> DecisionExplanation:
        token, cursor = self._open_token(request, decision_id)
        ruleset = (await self._rulesets.version(token.ruleset_version)).ruleset
        stored = await self._read_state(request.visitor_id)
        notes: list[str] = []
        trends = await self._read_trends(ruleset, token.trends_snapshot, notes)
        candidates = self._candidates(ruleset, trends, request, stored, token, cursor)
        match = next((candidate for candidate in candidates if candidate.matches(token)), None)
        if match is not None:
            notes += [] if match.note is None else [match.note]
        elif (fallback := _without_store(candidates[0], ruleset, token)).matches(token):
            match = fallback
            notes.append("it was decided while the context store was unavailable: the fallback, without a language")
        else:
            notes.append(_difference(token, request))
        candidate = match or candidates[0]
        if candidate.state is not None:
            notes += caveats(candidate.state, token.decided_at_ms)
        explanation = self._explanation(candidate, request, token.decided_at_ms, notes)
        issued_id = decision_id if match is not None else explanation.issued.decision_id
        return replace(explanation, issued=replace(explanation.issued, decision_id=issued_id, cursor=token.cursor))

    def _open_token(self, request: BannerRequest, decision_id: str) -> tuple[DecisionToken, Cursor]:
        try:
            token = open_decision_id(self._key, decision_id)
            cursor = decode_cursor(token.cursor)
        except (InvalidDecisionId, InvalidCursor) as problem:
            raise BadUserInput(f"decisionId: {problem}", field="decisionId") from problem
        if token.placement != request.placements[0]:
            raise BadUserInput(f"decisionId is a decision for the placement {token.placement}", field="placement")
        if token.visitor_hash != visitor_hash(self._key, request.visitor_id):
            raise BadUserInput(f"decisionId {_visitor_problem(token, request)}", field="userId")
        if token.preview:
            raise BadUserInput("decisionId belongs to a preview, which was not decided by the rules", field="decisionId")
        return token, cursor

    def _candidates(
        self, ruleset: Ruleset, trends: Trends, request: BannerRequest, stored: StoredStates, token: DecisionToken, cursor: Cursor
    ) -> list[CandidateExplanation]:
        """The ways in which the decision can have come about, the most likely first."""
        states: list[tuple[State | None, str | None]]
        if request.visitor_id is None:
            states = [(None, None)]
        elif cursor.positions == Positions():
            states = [(None, _unprocessed_note(stored, token.decided_at_ms))]
        else:
            states = [
                (_state_covered(stored, cursor, token, token.decided_at_ms), None),
                (_state_covered(stored, cursor, token, None), "it was decided before the latest answer about consent took effect"),
            ]
        candidates = []
        for state, note in states:
            candidates.append(replace(self._candidate(ruleset, trends, request, state, token.decided_at_ms), note=note))
            if token.campaign_id is not None:
                shown = frozenset({token.campaign_id})
                candidate = self._candidate(ruleset, trends, request, state, token.decided_at_ms, shown)
                candidates.append(replace(candidate, note="the page already showed this campaign, so its caps did not apply"))
        return candidates

    def _candidate(
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

    def _explanation(
        self, candidate: CandidateExplanation, request: BannerRequest, decided_at_ms: int, notes: list[str]
    ) -> DecisionExplanation:
        story = candidate.story
        cursor = cursor_of_context(candidate.context, decided_at_ms).encode()
        token = token_of(story.decision, cursor, decided_at_ms, visitor_hash(self._key, request.visitor_id))
        issued = IssuedDecision(sign(self._key, token), story.decision, cursor, True, decided_at_ms)
        evidence = [] if candidate.state is None else evidence_of(candidate.state, story.fields, story.campaign_ids)
        return DecisionExplanation(issued, candidate.context or {}, story.steps, evidence, notes)

    async def _read_trends(self, ruleset: Ruleset, number: int, notes: list[str]) -> Trends:
        """The trends snapshot with that number. If it is no longer kept and a decision can depend on it, a note says so."""
        if not ruleset.uses_trends:
            # Nothing reads it, so it need not be loaded; the number stays part of the decision.
            return replace(NO_TRENDS, snapshot=number)
        trends = await self._trends.snapshot(number)
        if trends is None:
            notes.append(f"the trends snapshot {number} is no longer kept: this was decided without trends")
            return replace(NO_TRENDS, snapshot=number)
        if not trends.is_complete:
            notes.append(f"the bought-together list of the trends snapshot {number} is no longer kept")
        return trends

    async def _read_state(self, visitor_id: str | None) -> StoredStates:
        return StoredStates(None) if visitor_id is None else await self._states.read(visitor_id)


def _state_as_of(stored: StoredStates, keep: ContributionFilter) -> State | None:
    """The state that answered for a visitor id, reduced to what `keep` keeps."""
    return as_of(stored.own, stored.owner, keep)


def _state_covered(stored: StoredStates, cursor: Cursor, token: DecisionToken, consent_by_ms: int | None) -> State:
    """The state that the decision used: what its cursor covers. Raises `NotFound` if it cannot be restored."""
    state = _state_as_of(stored, covered_by(cursor.positions.offsets, consent_by_ms))
    if state is None:
        raise NotFound("nothing is stored about this visitor any more: the context expired")
    if state.positions.log_epoch != cursor.positions.log_epoch:
        raise NotFound("the topics were re-created after that decision: its positions now refer to other events")
    _check_reach(state, token.decided_at_ms)
    return replace(state, positions=cursor.positions)


def _unprocessed_note(stored: StoredStates, decided_at_ms: int) -> str | None:
    """What to note about a decision that knew nothing about its visitor, although events had been received."""
    state = _state_as_of(stored, received_by(decided_at_ms))
    if state is None or not state.parts:
        return None
    return (
        "nothing was known about the visitor: the events received by then were not processed yet, or the context store was "
        "unavailable (then the reason was UNAVAILABLE)"
    )


def _visitor_problem(token: DecisionToken, request: BannerRequest) -> str:
    if request.visitor_id is None:
        return "contains only a hash of its visitor: name the visitor by userId"
    return "belongs to another visitor" if token.visitor_hash else "was made for no visitor: omit userId"


def _check_reach(state: State, at_ms: int) -> None:
    reason = why_unreachable(state, at_ms)
    if reason is not None:
        raise NotFound(f"this time cannot be explained: {reason}")


def _without_store(candidate: CandidateExplanation, ruleset: Ruleset, token: DecisionToken) -> CandidateExplanation:
    """The decision that is made while the context store is unavailable."""
    decision = unavailable_decision(ruleset, token.placement)
    return replace(candidate, story=replace(candidate.story, decision=decision, steps=(), fields=(), campaign_ids=()))


def _difference(token: DecisionToken, request: BannerRequest) -> str:
    shown = f"campaign {token.campaign_id}" if token.campaign_id else "the fallback"
    shown += f", variant {token.variant}" if token.variant else ""
    shown += f", banner {token.banner_id}" if token.banner_id else ", no banner"
    cause = "pass the page that it was decided for; a decision id does not contain it" if not request.page else "was it another page?"
    return f"this is not the decision that was made, which was {shown}; {cause}"
