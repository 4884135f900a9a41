"""`gateway rules dry-run`: what a ruleset would change for all visitors whose contexts are in the store now.

It only reads the store, in small batches. Exit codes: those of the other rules commands.
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
from gateway.commands.rules import load_file, load_old, prints_problems
from gateway.model.conditions.page_input import page_of
from gateway.model.decisions.decide import Inputs
from gateway.model.decisions.decision_id import visitor_hash
from gateway.model.decisions.dry_run import DryRunReport, compare_rulesets, placements_of
from gateway.model.rulesets.ruleset import Ruleset
from gateway.model.rulesets.schedule import parse_moment_ms
from gateway.model.trends.snapshot import NO_TRENDS, Trends
from gateway.reports.dry_run import dry_run_text
from gateway.settings import Settings, load_settings
from gateway.store.connection import connect
from gateway.store.contexts import AllContexts
from gateway.store.trends import TrendsStore

STORE_TIMEOUT_MS: Final = 10_000
DEFAULT_PAGE: Final = '{"type": "home"}'


@dataclass(frozen=True, slots=True)
class _DryRunRequest:
    """What is decided for every context. `now_ms` is the time for schedules and caps; `sample` 0: all visitors."""

    old: Ruleset
    new: Ruleset
    placements: list[str]
    page: dict[str, str]
    now_ms: int
    sample: int
    show_ids: bool


@prints_problems
def dry_run_over_store(options: argparse.Namespace) -> int:
    """Compare a file with the ruleset in force, or with another file, for every context; print what would change."""
    new = load_file(options.file)
    old, old_name = load_old(options.against, options)
    page = page_of(options.page or [DEFAULT_PAGE]) | ({"locale": options.locale} if options.locale else {})
    now_ms = system_now_ms() if options.at is None else parse_moment_ms(options.at, "--at")
    placements = options.placement or placements_of(old, new)
    request = _DryRunRequest(old, new, placements, page, now_ms, options.sample, options.show_ids)
    report, notes = asyncio.run(_decide_for_all(_dry_run_settings(), request))
    if options.json:
        print(json.dumps({"notes": notes, **report}, indent=2, ensure_ascii=False))
    else:
        print(f"{options.file} compared with {old_name}, for the page {json.dumps(page, ensure_ascii=False)}")
        print(dry_run_text(report, notes))
    return 0


def _dry_run_settings() -> Settings:
    """The settings. The token secret only hashes visitor ids here, so without one a random secret does for this run."""
    return load_settings(**({} if os.environ.get("GATEWAY_TOKEN_SECRET") else {"token_secret": SecretStr(secrets.token_hex(32))}))


async def _decide_for_all(settings: Settings, request: _DryRunRequest) -> tuple[dict[str, Any], list[str]]:
    redis = connect(settings.redis_url, STORE_TIMEOUT_MS)
    try:
        contexts = AllContexts(redis)
        trends = await _current_trends(redis, request)
        notes = [] if trends is None else [f"decided with the current trends, snapshot {trends.snapshot}"]
        if await contexts.is_in_cluster():
            notes.append(
                "the store is a node of a cluster, and this report covers only its visitors; run it for each node and add up the counts"
            )
        report = DryRunReport()
        columns = (TextColumn("reading contexts"), BarColumn(), TextColumn("{task.fields[visitors]} visitors"), TimeElapsedColumn())
        with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
            task = bar.add_task("reading", total=max(1, await contexts.keys()), visitors=0)
            async for keys, batch in contexts.batches():
                if request.sample:
                    batch = batch[: request.sample - report.visitors]
                for context in batch:
                    _add_context(report, request, settings, trends or NO_TRENDS, context)
                bar.update(task, advance=keys, visitors=report.visitors)
                if request.sample and report.visitors >= request.sample:
                    notes.append(f"a sample: the first {request.sample} visitors that the store returned")
                    break
            bar.update(task, completed=bar.tasks[task].total)
        return report.as_json(), notes
    finally:
        await redis.aclose()


def _add_context(report: DryRunReport, request: _DryRunRequest, settings: Settings, trends: Trends, context: dict[str, Any]) -> None:
    visitor_id = str(context.get("user_id") or "")
    inputs = Inputs(context, request.page, request.now_ms, visitor_id or None, trends, consent_default=settings.consent_default)
    shown = visitor_id if request.show_ids else visitor_hash(settings.signing_key, visitor_id).hex()
    report.add(shown, [compare_rulesets(request.old, request.new, placement, inputs) for placement in request.placements])


async def _current_trends(redis: Redis, request: _DryRunRequest) -> Trends | None:
    """The current trends, or None if neither ruleset uses them."""
    if not (request.old.uses_trends or request.new.uses_trends):
        return None
    store = TrendsStore(redis)
    return await store.load(await store.current()) or NO_TRENDS
