"""The examples of docs/api.md: who may ask, the operation, its variables, the answer; how a shown answer is compared with a real one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

TEXT: Final = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
MORE: Final = "…"
"""In a shown answer: what differs from answer to answer, and what may follow."""
CREDENTIALS: Final = ("publishable key", "visitor token", "secret key")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@dataclass(frozen=True, slots=True)
class Example:
    """One operation of the docs. Without variables it has none. `credentials`: who may ask; the answer is that to the first."""

    field: str
    credentials: tuple[str, ...]
    document: str
    variables: dict[str, Any]
    answer: dict[str, Any]


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def section(title: str) -> str:
    """The text under a heading, up to the next heading."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", TEXT, re.DOTALL | re.MULTILINE)
    assert found is not None, f"docs/api.md has no heading {title}"
    return found[1]


def _example(field: str) -> Example:
    text = section(field)
    said = re.search(r"^Credential: (.*)\.$", text, re.MULTILINE)
    assert said is not None, f"{field}: the docs do not say which credential it needs"
    (document,) = blocks(text, "graphql")
    *variables, answer = (json.loads(block) for block in blocks(text, "json"))
    return Example(field, tuple(re.findall("|".join(CREDENTIALS), said[1])), document, variables[0] if variables else {}, answer)


EXAMPLES: Final = [_example(field) for field in re.findall(r"^### (\w+)$", TEXT, re.MULTILINE)]


def filled(value: Any, placeholders: dict[str, Any]) -> Any:
    """Variables with their placeholders filled in: a text such as `<user>` by what is given for it."""
    if isinstance(value, dict):
        return {name: filled(item, placeholders) for name, item in value.items()}
    if isinstance(value, list):
        return [filled(item, placeholders) for item in value]
    if isinstance(value, str) and re.fullmatch(r"<[^<>]+>", value):
        given = placeholders[value]
        return given() if callable(given) else given
    return value


def differences(shown: Any, real: Any, path: str = "") -> list[str]:
    """Where a real answer is not as the shown one says. Numbers are compared by their kind, times by their form."""
    if isinstance(shown, dict) and isinstance(real, dict):
        lacking = shown.keys() - real.keys() - {MORE}
        unknown = set() if MORE in shown else real.keys() - shown.keys()
        found = [f"{path}: {sorted(lacking)} lacking, {sorted(unknown)} not shown"] if lacking or unknown else []
        return found + [one for name in shown if name in real for one in differences(shown[name], real[name], f"{path}.{name}")]
    if isinstance(shown, list) and isinstance(real, list):
        items = shown[:-1] if MORE in shown[-1:] else shown
        if len(real) < len(items) or (items is shown and len(real) > len(items)):
            return [f"{path}: {len(items)} items shown, {len(real)} came"]
        return [one for index, item in enumerate(items) for one in differences(item, real[index], f"{path}[{index}]")]
    return [] if _alike(shown, real) else [f"{path}: {shown!r} shown, {real!r} came"]


def _alike(shown: Any, real: Any) -> bool:
    if isinstance(shown, str) and isinstance(real, str):
        if _TIME.fullmatch(shown):
            return _TIME.fullmatch(real) is not None
        return re.fullmatch(".+".join(map(re.escape, shown.split(MORE))), real, re.DOTALL) is not None
    is_number = type(shown) in (int, float)
    return type(shown) is type(real) and (is_number or shown == real)
