"""The command `processors explain`: why a visitor saw a banner at a past moment, from the log.

For moments that the state no longer reaches back to. The states are rebuilt from the log as if nothing had ever been sealed, and
explained with the same model as the API's `explain(at:)`, by the ruleset that was in force at that time.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pyspark.sql import SparkSession
from pyspark.sql import functions as sf

from gateway.model.conditions.page_input import InvalidPage, page_of
from gateway.model.decisions.decide import Inputs
from gateway.model.decisions.explain import explain_decision
from gateway.model.events.contribution import LoggedEvent
from gateway.model.events.event_kinds import EventType
from gateway.model.events.topics import Topic
from gateway.model.rulesets.versions import PublishedVersion
from gateway.model.times import InvalidTime, parse_time_ms
from gateway.model.visitors.as_of import answering_state, received_by, restrict, why_unreachable
from gateway.model.visitors.context_view import view
from gateway.model.visitors.erasure import Erasures
from gateway.model.visitors.evidence import evidence_of
from gateway.model.visitors.rebuild import RebuiltStates, rebuild_states
from gateway.reports.explanation import explanation_json, explanation_text
from gateway.settings import InvalidSettings, Settings, load_settings
from processors.jobs.batch_job import run_batch
from processors.jobs.event_log import events_in, read_log
from processors.jobs.log_metadata import LogStart, all_erasures, log_starts, published_rulesets, reach_problem, ruleset_at

NO_TRENDS_NOTE: Final = "the log has no trends: this decision is made without them"
_LINE_FORMAT: Final = '{"visitor": "…", "placement": "…", "at": "2026-01-31T12:00:00Z", "page": {"type": "home"}}'
_LOG = logging.getLogger("processors")


class InvalidMoment(Exception):
    """Arguments, or a line of the file of moments, that do not name a moment."""


class CannotExplain(Exception):
    """A moment cannot be explained; the text is the reason."""


@dataclass(frozen=True, slots=True)
class PastMoment:
    """A moment to explain: whose banner, at which placement, when, and on which page."""

    visitor_id: str
    placement: str
    at_ms: int
    page: dict[str, str]


@dataclass(frozen=True, slots=True)
class _LogContents:
    """What the log has: rulesets, where its partitions start, and the states of the visitors to explain."""

    versions: Sequence[PublishedVersion]
    starts: Sequence[LogStart]
    states: dict[str, RebuiltStates]


def explain_past_moments(arguments: argparse.Namespace) -> int:
    """Explain moments; returns the exit code: 1 if one cannot be explained, 2 for wrong arguments. Call it in the main thread."""
    try:
        moments = moments_of(arguments)
        settings = load_settings()
    except (InvalidMoment, InvalidSettings, OSError, UnicodeDecodeError) as problem:
        print(f"processors: {problem}", file=sys.stderr)
        return 2
    return run_batch("explain", arguments, lambda spark: _print_explanations(spark, arguments, settings, moments))


def moments_of(arguments: argparse.Namespace) -> list[PastMoment]:
    """The moments to explain. Raises InvalidMoment or OSError."""
    if arguments.pairs is None:
        if not (arguments.visitor and arguments.placement and arguments.at):
            raise InvalidMoment("use --visitor, --placement and --at, or --pairs with a file of them")
        return [_moment(arguments.visitor, arguments.placement, arguments.at, arguments.page)]
    text = sys.stdin.read() if str(arguments.pairs) == "-" else Path(arguments.pairs).read_text(encoding="utf-8")
    moments = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                fields = json.loads(line)
                page = [json.dumps(fields["page"])] if fields.get("page") else []
                moments.append(_moment(fields["visitor"], fields["placement"], fields["at"], page))
            except (ValueError, KeyError, TypeError, AttributeError, InvalidMoment) as problem:
                raise InvalidMoment(f"{arguments.pairs}:{number}: must have the form {_LINE_FORMAT}: {problem}") from problem
    return moments


def _moment(visitor_id: str, placement: str, at: str, page: Sequence[str]) -> PastMoment:
    try:
        return PastMoment(visitor_id, placement, parse_time_ms(at, "at"), page_of(page))
    except (InvalidTime, InvalidPage) as problem:
        raise InvalidMoment(str(problem)) from problem


def _print_explanations(spark: SparkSession, arguments: argparse.Namespace, settings: Settings, past_moments: Sequence[PastMoment]) -> int:
    bootstrap = arguments.bootstrap
    erasures = all_erasures(spark, bootstrap, settings.signing_key)
    states = _states(spark, bootstrap, {moment.visitor_id for moment in past_moments}, erasures, settings.log_epoch)
    log = _LogContents(published_rulesets(spark, bootstrap), log_starts(bootstrap), states)
    failed = 0
    for number, moment in enumerate(past_moments):
        try:
            explanation = explain_moment(moment, log, settings)
        except CannotExplain as problem:
            failed += 1
            explanation = {"error": str(problem)}
        if arguments.json:
            print(json.dumps(explanation, ensure_ascii=False))
        elif "error" in explanation:
            print(f"processors: cannot explain this moment of {moment.visitor_id}: {explanation['error']}", file=sys.stderr)
        else:
            print(("\n" if number else "") + explanation_text(explanation, moment.visitor_id))
    return 1 if failed else 0


def explain_moment(moment: PastMoment, log: _LogContents, settings: Settings) -> dict[str, Any]:
    """The explanation of a moment, in the shape of the API's. Raises CannotExplain."""
    problem, reach_notes = reach_problem(log.starts, moment.at_ms)
    if problem is not None:
        raise CannotExplain(problem)
    states = log.states[moment.visitor_id]
    keep = received_by(moment.at_ms)
    whole = answering_state(states.own, states.owner, keep)
    if whole is not None and (problem := why_unreachable(whole, moment.at_ms)) is not None:
        raise CannotExplain(problem)
    state = None if whole is None else restrict(whole, keep)
    if state is not None and not state.parts and state.cutoff_ms is None:
        state = None
    ruleset, ruleset_notes = ruleset_at(log.versions, moment.at_ms)
    notes = [*ruleset_notes, *([NO_TRENDS_NOTE] if ruleset.uses_trends else []), *reach_notes]
    context = None if state is None else view(state)
    inputs = Inputs(context, moment.page, moment.at_ms, moment.visitor_id, consent_default=settings.consent_default)
    story = explain_decision(ruleset, moment.placement, inputs)
    evidence = [] if state is None else evidence_of(state, story.fields, story.campaign_ids)
    return explanation_json(story, context, evidence, notes, moment.at_ms)


def _states(spark: SparkSession, bootstrap: str, visitor_ids: set[str], erasures: Erasures, log_epoch: int) -> dict[str, RebuiltStates]:
    """The states of some visitors, each with the ids that joined it and the visitor that it joined."""
    joins = _joins(spark, bootstrap, visitor_ids)
    related = {visitor_id: _related(visitor_id, joins) for visitor_id in visitor_ids}
    keys = sorted({name for names in related.values() for name in names})
    _LOG.info("reading the events of %d visitor ids", len(keys))
    log = read_log(spark, bootstrap).where(sf.col("key").isin([bytearray(key.encode()) for key in keys]))
    by_id: dict[str, list[LoggedEvent]] = {}
    for logged in events_in(log).collect():
        by_id.setdefault(logged.event.visitor_id, []).append(logged)
    return {
        visitor_id: rebuild_states(visitor_id, [logged for name in names for logged in by_id.get(name, ())], erasures.cutoff_of, log_epoch)
        for visitor_id, names in related.items()
    }


def _joins(spark: SparkSession, bootstrap: str, visitor_ids: set[str]) -> set[tuple[str, str]]:
    """(anonymous id, user id) of every identify of these visitors, or of the visitors that they joined."""
    actions = read_log(spark, bootstrap, (Topic.USER_ACTIONS.value,))
    # Most events are not an identify: they are filtered out before they reach Python.
    likely = actions.where(sf.col("value").cast("string").contains(f'"{EventType.IDENTIFY.value}"'))
    pairs = (
        events_in(likely)
        .map(lambda logged: logged.event)
        .filter(lambda event: event.type is EventType.IDENTIFY and event.payload["user_id"] != event.visitor_id)
        .map(lambda event: (event.visitor_id, str(event.payload["user_id"])))
        .distinct()
        .cache()
    )
    users = visitor_ids | {user_id for _, user_id in pairs.filter(lambda pair: pair[0] in visitor_ids).collect()}
    return set(pairs.filter(lambda pair: pair[1] in users).collect())


def _related(visitor_id: str, joins: Iterable[tuple[str, str]]) -> set[str]:
    users = {visitor_id, *(user_id for anonymous_id, user_id in joins if anonymous_id == visitor_id)}
    return users | {anonymous_id for anonymous_id, user_id in joins if user_id in users}
