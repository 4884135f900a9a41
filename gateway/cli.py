"""The command `gateway`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.api.schema import export_schema
from gateway.model.ruleset import InvalidRuleset
from gateway.model.ruleset_yaml import load_ruleset
from gateway.server import CannotStart, serve
from gateway.settings import InvalidSettings, describe_settings, load_settings

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; gives the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    command: Command = options.command
    try:
        return command(options)
    except (CannotStart, InvalidSettings) as problem:
        print(f"gateway: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gateway", description="The real-time personalization gateway.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    one = _command(commands, "serve", _serve, "serve the GraphQL API", "gateway serve --port 8000 --workers 2")
    one.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    one.add_argument("--port", type=int, default=8000, help="port to listen on (default %(default)s)")
    one.add_argument("--workers", type=int, default=1, help="processes that share the port (default %(default)s)")

    _command(commands, "settings", _settings, "list every setting with its default and meaning", "gateway settings")
    one = _command(commands, "schema", _schema, "print the GraphQL schema", "gateway schema > schema.graphql")

    rules = _command(commands, "rules", None, "work with rulesets", "gateway rules check campaigns.yaml")
    rules_commands = rules.add_subparsers(title="commands", required=True, metavar="COMMAND")
    one = _command(rules_commands, "check", _check, "check a ruleset, naming every mistake", "gateway rules check campaigns.yaml")
    one.add_argument("file", type=Path, metavar="FILE")

    one = _command(
        commands, "replay", _replay, "send recorded events through track, their times moved to end now",
        "gateway replay examples/storefront/data/rees46-2019-10-01.csv.gz --rate 500",
    )  # fmt: skip
    one.add_argument("file", type=Path, metavar="FILE", help="CSV in the form of the REES46 data, also gzipped")
    one.add_argument("--rate", type=float, default=0, help="events a second; 0: as fast as possible (default)")
    one.add_argument("--limit", type=int, default=0, help="send only the first N events; 0: all (default)")
    _connection(one)

    events = _command(commands, "events", None, "look at events", "gateway events tail contexts --visitor 12345")
    events_commands = events.add_subparsers(title="commands", required=True, metavar="COMMAND")
    one = _command(
        events_commands, "tail", _tail, "follow events, context updates or dead letters as they come",
        "gateway events tail events --visitor 12345",
    )  # fmt: skip
    one.add_argument("what", choices=("events", "contexts", "dead-letters"))
    one.add_argument("--visitor", default=None, help="only this visitor id")
    one.add_argument("--from-start", action="store_true", help="from the beginning of the log instead of from now")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: Command | None, text: str, example: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=f"example: {example}")
    if run is not None:
        parser.set_defaults(command=run)
    return parser


def _connection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="address of the gateway (default %(default)s)")
    parser.add_argument("--key", default=None, help="secret key; default: the first of GATEWAY_SECRET_KEYS")


def _serve(options: argparse.Namespace) -> int:
    return serve(load_settings(), options.host, options.port, options.workers)


def _settings(_options: argparse.Namespace) -> int:
    print(describe_settings())
    return 0


def _schema(_options: argparse.Namespace) -> int:
    print(export_schema(), end="")
    return 0


def _check(options: argparse.Namespace) -> int:
    try:
        ruleset = load_ruleset(options.file.read_text(encoding="utf-8"), 1)
    except (OSError, UnicodeDecodeError) as problem:
        print(f"gateway: {options.file} cannot be read: {problem}", file=sys.stderr)
        return 2
    except InvalidRuleset as problem:
        for one in problem.problems:
            print(one.text(str(options.file)), file=sys.stderr)
        return 1
    campaigns = sum(len(placement.campaigns) for placement in ruleset.placements.values())
    print(f"{options.file}: good, {len(ruleset.placements)} placements, {campaigns} campaigns")
    return 0


def _replay(options: argparse.Namespace) -> int:
    from gateway.commands.replay import replay

    return replay(options.file, options.url, options.key, options.rate, options.limit)


def _tail(options: argparse.Namespace) -> int:
    from gateway.commands.tail import tail

    return tail(load_settings(), options.what, options.visitor, from_start=options.from_start)
