"""`gateway rules dry-run`: what a ruleset would change for the visitors whose contexts are held now.

Reads the store only, in small steps. Exit codes as those of the other rules commands.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
from dataclasses import dataclass
from typing import Any, Final

from pydantic import SecretStr
from redis.asyncio import Redis
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from gateway.clock import system_now_ms
from gateway.commands.rules import load_file, load_other, says_why
from gateway.model.conditions.page_input import page_of
from gateway.model.decisions.decide import Inputs
from gateway.model.decisions.decision_id import visitor_hash
from gateway.model.decisions.dry_run import Report, compare, placements_of
from gateway.model.rulesets.ruleset import Ruleset
from gateway.model.rulesets.schedule import parse_moment_ms
from gateway.model.trends.snapshot import NO_TRENDS, Trends
from gateway.reports.dry_run import text_of_report
from gateway.settings import Settings, load_settings
from gateway.store.connection import connect
from gateway.store.contexts import AllContexts
from gateway.store.trends import TrendsStore

STORE_TIMEOUT_MS: Final = 10_000
HOME: Final = '{"type": "home"}'


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked of every context."""

    old: Ruleset
    new: Ruleset
    placements: list[str]
    page: dict[str, str]
    now_ms: int
    sample: int
    show_ids: bool


@says_why
def dry_run(options: argparse.Namespace) -> int:
    """Compare a file with the ruleset in force, or another file, over all contexts; print who would see what."""
    new = load_file(options.file)
    old, name = load_other(options.against, options)
    page = page_of(options.page or [HOME]) | ({"locale": options.locale} if options.locale else {})
    now_ms = system_now_ms() if options.at is None else parse_moment_ms(options.at, "--at")
    placements = options.placement or placements_of(old, new)
    report, notes = asyncio.run(_run(_settings(), _Question(old, new, placements, page, now_ms, options.sample, options.show_ids)))
    if options.json:
        print(json.dumps({"notes": notes, **report}, indent=2, ensure_ascii=False))
    else:
        print(f"{options.file} against {name}, for the page {json.dumps(page, ensure_ascii=False)}")
        print(text_of_report(report, notes))
    return 0


def _settings() -> Settings:
    """The settings; without the secret, which only hashes visitors' ids here, with one for this run alone."""
    return load_settings(**({} if os.environ.get("GATEWAY_TOKEN_SECRET") else {"token_secret": SecretStr(secrets.token_hex(32))}))


async def _run(settings: Settings, question: _Question) -> tuple[dict[str, Any], list[str]]:
    redis = connect(settings.redis_url, STORE_TIMEOUT_MS)
    try:
        contexts = AllContexts(redis)
        trends = await _trends(redis, question)
        notes = [] if trends is None else [f"by the trends of now, snapshot {trends.snapshot}"]
        if await contexts.is_in_cluster():
            notes.append("the store is a node of a cluster: only its own visitors are in this report; ask each node, and add up")
        report = Report()
        columns = (TextColumn("reading contexts"), BarColumn(), TextColumn("{task.fields[visitors]} visitors"), TimeElapsedColumn())
        with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
            task = bar.add_task("reading", total=max(1, await contexts.keys()), visitors=0)
            async for keys, batch in contexts.batches():
                if question.sample:
                    batch = batch[: question.sample - report.visitors]
                for context in batch:
                    _add(report, question, settings, trends or NO_TRENDS, context)
                bar.update(task, advance=keys, visitors=report.visitors)
                if question.sample and report.visitors >= question.sample:
                    notes.append(f"a sample: the first {question.sample} visitors that the store gave")
                    break
            bar.update(task, completed=bar.tasks[task].total)
        return report.as_json(), notes
    finally:
        await redis.aclose()


def _add(report: Report, question: _Question, settings: Settings, trends: Trends, context: dict[str, Any]) -> None:
    visitor_id = str(context.get("user_id") or "")
    inputs = Inputs(context, question.page, question.now_ms, visitor_id or None, trends, consent_default=settings.consent_default)
    shown = visitor_id if question.show_ids else visitor_hash(settings.signing_key, visitor_id).hex()
    report.add(shown, [compare(question.old, question.new, placement, inputs) for placement in question.placements])


async def _trends(redis: Redis, question: _Question) -> Trends | None:
    """The current trends, where one of the rulesets looks at them."""
    if not (question.old.uses_trends or question.new.uses_trends):
        return None
    store = TrendsStore(redis)
    return await store.load(await store.current()) or NO_TRENDS
