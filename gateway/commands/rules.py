"""`gateway rules`: check, test and compare ruleset files; publish them, list old versions and roll back.

Exit codes: 0 done; 1 the ruleset has mistakes, an example fails, or the gateway refuses the change; 2 nothing could be done.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from gateway.clock import system_now_ms
from gateway.commands.gateway_connection import GatewayConnection, NoGateway
from gateway.commands.secret_key import NoSecretKey
from gateway.graphql_http import GraphQLErrors
from gateway.model.campaign_files.json_schema import json_schema
from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.conditions.page_input import InvalidPage
from gateway.model.decisions.campaign_examples import examples_of, run_examples
from gateway.model.rulesets.diff import ruleset_changes
from gateway.model.rulesets.ruleset import InvalidRuleset, Ruleset, RulesetProblem
from gateway.model.times import InvalidTime
from gateway.reports.columns import counted
from gateway.store.connection import StoreUnavailable

_PUBLISH: Final = """mutation($yaml: String!, $expected: Int, $dryRun: Boolean!) {
  publishRuleset(yaml: $yaml, expectedVersion: $expected, dryRun: $dryRun) {
    ruleset { version } problems { message campaignId line column } } }"""
_RULESET: Final = "query($version: Int) { ruleset(version: $version) { version publishedAt format yaml campaigns { campaignId } } }"

Command = Callable[[argparse.Namespace], int]


class _InvalidFile(Exception):
    """A file whose ruleset has mistakes: the text is one line for each."""


def prints_problems(command: Command) -> Command:
    """A command that prints what went wrong on standard error, and returns the exit code for it."""

    @functools.wraps(command)
    def guarded(options: argparse.Namespace) -> int:
        try:
            return command(options)
        except _InvalidFile as problem:
            print(problem, file=sys.stderr)
            return 1
        except GraphQLErrors as problem:
            print(f"gateway: {problem}", file=sys.stderr)
            return 1 if problem.codes[0] is not None else 2
        except (NoSecretKey, NoGateway, StoreUnavailable, InvalidPage, InvalidTime, OSError, UnicodeDecodeError) as problem:
            print(f"gateway: {problem}", file=sys.stderr)
            return 2

    return guarded


@prints_problems
def check_file(options: argparse.Namespace) -> int:
    """Check a file and list every mistake."""
    ruleset = load_file(options.file)
    campaigns = sum(len(placement.campaigns) for placement in ruleset.placements.values())
    print(f"{options.file}: OK, {counted(len(ruleset.placements), 'placement')}, {counted(campaigns, 'campaign')}")
    return 0


@prints_problems
def run_file_examples(options: argparse.Namespace) -> int:
    """Run the examples in a file; exit code 1 if one fails."""
    ruleset = load_file(options.file)
    failures = run_examples(ruleset, system_now_ms())
    for failure in failures:
        print(failure.text(str(options.file)), file=sys.stderr)
    count = sum(1 for _ in examples_of(ruleset))
    print(f"{options.file}: {count - len(failures)} of {count} examples pass")
    return 1 if failures else 0


@prints_problems
def print_differences(options: argparse.Namespace) -> int:
    """Print what a file changes, compared with another file or the ruleset in force."""
    new = load_file(options.file)
    old, old_name = load_old(options.other, options)
    changes = ruleset_changes(old, new)
    for change in changes:
        print(change.text())
    if not changes:
        print(f"{options.file}: no differences from {old_name}")
    return 0


@prints_problems
def publish(options: argparse.Namespace) -> int:
    """Publish a file. It is refused if it has mistakes, or if the current version is not the expected one."""
    yaml = options.file.read_text(encoding="utf-8")
    return _publish(GatewayConnection(options.url, options.key), yaml, options.expected, str(options.file), dry_run=options.dry_run)


@prints_problems
def rollback(options: argparse.Namespace) -> int:
    """Publish an old version again, as a new one."""
    gateway = GatewayConnection(options.url, options.key)
    current = gateway.execute(_RULESET)["ruleset"]["version"]
    old = gateway.execute(_RULESET, version=options.version)["ruleset"]
    _check_meaning(old, f"version {options.version}")
    return _publish(gateway, old["yaml"], current, f"version {options.version}", dry_run=False)


def _check_meaning(old: dict[str, Any], name: str) -> None:
    """Raise `_InvalidFile` if the text of an old version would mean something else when it is published now."""
    try:
        changes = ruleset_changes(load_ruleset(old["yaml"], 1, old["format"]), load_ruleset(old["yaml"], 1))
    except InvalidRuleset as problem:
        raise _InvalidFile(problem.text(name)) from problem
    if changes:
        listed = "; ".join(change.text() for change in changes)
        message = f"{name} has format {old['format']} and would now mean something else"
        raise _InvalidFile(f"{message} ({listed}): save it as a file, correct it and publish that")


@prints_problems
def print_history(options: argparse.Namespace) -> int:
    """Print the latest versions, newest first, each with what it changed."""
    gateway = GatewayConnection(options.url, options.key)
    newer = gateway.execute(_RULESET)["ruleset"]
    last = max(0, newer["version"] - options.limit)
    for version in range(newer["version"] - 1, last - 1, -1):
        older = gateway.execute(_RULESET, version=version)["ruleset"] if version >= 1 else None
        print(_history_line(newer, older))
        if older is None:
            break
        newer = older
    return 0


def print_schema(_options: argparse.Namespace) -> int:
    """Print the JSON Schema of a ruleset file."""
    print(json_schema_text(), end="")
    return 0


def json_schema_text() -> str:
    """The text of `docs/campaigns.schema.json`."""
    return json.dumps(json_schema(), indent=2) + "\n"


def load_old(file: Path | None, options: argparse.Namespace) -> tuple[Ruleset, str]:
    """The ruleset to compare with, and its name: the one in `file`, or the one in force. Raises what `prints_problems` prints."""
    if file is not None:
        return load_file(file), str(file)
    current = GatewayConnection(options.url, options.key).execute(_RULESET)["ruleset"]
    return load_ruleset(current["yaml"], current["version"], current["format"]), f"version {current['version']} in force"


def _history_line(version: dict[str, Any], older: dict[str, Any] | None) -> str:
    head = f"{version['version']:>5}  {version['publishedAt'] or 'not published':<24}  {counted(len(version['campaigns']), 'campaign')}"
    if older is None:
        return head
    try:
        changes = ruleset_changes(load_ruleset(older["yaml"], 1, older["format"]), load_ruleset(version["yaml"], 1, version["format"]))
    except InvalidRuleset:
        return f"{head}  cannot be compared: written for another release"
    return f"{head}  {'; '.join(change.text() for change in changes) or 'no changes'}"


def _publish(gateway: GatewayConnection, yaml: str, expected: int | None, name: str, *, dry_run: bool) -> int:
    result = gateway.execute(_PUBLISH, yaml=yaml, expected=expected, dryRun=dry_run)["publishRuleset"]
    for problem in result["problems"]:
        print(RulesetProblem(problem["message"], problem["campaignId"], problem["line"], problem["column"]).text(name), file=sys.stderr)
    if result["ruleset"] is None:
        return 1
    version = result["ruleset"]["version"]
    print(f"{name}: OK, would become version {version}" if dry_run else f"{name}: version {version} is in force")
    return 0


def load_file(file: Path) -> Ruleset:
    """The ruleset in a file. Raises what `prints_problems` prints."""
    try:
        return load_ruleset(file.read_text(encoding="utf-8"), 1)
    except InvalidRuleset as problem:
        raise _InvalidFile(problem.text(str(file))) from problem
    except (OSError, UnicodeDecodeError) as problem:
        raise OSError(f"cannot read {file}: {problem}") from problem
