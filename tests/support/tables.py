"""Tables of the documentation that are made from the code. `python -m tests.support.tables` writes them; the tests compare them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gateway.model.campaign_files.file_fields import OBJECTS
from gateway.model.context_fields import CONTEXT_FIELDS, shape_text
from gateway.model.events.event_kinds import EVENT_KINDS
from gateway.settings import Settings
from gateway.telemetry import Metrics
from gateway.transport.websocket.graphql_transport_ws import CloseCode

DOCS: Final = Path(__file__).parents[2] / "docs"
START: Final = "<!-- table: {name} (made from the code by python -m tests.support.tables) -->"
END: Final = "<!-- end of table -->"


def event_kinds() -> str:
    """The kinds of events, for docs/events.md."""
    rows = ["| type | what happened | requires | topic | what changes in the context |", "|---|---|---|---|---|"]
    for event_type, kind in EVENT_KINDS.items():
        required = ", ".join(f"`{'decisionId' if name == 'decision' else name}`" for name in kind.required) if kind.is_tracked else "none"
        changes = ", ".join(f"`{name}`" for name in kind.changes) or ("everything starts over" if event_type == "DELETE" else "none")
        rows.append(f"| `{event_type}` | {kind.meaning} | {required or 'none'} | `{kind.topic.value}` | {changes} |")
    return "\n".join(rows)


def context_fields() -> str:
    """The fields of a context, for docs/context.md."""
    rows = ["| field | value | meaning |", "|---|---|---|"]
    rows += [f"| `{name}` | {shape_text(field.shape)} | {field.meaning} |" for name, field in CONTEXT_FIELDS.items()]
    return "\n".join(rows)


def campaign_file_fields() -> str:
    """The fields of every object of a campaign file, for docs/campaigns.md."""
    rows = ["| object | field | value | meaning |", "|---|---|---|---|"]
    for object_name, fields in OBJECTS.items():
        rows += [
            f"| {object_name} | `{name}` | {field.value.text} | {'required: ' if field.required else ''}{field.meaning} |"
            for name, field in fields.items()
        ]
    return "\n".join(rows)


def metrics() -> str:
    """All metrics, for docs/metrics.md."""
    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for metric in Metrics().registry.collect():
        kind, name = metric.type, metric.name + ("_total" if metric.type == "counter" else "")
        labels = ", ".join(f"`{label}`" for label in _labels(name))
        rows.append(f"| `{name}` | {kind} | {labels} | {metric.documentation} |")
    return "\n".join(rows)


def _labels(name: str) -> tuple[str, ...]:
    collectors = Metrics().registry._names_to_collectors  # the only place where prometheus_client keeps them
    return tuple(getattr(collectors[name], "_labelnames", ()))


def settings() -> str:
    """All settings, for docs/settings.md."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, info in Settings.model_fields.items():
        default = "required" if info.is_required() else f"`{info.get_default(call_default_factory=True)}`"
        rows.append(f"| `GATEWAY_{name.upper()}` | {default} | {info.description} |")
    return "\n".join(rows)


def close_codes() -> str:
    """The codes that the gateway closes WebSockets with, for docs/api.md."""
    rows = ["| code | meaning | what the client does |", "|---|---|---|"]
    return "\n".join(rows + [f"| {int(code)} | {code.meaning} | {code.client} |" for code in CloseCode])


TABLES: Final = {
    "event kinds": ("events.md", event_kinds),
    "context fields": ("context.md", context_fields),
    "campaign file fields": ("campaigns.md", campaign_file_fields),
    "metrics": ("metrics.md", metrics),
    "settings": ("settings.md", settings),
    "close codes": ("api.md", close_codes),
}


def documented(name: str) -> str:
    """A table as the documentation has it now. Raises ValueError when it is not there."""
    text = (DOCS / TABLES[name][0]).read_text(encoding="utf-8")
    start = START.format(name=name) + "\n"
    return text[text.index(start) + len(start) : text.index("\n" + END, text.index(start))]


def write_all() -> None:
    """Put every table into its page."""
    for name, (page, make) in TABLES.items():
        path = DOCS / page
        path.write_text(path.read_text(encoding="utf-8").replace(documented(name), make()), encoding="utf-8")


if __name__ == "__main__":
    write_all()
