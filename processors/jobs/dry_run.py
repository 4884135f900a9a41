"""The command `processors dry-run`: what a ruleset would have changed in the past, from the log.

log ─▶ events by visitor id ─▶ by merged visitor ─▶ moments, each with its context ─▶ both rulesets ─▶ reports, merged
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Final

from pyspark.sql import SparkSession

from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.conditions.page_input import InvalidPage, page_of
from gateway.model.decisions.decide import Inputs
from gateway.model.decisions.decision_id import visitor_hash
from gateway.model.decisions.dry_run import DryRunReport, compare_rulesets, placements_of
from gateway.model.events.contribution import LoggedEvent
from gateway.model.events.event_kinds import EventType
from gateway.model.rulesets.ruleset import InvalidRuleset, Ruleset
from gateway.model.rulesets.versions import CURRENT_FORMAT
from gateway.model.times import InvalidTime, parse_time_ms
from gateway.model.visitors.erasure import Erasures
from gateway.model.visitors.page_moments import LOOKING, PageMoment, Window, owner_and_events, page_moments
from gateway.reports.dry_run import dry_run_text
from gateway.settings import InvalidSettings, Settings, load_settings
from processors.jobs.batch_job import run_batch
from processors.jobs.event_log import events_in, read_log
from processors.jobs.log_metadata import all_erasures, published_rulesets, ruleset_at

TASKS_PER_CORE: Final = 2
MOMENTS: Final = {"both": LOOKING, "pages": (EventType.PAGE_VIEWED,), "banners": (EventType.BANNER_VIEWED,)}
_LOG = logging.getLogger("processors")


@dataclass(frozen=True, slots=True)
class DryRunPlan:
    """What a Spark task needs. Rulesets as YAML: compiled conditions cannot be pickled."""

    old_yaml: str
    old_format: int
    new_yaml: str
    placements: tuple[str, ...]
    window: Window
    erasures: Erasures
    signing_key: bytes
    consent_default: bool
    show_ids: bool


def dry_run_over_log(arguments: argparse.Namespace) -> int:
    """Compare two rulesets; returns the exit code: 1 if a ruleset has mistakes, 2 for wrong arguments. Call it in the main thread."""
    try:
        settings = load_settings()
        window = history_window(arguments)
        new = _load(arguments.file)
        old = None if arguments.against is None else _load(arguments.against)
    except _InvalidRulesetFile as problem:
        print(problem, file=sys.stderr)
        return 1
    except (InvalidSettings, InvalidTime, InvalidPage, OSError, UnicodeDecodeError) as problem:
        print(f"processors: {problem}", file=sys.stderr)
        return 2
    return run_batch("dry-run", arguments, lambda spark: _print_report(spark, arguments, settings, window, new, old))


def history_window(arguments: argparse.Namespace) -> Window:
    """The moments that count. Raises InvalidTime or InvalidPage."""
    return Window(
        from_ms=0 if arguments.from_time is None else parse_time_ms(arguments.from_time, "--from"),
        to_ms=None if arguments.to_time is None else parse_time_ms(arguments.to_time, "--to"),
        types=MOMENTS[arguments.moments],
        page=page_of(arguments.page),
    )


def _print_report(
    spark: SparkSession, arguments: argparse.Namespace, settings: Settings, window: Window, new: Ruleset, old: Ruleset | None
) -> int:
    old_name = str(arguments.against)
    if old is None:
        old, _ = ruleset_at(published_rulesets(spark, arguments.bootstrap))
        old_name = f"version {old.version} in force"
    plan = DryRunPlan(
        old_yaml=old.yaml,
        old_format=old.text_format,
        new_yaml=new.yaml,
        placements=tuple(arguments.placement or placements_of(old, new)),
        window=window,
        erasures=all_erasures(spark, arguments.bootstrap, settings.signing_key),
        signing_key=settings.signing_key,
        consent_default=settings.consent_default,
        show_ids=arguments.show_ids,
    )
    _LOG.info("reading the log")
    report = report_of(spark, arguments.bootstrap, plan).as_json()
    notes = ["caps count the banners that visitors really saw, with the rulesets of that time"]
    if new.uses_trends or old.uses_trends:
        notes.append("the log has no trends: these decisions are made without them")
    if arguments.json:
        print(json.dumps({"notes": notes, **report}, indent=2, ensure_ascii=False))
    else:
        print(f"{arguments.file} compared with {old_name}, over the log")
        print(dry_run_text(report, notes))
    return 0


def report_of(spark: SparkSession, bootstrap: str, plan: DryRunPlan) -> DryRunReport:
    """The report on the whole log."""
    tasks = TASKS_PER_CORE * spark.sparkContext.defaultParallelism
    by_visitor = events_in(read_log(spark, bootstrap)).keyBy(_visitor_of).groupByKey(tasks)
    by_owner = by_visitor.map(lambda pair: owner_and_events(pair[0], pair[1], plan.erasures.cutoff_of)).groupByKey(tasks)
    reports = by_owner.mapPartitions(lambda visitors: _reports(visitors, plan))
    return reports.fold(DryRunReport(), lambda one, other: one.merge(other))


def _visitor_of(logged: LoggedEvent) -> str:
    return logged.event.visitor_id


def _reports(visitors: Iterable[tuple[str, Iterable[list[LoggedEvent]]]], plan: DryRunPlan) -> Iterator[DryRunReport]:
    """One report on the visitors in a partition."""
    old, new = _compiled(plan.old_yaml, plan.old_format), _compiled(plan.new_yaml, CURRENT_FORMAT)
    report = DryRunReport()
    for owner, lists in visitors:
        comparisons = [
            compare_rulesets(old, new, placement, _inputs(moment, plan), moment.at_ms)
            for moment in page_moments(owner, chain.from_iterable(lists), plan.window, plan.erasures.cutoff_of(owner))
            for placement in plan.placements
            if moment.placement in (None, placement)
        ]
        if comparisons:
            report.add(owner if plan.show_ids else visitor_hash(plan.signing_key, owner).hex(), comparisons)
    yield report


def _inputs(moment: PageMoment, plan: DryRunPlan) -> Inputs:
    return Inputs(moment.context, moment.page, moment.at_ms, moment.visitor_id, consent_default=plan.consent_default)


@lru_cache(maxsize=4)
def _compiled(yaml: str, text_format: int) -> Ruleset:
    return load_ruleset(yaml, 1, text_format)


class _InvalidRulesetFile(Exception):
    """A file whose ruleset has mistakes: the text is one line for each."""


def _load(file: Path) -> Ruleset:
    try:
        return load_ruleset(file.read_text(encoding="utf-8"), 1)
    except InvalidRuleset as problem:
        raise _InvalidRulesetFile(problem.text(str(file))) from problem
