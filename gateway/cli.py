"""The command `gateway`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.api.schema import export_schema
from gateway.commands import documents, preview, rules
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

    one = _command(commands, "rules", None, "work with rulesets", "gateway rules check campaigns.yaml")
    rules_commands = one.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _rules(rules_commands)

    one = _command(
        commands, "replay", _replay, "send recorded events through track, their times moved to end now",
        "gateway replay examples/storefront/data/rees46-2019-10-01.csv.gz --rate 500",
    )  # fmt: skip
    one.add_argument("file", type=Path, metavar="FILE", help="CSV in the form of the REES46 data, also gzipped")
    one.add_argument("--rate", type=float, default=0, help="events a second; 0: as fast as possible (default)")
    one.add_argument("--limit", type=int, default=0, help="send only the first N events; 0: all (default)")
    _connection(one)

    one = _command(
        commands, "explain", _explain, "say why a visitor sees what is seen",
        "gateway explain --visitor 12345 --placement homepage-hero --page type=home --at 2026-01-31T12:00:00Z",
    )  # fmt: skip
    one.add_argument("--placement", required=True)
    one.add_argument("--visitor", default=None, metavar="ID", help="visitor id, known or anonymous; default: no visitor")
    one.add_argument("--at", default=None, metavar="TIME", help="as it stood then, by what had been received (RFC 3339)")
    one.add_argument("--decision", default=None, metavar="ID", help="exactly this decision; name its visitor and page as well")
    one.add_argument("--page", action="append", default=[], metavar="NAME=VALUE", help="a field of the page, such as type=home; repeatable")
    _connection(one)

    one = _command(
        commands, "stats", _stats, "say what came of a campaign", "gateway stats summer-sale --from 2026-01-01T00:00:00Z"
    )  # fmt: skip
    one.add_argument("campaign", metavar="CAMPAIGN")
    one.add_argument("--from", dest="from_time", metavar="TIME", default=None, help="from the hour of this moment on (RFC 3339)")
    one.add_argument("--to", dest="to_time", metavar="TIME", default=None, help="up to the end of the hour of this moment (RFC 3339)")
    _connection(one)

    docs = _command(
        commands, "documents", None, "make the manifest of trusted documents", "gateway documents build pages --out documents.json"
    )
    docs_commands = docs.add_subparsers(title="commands", required=True, metavar="COMMAND")
    one = _command(
        docs_commands, "build", documents.build, "check .graphql files against the schema and write their manifest",
        "gateway documents build pages checkout.graphql --out documents.json",
    )  # fmt: skip
    one.add_argument("sources", type=Path, nargs="*", metavar="SOURCE", help="a .graphql file, or a folder of them")
    one.add_argument("--out", type=Path, required=True, metavar="FILE", help="the manifest; name it in GATEWAY_DOCUMENTS_FILE")
    one.add_argument("--with-commands", action="store_true", help="also what this program's own commands send")

    events = _command(commands, "events", None, "look at events", "gateway events tail contexts --visitor 12345")
    events_commands = events.add_subparsers(title="commands", required=True, metavar="COMMAND")
    one = _command(
        events_commands, "tail", _tail, "follow events, context updates or dead letters as they come",
        "gateway events tail events --visitor 12345",
    )  # fmt: skip
    one.add_argument("what", choices=("events", "contexts", "dead-letters"))
    one.add_argument("--visitor", default=None, help="only this visitor id")
    bootstrap = os.environ.get("GATEWAY_KAFKA_BOOTSTRAP", "127.0.0.1:9092")
    one.add_argument("--bootstrap", default=bootstrap, help="Kafka; default: GATEWAY_KAFKA_BOOTSTRAP, or 127.0.0.1:9092")
    one.add_argument("--from-start", action="store_true", help="from the beginning of the log instead of from now")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: Command | None, text: str, example: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=f"example: {example}")
    if run is not None:
        parser.set_defaults(command=run)
    return parser


def _rules(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    one = _command(commands, "check", rules.check, "check a ruleset, naming every mistake", "gateway rules check campaigns.yaml")
    one.add_argument("file", type=Path, metavar="FILE")
    one = _command(commands, "test", rules.test, "run the examples written beside the campaigns", "gateway rules test campaigns.yaml")
    one.add_argument("file", type=Path, metavar="FILE")
    one = _command(
        commands, "diff", rules.diff, "say what a file changes, against the ruleset in force or OTHER", "gateway rules diff campaigns.yaml"
    )
    one.add_argument("file", type=Path, metavar="FILE")
    one.add_argument("other", type=Path, metavar="OTHER", nargs="?", default=None, help="the old file; default: the ruleset in force")
    _connection(one)
    one = _command(commands, "publish", rules.publish, "publish a ruleset", "gateway rules publish campaigns.yaml --expected 3")
    one.add_argument("file", type=Path, metavar="FILE")
    one.add_argument("--expected", type=int, default=None, metavar="N", help="only if version N is current (default: whatever is)")
    one.add_argument("--dry-run", action="store_true", help="check it against the gateway; store nothing")
    _connection(one)
    one = _command(
        commands, "dry-run", _dry_run, "say what a file would change for all visitors, against the ruleset in force",
        "gateway rules dry-run campaigns.yaml --page type=home --sample 10000",
    )  # fmt: skip
    one.add_argument("file", type=Path, metavar="NEW")
    one.add_argument("--against", type=Path, metavar="OLD", default=None, help="compare with this file; default: the ruleset in force")
    one.add_argument("--placement", action="append", default=[], help="only this one; repeatable (default: all)")
    one.add_argument("--page", action="append", default=[], metavar="PAGE", help="JSON, or NAME=VALUE; repeatable (default: type=home)")
    one.add_argument("--locale", default=None, help="the language of the page, such as de-CH")
    one.add_argument("--at", default=None, metavar="TIME", help="for schedules and caps: as if it were then (RFC 3339; default: now)")
    one.add_argument("--sample", type=int, default=0, metavar="N", help="the first N visitors that the store gives; 0: all (default)")
    one.add_argument("--show-ids", action="store_true", help="name visitors in the examples, not their hashes; ids are personal data")
    one.add_argument("--json", action="store_true", help="print JSON")
    _connection(one)
    one = _command(
        commands, "preview", preview.preview, "make a link with which a page shows a ruleset that is not published",
        "gateway rules preview campaigns.yaml --page-url http://127.0.0.1:8080/",
    )  # fmt: skip
    one.add_argument("file", type=Path, metavar="FILE")
    one.add_argument("--campaign", default=None, metavar="ID", help="show this one, whatever its condition, schedule, caps and holdout say")
    one.add_argument("--at", default=None, metavar="TIME", help="as if it were then (RFC 3339; default: now)")
    one.add_argument("--minutes", type=int, default=60, help="how long it can be seen, up to 10080 (default %(default)s)")
    one.add_argument("--page-url", default=None, metavar="URL", help="the page to show it on; without it only the token is printed")
    _connection(one)
    one = _command(commands, "history", rules.history, "list the latest versions and what each changed", "gateway rules history --limit 5")
    one.add_argument("--limit", type=int, default=20, help="how many versions (default %(default)s)")
    _connection(one)
    one = _command(commands, "rollback", rules.rollback, "publish an old version again, as a new one", "gateway rules rollback 3")
    one.add_argument("version", type=int, metavar="VERSION")
    _connection(one)
    _command(commands, "schema", rules.schema, "print the JSON Schema of campaigns.yaml, for editors", "gateway rules schema")


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


def _replay(options: argparse.Namespace) -> int:
    from gateway.commands.replay import replay

    return replay(options.file, options.url, options.key, options.rate, options.limit)


def _explain(options: argparse.Namespace) -> int:
    from gateway.commands.explain import Question, explain

    return explain(options.url, options.key, Question(options.placement, options.visitor, options.at, options.decision, options.page))


def _stats(options: argparse.Namespace) -> int:
    from gateway.commands.stats import stats

    return stats(options.url, options.key, options.campaign, options.from_time, options.to_time)


def _dry_run(options: argparse.Namespace) -> int:
    from gateway.commands.dry_run import dry_run

    return dry_run(options)


def _tail(options: argparse.Namespace) -> int:
    from gateway.commands.tail import tail

    return tail(options.bootstrap, options.what, options.visitor, from_start=options.from_start)
