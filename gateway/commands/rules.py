"""`gateway rules`: check, test and compare ruleset files; publish them, look back and roll back.

Exit codes: 0 good, 1 the ruleset or an example is not, or the gateway refuses the change, 2 nothing could be done.
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
from gateway.commands.gateway_client import GatewayClient, GatewayRefuses
from gateway.commands.secret_key import NoSecretKey
from gateway.model.campaign_files.json_schema import json_schema
from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.conditions.page_input import InvalidPage
from gateway.model.decisions.campaign_examples import examples_of, run_examples
from gateway.model.rulesets.diff import differences
from gateway.model.rulesets.ruleset import InvalidRuleset, Problem, Ruleset
from gateway.model.times import InvalidTime
from gateway.store.connection import StoreUnavailable

_PUBLISH: Final = """mutation($yaml: String!, $expected: Int, $dryRun: Boolean!) {
  publishRuleset(yaml: $yaml, expectedVersion: $expected, dryRun: $dryRun) {
    ruleset { version } problems { message campaignId line column } } }"""
_RULESET: Final = "query($version: Int) { ruleset(version: $version) { version publishedAt yaml campaigns { campaignId } } }"

Command = Callable[[argparse.Namespace], int]


class _Unusable(Exception):
    """A file that cannot be read, or is no good ruleset: the text says why."""


def says_why(command: Command) -> Command:
    """A command that prints what went wrong and gives the exit code for it."""

    @functools.wraps(command)
    def run(options: argparse.Namespace) -> int:
        try:
            return command(options)
        except _Unusable as problem:
            print(problem, file=sys.stderr)
            return 1
        except GatewayRefuses as problem:
            print(f"gateway: {problem}", file=sys.stderr)
            return 1 if problem.code is not None else 2
        except (NoSecretKey, StoreUnavailable, InvalidPage, InvalidTime, OSError, UnicodeDecodeError) as problem:
            print(f"gateway: {problem}", file=sys.stderr)
            return 2

    return run


@says_why
def check(options: argparse.Namespace) -> int:
    """Name every mistake of a file."""
    ruleset = load_file(options.file)
    campaigns = sum(len(placement.campaigns) for placement in ruleset.placements.values())
    print(f"{options.file}: good, {len(ruleset.placements)} placements, {campaigns} campaigns")
    return 0


@says_why
def test(options: argparse.Namespace) -> int:
    """Run the examples of a file."""
    ruleset = load_file(options.file)
    failures = run_examples(ruleset, system_now_ms())
    for failure in failures:
        print(failure.text(str(options.file)), file=sys.stderr)
    count = sum(1 for _ in examples_of(ruleset))
    print(f"{options.file}: {count - len(failures)} of {count} examples hold")
    return 1 if failures else 0


@says_why
def diff(options: argparse.Namespace) -> int:
    """What a file changes, against another file or the ruleset in force."""
    new = load_file(options.file)
    old, name = load_other(options.other, options)
    changes = differences(old, new)
    for change in changes:
        print(change.text())
    if not changes:
        print(f"{options.file}: nothing differs from {name}")
    return 0


@says_why
def publish(options: argparse.Namespace) -> int:
    """Publish a file, unless it is not good or another version than expected is current."""
    text = options.file.read_text(encoding="utf-8")
    return _publish(GatewayClient(options.url, options.key), text, options.expected, str(options.file), dry_run=options.dry_run)


@says_why
def rollback(options: argparse.Namespace) -> int:
    """Publish an old version again, as a new one."""
    client = GatewayClient(options.url, options.key)
    current = client.run(_RULESET)["ruleset"]["version"]
    old = client.run(_RULESET, version=options.version)["ruleset"]
    return _publish(client, old["yaml"], current, f"version {options.version}", dry_run=False)


@says_why
def history(options: argparse.Namespace) -> int:
    """The latest versions, newest first, each with what it changed."""
    client = GatewayClient(options.url, options.key)
    newer = client.run(_RULESET)["ruleset"]
    last = max(0, newer["version"] - options.limit)
    for version in range(newer["version"] - 1, last - 1, -1):
        older = client.run(_RULESET, version=version)["ruleset"] if version >= 1 else None
        print(_history_line(newer, older))
        if older is None:
            break
        newer = older
    return 0


def schema(_options: argparse.Namespace) -> int:
    """Print the JSON Schema of the file."""
    print(schema_text(), end="")
    return 0


def schema_text() -> str:
    """The text of `docs/campaigns.schema.json`."""
    return json.dumps(json_schema(), indent=2) + "\n"


def load_other(file: Path | None, options: argparse.Namespace) -> tuple[Ruleset, str]:
    """The ruleset to compare with, and its name: that of a file, or the one in force. Raises what `says_why` tells."""
    if file is not None:
        return load_file(file), str(file)
    found = GatewayClient(options.url, options.key).run(_RULESET)["ruleset"]
    return load_ruleset(found["yaml"], found["version"]), f"version {found['version']} in force"


def _history_line(found: dict[str, Any], older: dict[str, Any] | None) -> str:
    head = f"{found['version']:>5}  {found['publishedAt'] or 'not published':<24}  {len(found['campaigns'])} campaigns"
    if older is None:
        return head
    try:
        changes = differences(load_ruleset(older["yaml"], 1), load_ruleset(found["yaml"], 1))
    except InvalidRuleset:
        return f"{head}  of another release"
    return f"{head}  {'; '.join(change.text() for change in changes) or 'nothing changed'}"


def _publish(client: GatewayClient, text: str, expected: int | None, name: str, *, dry_run: bool) -> int:
    result = client.run(_PUBLISH, yaml=text, expected=expected, dryRun=dry_run)["publishRuleset"]
    for one in result["problems"]:
        print(Problem(one["message"], one["campaignId"], one["line"], one["column"]).text(name), file=sys.stderr)
    if result["ruleset"] is None:
        return 1
    version = result["ruleset"]["version"]
    print(f"{name}: good, would be version {version}" if dry_run else f"{name}: version {version} is in force")
    return 0


def load_file(file: Path) -> Ruleset:
    """The ruleset of a file. Raises what `says_why` tells."""
    try:
        return load_ruleset(file.read_text(encoding="utf-8"), 1)
    except InvalidRuleset as problem:
        raise _Unusable(problem.text(str(file))) from problem
    except (OSError, UnicodeDecodeError) as problem:
        raise OSError(f"{file} cannot be read: {problem}") from problem
