"""The command `gateway`: its sub-commands, their options and help. What they do is in `gateway.commands`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.api.schema import export_schema
from gateway.commands import documents, preview, rules
from gateway.commands.rules import Command
from gateway.server import CannotStart, serve
from gateway.settings import InvalidSettings, describe_settings, load_settings

Subparsers = argparse._SubParsersAction


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    options = _parser().parse_args(arguments)
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
    _add_serve(commands)
    _add_command(commands, "settings", _settings, "list every setting with its default and meaning", "gateway settings")
    _add_command(commands, "schema", _schema, "print the GraphQL schema", "gateway schema > schema.graphql")
    _add_rules(commands)
    _add_replay(commands)
    _add_explain(commands)
    _add_stats(commands)
    _add_documents(commands)
    _add_events(commands)
    return parser


def _add_command(
    commands: Subparsers[argparse.ArgumentParser], name: str, command: Command | None, text: str, example: str
) -> argparse.ArgumentParser:
    """A sub-command; `command` is None for one that only has sub-commands of its own."""
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=f"example: {example}")
    if command is not None:
        parser.set_defaults(command=command)
    return parser


def _add_connection_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="address of the gateway (default %(default)s)")
    parser.add_argument("--key", default=None, help="secret key (default: the first of GATEWAY_SECRET_KEYS)")


def _add_serve(commands: Subparsers[argparse.ArgumentParser]) -> None:
    serve_parser = _add_command(commands, "serve", _serve, "serve the GraphQL API", "gateway serve --port 8000 --workers 2")
    serve_parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    serve_parser.add_argument("--port", type=int, default=8000, help="port to listen on (default %(default)s)")
    serve_parser.add_argument("--workers", type=int, default=1, help="number of processes that share the port (default %(default)s)")


def _add_replay(commands: Subparsers[argparse.ArgumentParser]) -> None:
    replay = _add_command(
        commands, "replay", _replay, "send recorded events with the track mutation, their times shifted so that the last one happens now",
        "gateway replay examples/storefront/data/rees46-2019-10-01.csv.gz --rate 500",
    )  # fmt: skip
    replay.add_argument("file", type=Path, metavar="FILE", help="CSV file in the format of the REES46 data; may be gzipped")
    replay.add_argument("--rate", type=float, default=0, help="events per second; 0: as fast as possible (default)")
    replay.add_argument("--limit", type=int, default=0, help="send only the first N events; 0: all (default)")
    _add_connection_options(replay)


def _add_explain(commands: Subparsers[argparse.ArgumentParser]) -> None:
    explain = _add_command(
        commands, "explain", _explain, "explain why a visitor sees a banner",
        "gateway explain --visitor 12345 --placement homepage-hero --page type=home --at 2026-01-31T12:00:00Z",
    )  # fmt: skip
    explain.add_argument("--placement", required=True)
    explain.add_argument("--visitor", default=None, metavar="ID", help="visitor id, known or anonymous (default: no visitor)")
    explain.add_argument("--at", default=None, metavar="TIME", help="the decision at that time, from what had been received (RFC 3339)")
    explain.add_argument("--decision", default=None, metavar="ID", help="exactly this decision; also give its visitor and page")
    explain.add_argument("--page", action="append", default=[], metavar="NAME=VALUE", help="field of the page: type=home; repeatable")
    _add_connection_options(explain)


def _add_stats(commands: Subparsers[argparse.ArgumentParser]) -> None:
    stats = _add_command(
        commands, "stats", _stats, "show the results of a campaign", "gateway stats summer-sale --from 2026-01-01T00:00:00Z"
    )  # fmt: skip
    stats.add_argument("campaign", metavar="CAMPAIGN")
    stats.add_argument("--from", dest="from_time", metavar="TIME", default=None, help="from the start of this time's hour (RFC 3339)")
    stats.add_argument("--to", dest="to_time", metavar="TIME", default=None, help="to the end of this time's hour (RFC 3339)")
    _add_connection_options(stats)


def _add_documents(commands: Subparsers[argparse.ArgumentParser]) -> None:
    group = _add_command(
        commands, "documents", None, "build the manifest of trusted documents", "gateway documents build pages --out documents.json"
    )
    group_commands = group.add_subparsers(title="commands", required=True, metavar="COMMAND")
    build = _add_command(
        group_commands, "build", documents.build_manifest, "check .graphql files against the schema and write their manifest",
        "gateway documents build pages checkout.graphql --out documents.json",
    )  # fmt: skip
    build.add_argument("sources", type=Path, nargs="*", metavar="SOURCE", help="a .graphql file, or a folder of .graphql files")
    build.add_argument("--out", type=Path, required=True, metavar="FILE", help="manifest to write; set GATEWAY_DOCUMENTS_FILE to it")
    build.add_argument("--with-commands", action="store_true", help="include the documents that this program's own commands send")


def _add_events(commands: Subparsers[argparse.ArgumentParser]) -> None:
    group = _add_command(commands, "events", None, "inspect events", "gateway events tail contexts --visitor 12345")
    group_commands = group.add_subparsers(title="commands", required=True, metavar="COMMAND")
    tail = _add_command(
        group_commands, "tail", _tail, "follow events, context updates or dead letters as they arrive",
        "gateway events tail events --visitor 12345",
    )  # fmt: skip
    tail.add_argument("kind", choices=("events", "contexts", "dead-letters"))
    tail.add_argument("--visitor", default=None, metavar="ID", help="only this visitor id")
    bootstrap = os.environ.get("GATEWAY_KAFKA_BOOTSTRAP", "127.0.0.1:9092")
    tail.add_argument("--bootstrap", default=bootstrap, help="address of Kafka (default: GATEWAY_KAFKA_BOOTSTRAP, or 127.0.0.1:9092)")
    tail.add_argument("--from-start", action="store_true", help="start at the beginning of the log (default: at its end)")


def _add_rules(commands: Subparsers[argparse.ArgumentParser]) -> None:
    group = _add_command(commands, "rules", None, "check, compare and publish rulesets", "gateway rules check campaigns.yaml")
    group_commands = group.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_rules_of_files(group_commands)
    _add_rules_publish(group_commands)
    _add_rules_dry_run(group_commands)
    _add_rules_preview(group_commands)
    _add_rules_versions(group_commands)
    text = "print the JSON Schema of campaigns.yaml, for editors"
    _add_command(group_commands, "schema", rules.print_schema, text, "gateway rules schema")


def _add_rules_of_files(commands: Subparsers[argparse.ArgumentParser]) -> None:
    check = _add_command(
        commands, "check", rules.check_file, "check a ruleset and list every mistake", "gateway rules check campaigns.yaml"
    )
    check.add_argument("file", type=Path, metavar="FILE")
    test = _add_command(commands, "test", rules.run_file_examples, "run the examples in a ruleset", "gateway rules test campaigns.yaml")
    test.add_argument("file", type=Path, metavar="FILE")
    diff = _add_command(
        commands, "diff", rules.print_differences, "show what a file changes, compared with the ruleset in force or OTHER",
        "gateway rules diff campaigns.yaml",
    )  # fmt: skip
    diff.add_argument("file", type=Path, metavar="FILE")
    diff.add_argument("other", type=Path, metavar="OTHER", nargs="?", default=None, help="the old file (default: the ruleset in force)")
    _add_connection_options(diff)


def _add_rules_publish(commands: Subparsers[argparse.ArgumentParser]) -> None:
    publish = _add_command(
        commands, "publish", rules.publish, "publish a ruleset", "gateway rules publish campaigns.yaml --expected 3"
    )  # fmt: skip
    publish.add_argument("file", type=Path, metavar="FILE")
    publish.add_argument("--expected", type=int, default=None, metavar="N", help="only if N is the current version (default: any version)")
    publish.add_argument("--dry-run", action="store_true", help="let the gateway check it, but store nothing")
    _add_connection_options(publish)


def _add_rules_dry_run(commands: Subparsers[argparse.ArgumentParser]) -> None:
    dry_run = _add_command(
        commands, "dry-run", _dry_run, "show what a file would change for all visitors, compared with the ruleset in force",
        "gateway rules dry-run campaigns.yaml --page type=home --sample 10000",
    )  # fmt: skip
    add = dry_run.add_argument
    add("file", type=Path, metavar="NEW")
    add("--against", type=Path, metavar="OLD", default=None, help="compare with this file (default: the ruleset in force)")
    add("--placement", action="append", default=[], help="only this placement; repeatable (default: all)")
    add("--page", action="append", default=[], metavar="PAGE", help="the page, as JSON or NAME=VALUE; repeatable (default: type=home)")
    add("--locale", default=None, help="the language of the page, such as de-CH")
    add("--at", default=None, metavar="TIME", help="the time for schedules and caps (RFC 3339; default: now)")
    add("--sample", type=int, default=0, metavar="N", help="only the first N visitors that the store returns; 0: all (default)")
    add("--show-ids", action="store_true", help="print visitor ids in the examples instead of their hashes; ids are personal data")
    add("--json", action="store_true", help="print JSON")
    _add_connection_options(dry_run)


def _add_rules_preview(commands: Subparsers[argparse.ArgumentParser]) -> None:
    preview_parser = _add_command(
        commands, "preview", preview.create_preview, "create a link with which a page shows a ruleset that is not published",
        "gateway rules preview campaigns.yaml --page-url http://127.0.0.1:8080/",
    )  # fmt: skip
    add = preview_parser.add_argument
    add("file", type=Path, metavar="FILE")
    add("--campaign", default=None, metavar="ID", help="show this campaign, whatever its condition, schedule, caps and holdout are")
    add("--at", default=None, metavar="TIME", help="show the page as at that time (RFC 3339; default: now)")
    add("--minutes", type=int, default=60, help="minutes until the preview expires, up to 10080 (default %(default)s)")
    add("--page-url", default=None, metavar="URL", help="the page to show it on; without it, only the token is printed")
    _add_connection_options(preview_parser)


def _add_rules_versions(commands: Subparsers[argparse.ArgumentParser]) -> None:
    history = _add_command(
        commands, "history", rules.print_history, "list the latest versions and what each one changed", "gateway rules history --limit 5"
    )
    history.add_argument("--limit", type=int, default=20, help="how many versions (default %(default)s)")
    _add_connection_options(history)
    rollback = _add_command(
        commands, "rollback", rules.rollback, "publish an old version again, as a new version", "gateway rules rollback 3"
    )
    rollback.add_argument("version", type=int, metavar="VERSION")
    _add_connection_options(rollback)


def _serve(options: argparse.Namespace) -> int:
    return serve(load_settings(), options.host, options.port, options.workers)


def _settings(_options: argparse.Namespace) -> int:
    print(describe_settings())
    return 0


def _schema(_options: argparse.Namespace) -> int:
    print(export_schema(), end="")
    return 0


# The rest is imported when it is called: it needs what the other commands do without.


def _replay(options: argparse.Namespace) -> int:
    from gateway.commands.replay import replay_file

    return replay_file(options.file, options.url, options.key, options.rate, options.limit)


def _explain(options: argparse.Namespace) -> int:
    from gateway.commands.explain import ExplainRequest, print_explanation

    request = ExplainRequest(options.placement, options.visitor, options.at, options.decision, options.page)
    return print_explanation(options.url, options.key, request)


def _stats(options: argparse.Namespace) -> int:
    from gateway.commands.stats import print_campaign_stats

    return print_campaign_stats(options.url, options.key, options.campaign, options.from_time, options.to_time)


def _dry_run(options: argparse.Namespace) -> int:
    from gateway.commands.dry_run import dry_run_over_store

    return dry_run_over_store(options)


def _tail(options: argparse.Namespace) -> int:
    from gateway.commands.tail import tail_records

    return tail_records(options.bootstrap, options.kind, options.visitor, from_start=options.from_start)
