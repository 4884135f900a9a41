"""The text of a condition, taken apart for people: its parts, and the variables each of them looks at.

This reads just enough of CEL to tell where a part ends; what a part means is left to CEL itself. The tokens:
https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from gateway.model.conditions.condition import VARIABLES

SHOWN_CHARACTERS: Final = 120
"""A value longer than this is cut."""

Path = tuple[str, ...]
"""A variable and the fields of it that are looked at: `page.type` is ("page", "type")."""

_TOKEN: Final = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*)
    |(?P<raw>[bB]?[rR][bB]?(?:'{3}.*?'{3}|"{3}.*?"{3}|'[^'\n]*'|"[^"\n]*"))
    |(?P<text>[bB]?(?:'{3}(?:\\.|.)*?'{3}|"{3}(?:\\.|.)*?"{3}|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"))
    |(?P<quoted>`[^`]*`)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<number>\d[\w.]*)
    |(?P<sign>&&|\|\||\.\?|\[\?|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_OPENING: Final = {"(": ")", "[": "]", "[?": "]", "{": "}"}
_MISSING: Final = object()


class _Token(NamedTuple):
    kind: str
    text: str
    start: int


def parts_of(text: str) -> list[str]:
    """The parts that `&&` joins at the top of a condition, in order; one that `||` or `? :` joins is one part."""
    tokens = _tokens(text)
    depth, cuts = 0, []
    for token in tokens:
        if token.kind != "sign":
            continue
        if token.text in _OPENING:
            depth += 1
        elif token.text in _OPENING.values():
            depth -= 1
        elif depth == 0 and token.text in ("||", "?"):
            return [text.strip()]
        elif depth == 0 and token.text == "&&":
            cuts.append(token.start)
    if depth != 0:
        return [text.strip()]
    if not cuts:
        inner = _inside(text, tokens)
        return [text.strip()] if inner is None else parts_of(inner)
    starts = [0, *(cut + 2 for cut in cuts)]
    return [part for start, end in zip(starts, [*cuts, len(text)], strict=True) for part in parts_of(text[start:end])]


def paths_of(text: str) -> list[Path]:
    """What a condition looks at, each once, in order: variables with the fields that follow them."""
    tokens = _tokens(text)
    found: dict[Path, None] = {}
    for index, token in enumerate(tokens):
        if token.kind == "name" and token.text in VARIABLES and not _is_field(tokens, index) and not _is(tokens, index + 1, "("):
            found[_path(tokens, index)] = None
    return list(found)


def variables_of(text: str) -> list[str]:
    """The variables that a condition looks at, each once, in order."""
    return list(dict.fromkeys(path[0] for path in paths_of(text)))


def values_text(paths: Iterable[Path], values: Mapping[str, Any]) -> str:
    """The values of some paths in words: `page.type = "home", cart = [] (0 items)`."""
    return ", ".join(f"{_written(path)} = {_value_text(_lookup(values, path))}" for path in paths)


@lru_cache(maxsize=4096)
def _tokens(text: str) -> tuple[_Token, ...]:
    found = (_Token(match.lastgroup or "", match[0], match.start()) for match in _TOKEN.finditer(text))
    return tuple(token for token in found if token.kind != "space")


def _inside(text: str, tokens: tuple[_Token, ...]) -> str | None:
    """What stands within the brackets around a whole text, or None when there are none."""
    if len(tokens) < 3 or tokens[0].text != "(" or tokens[-1].text != ")":
        return None
    depth = 0
    for token in tokens[:-1]:
        if token.kind == "sign" and token.text in _OPENING:
            depth += 1
        elif token.kind == "sign" and token.text in _OPENING.values():
            depth -= 1
            if depth == 0:
                return None
    return text[tokens[0].start + 1 : tokens[-1].start]


def _is(tokens: tuple[_Token, ...], index: int, text: str) -> bool:
    return 0 <= index < len(tokens) and tokens[index].kind == "sign" and tokens[index].text == text


def _is_field(tokens: tuple[_Token, ...], index: int) -> bool:
    """Whether the name is a field of what stands before it. A dot at the beginning names the variable itself."""
    if not _is(tokens, index - 1, ".") and not _is(tokens, index - 1, ".?"):
        return False
    before = tokens[index - 2] if index >= 2 else None
    return before is not None and (before.kind != "sign" or before.text in _OPENING.values())


def _path(tokens: tuple[_Token, ...], index: int) -> Path:
    path = [tokens[index].text]
    index += 1
    while True:
        step = tokens[index + 1] if index + 1 < len(tokens) else None
        if step is None:
            break
        if (_is(tokens, index, ".") or _is(tokens, index, ".?")) and step.kind in ("name", "quoted") and not _is(tokens, index + 2, "("):
            path.append(step.text.strip("`"))
            index += 2
        elif (_is(tokens, index, "[") or _is(tokens, index, "[?")) and step.kind == "text" and _is(tokens, index + 2, "]"):
            literal = step.text[1:-1]
            if "\\" in literal or step.text[0] not in "'\"" or step.text[:3] in ("'''", '"""'):
                break
            path.append(literal)
            index += 3
        else:
            break
    return tuple(path)


def _lookup(values: Mapping[str, Any], path: Path) -> object:
    found: Any = values
    for key in path:
        if not isinstance(found, Mapping) or key not in found:
            return _MISSING
        found = found[key]
    return found


def _written(path: Path) -> str:
    first, *rest = path
    return first + "".join(f".{key}" if re.fullmatch(r"[A-Za-z_]\w*", key) else f"[{json.dumps(key, ensure_ascii=False)}]" for key in rest)


def _value_text(value: object) -> str:
    if value is _MISSING:
        return "(missing)"
    shown = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    if len(shown) > SHOWN_CHARACTERS:
        shown = shown[: SHOWN_CHARACTERS - 1] + "…"
    return f"{shown} ({len(value)} item{'' if len(value) == 1 else 's'})" if isinstance(value, list) else shown
