"""The command `processors explain`: why a visitor saw what was seen at a past moment, told from the log.

For moments that the state no longer reaches back to. The states are made from the log as if nothing had ever been sealed,
and explained by the same model as `explain(at:)` of the API, by the ruleset that was in force then.
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
from gateway.model.events.event import EventType
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
from processors.jobs.log_metadata import Start, kept_erasures, log_starts, published_rulesets, reach, ruleset_at

NO_TRENDS_NOTE: Final = "the log holds no trends: this is decided without them"
_FORM: Final = '{"visitor": "…", "placement": "…", "at": "2026-01-31T12:00:00Z", "page": {"type": "home"}}'
_LOG = logging.getLogger("processors")


class BadQuestion(Exception):
    """Arguments, or a line of the file of questions, that cannot be used."""


class CannotExplain(Exception):
    """What a moment cannot be explained for, in words."""


@dataclass(frozen=True, slots=True)
class Question:
    """Whose banner at which placement is to be explained, as of when."""

    visitor_id: str
    placement: str
    at_ms: int
    page: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the log holds."""

    versions: Sequence[PublishedVersion]
    starts: Sequence[Start]
    states: dict[str, RebuiltStates]


def run(arguments: argparse.Namespace) -> int:
    """Explain; returns the exit code: 1 where one of the moments cannot be explained, 2 for wrong arguments."""
    try:
        questions = questions_of(arguments)
        settings = load_settings()
    except (BadQuestion, InvalidSettings, OSError, UnicodeDecodeError) as problem:
        print(f"processors: {problem}", file=sys.stderr)
        return 2
    return run_batch("explain", arguments, lambda spark: _job(spark, arguments, settings, questions))


def questions_of(arguments: argparse.Namespace) -> list[Question]:
    """What is asked. Raises BadQuestion or OSError."""
    if arguments.pairs is None:
        if not (arguments.visitor and arguments.placement and arguments.at):
            raise BadQuestion("name --visitor, --placement and --at, or a file of them by --pairs")
        return [_question(arguments.visitor, arguments.placement, arguments.at, arguments.page)]
    text = sys.stdin.read() if str(arguments.pairs) == "-" else Path(arguments.pairs).read_text(encoding="utf-8")
    questions = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                found = json.loads(line)
                page = [json.dumps(found["page"])] if found.get("page") else []
                questions.append(_question(found["visitor"], found["placement"], found["at"], page))
            except (ValueError, KeyError, TypeError, AttributeError, BadQuestion) as problem:
                raise BadQuestion(f"{arguments.pairs}:{number}: not of the form {_FORM}: {problem}") from problem
    return questions


def _question(visitor_id: str, placement: str, at: str, page: Sequence[str]) -> Question:
    try:
        return Question(visitor_id, placement, parse_time_ms(at, "at"), page_of(page))
    except (InvalidTime, InvalidPage) as problem:
        raise BadQuestion(str(problem)) from problem


def _job(spark: SparkSession, arguments: argparse.Namespace, settings: Settings, questions: Sequence[Question]) -> int:
    bootstrap = arguments.bootstrap
    erasures = kept_erasures(spark, bootstrap, settings.signing_key)
    states = _states(spark, bootstrap, {one.visitor_id for one in questions}, erasures, settings.log_epoch)
    kept = _Kept(published_rulesets(spark, bootstrap), log_starts(bootstrap), states)
    failed = 0
    for number, question in enumerate(questions):
        try:
            found = explained(question, kept, settings)
        except CannotExplain as problem:
            failed += 1
            found = {"error": str(problem)}
        if arguments.json:
            print(json.dumps(found, ensure_ascii=False))
        elif "error" in found:
            print(f"processors: this moment of {question.visitor_id} cannot be explained: {found['error']}", file=sys.stderr)
        else:
            print(("\n" if number else "") + explanation_text(found, question.visitor_id))
    return 1 if failed else 0


def explained(question: Question, kept: _Kept, settings: Settings) -> dict[str, Any]:
    """One explanation, in the shape of the API's. Raises CannotExplain."""
    why, notes = reach(kept.starts, question.at_ms)
    if why is not None:
        raise CannotExplain(why)
    states = kept.states[question.visitor_id]
    keep = received_by(question.at_ms)
    whole = answering_state(states.own, states.owner, keep)
    if whole is not None and (why := why_unreachable(whole, question.at_ms)) is not None:
        raise CannotExplain(why)
    state = None if whole is None else restrict(whole, keep)
    if state is not None and not state.parts and state.cutoff_ms is None:
        state = None
    ruleset, found = ruleset_at(kept.versions, question.at_ms)
    notes = [*found, *([NO_TRENDS_NOTE] if ruleset.uses_trends else []), *notes]
    context = None if state is None else view(state)
    inputs = Inputs(context, question.page, question.at_ms, question.visitor_id, consent_default=settings.consent_default)
    story = explain_decision(ruleset, question.placement, inputs)
    evidence = [] if state is None else evidence_of(state, story.fields, story.campaign_ids)
    return explanation_json(story, context, evidence, notes, question.at_ms)


def _states(spark: SparkSession, bootstrap: str, visitor_ids: set[str], erasures: Erasures, log_epoch: int) -> dict[str, RebuiltStates]:
    """The states of some visitors, each with what joined it and whom it joined."""
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
    """(anonymous id, user id) of every identify that concerns these visitors, or whom they joined."""
    actions = read_log(spark, bootstrap, (Topic.USER_ACTIONS.value,))
    # Most events are no identify: told apart before they come to Python.
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
