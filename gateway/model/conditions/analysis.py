"""A condition analysed for explanations: its parts, and the variables that each part uses, read from CEL's own tree."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any, Final

from gateway.model.conditions.cel_tree import (
    Call,
    Comprehension,
    Elements,
    Identifier,
    Literal,
    Node,
    Select,
    Tree,
    and_operators,
    conjuncts,
)
from gateway.model.conditions.condition import VARIABLES, Condition, InvalidCondition

SHOWN_CHARACTERS: Final = 120
"""A longer value is cut."""
CACHED_CONDITIONS: Final = 4096
"""Conditions whose parts are cached for the next explanation."""

Path = tuple[str, ...]
"""A variable and the fields of it that are used: `page.type` is ("page", "type")."""

_MISSING: Final = object()
_INDEX_FUNCTIONS: Final = frozenset({"_[_]", "_[?_]", "_?._"})
"""CEL's names for `a["b"]` and its optional forms."""


def parts_of(condition: Condition) -> tuple[Condition, ...]:
    """The parts that `&&` joins at the top level of a condition, in order. `a || b` and `a ? b : c` are one part each."""
    return _parts(condition.text)


def paths_of(condition: Condition) -> list[Path]:
    """The variables that a condition uses, with the fields that follow them; each path once, in order."""
    tree = Tree(condition.expression.serialize())
    uses = sorted(_paths(tree.root, frozenset()), key=lambda pair: tree.offset_of(pair[0]))
    return list(dict.fromkeys(path for _, path in uses))


def variables_of(condition: Condition) -> list[str]:
    """The variables that a condition uses, each once, in order."""
    return list(dict.fromkeys(path[0] for path in paths_of(condition)))


def values_text(paths: Iterable[Path], values: Mapping[str, Any]) -> str:
    """The values of some paths as text: `page.type = "home", cart = [] (0 items)`."""
    return ", ".join(f"{_path_text(path)} = {_value_text(_lookup(values, path))}" for path in paths)


@lru_cache(maxsize=CACHED_CONDITIONS)
def _parts(text: str) -> tuple[Condition, ...]:
    whole = Condition(text)
    tree = Tree(whole.expression.serialize())
    offsets = sorted(tree.offset_of(node) for node in and_operators(tree.root))
    starts, ends = [0, *(offset + len("&&") for offset in offsets)], [*offsets, len(text)]
    pieces = [text[start:end] for start, end in zip(starts, ends, strict=True)]
    parts = [_part(piece, node) for piece, node in zip(pieces, conjuncts(tree.root), strict=True)]
    return tuple(part for part in parts if part is not None) if None not in parts else (whole,)


def _part(piece: str, node: Node) -> Condition | None:
    """The condition of a piece of text that means `node`. Brackets that were opened before it, or are closed after it, are removed."""
    expected = _without_ids(node)
    for text in _without_brackets(piece.strip()):
        try:
            part = Condition(text)
        except InvalidCondition:
            continue
        if _without_ids(Tree(part.expression.serialize()).root) == expected:
            return part
    return None


def _without_brackets(text: str) -> Iterator[str]:
    """The text with any number of brackets removed from its ends, the shortest first."""
    starts, ends = [text], [0]
    while starts[-1].startswith("("):
        starts.append(starts[-1][1:].lstrip())
    while (inner := text[: len(text) - ends[-1]].rstrip()).endswith(")"):
        ends.append(len(text) - len(inner) + 1)
    pairs = sorted(itertools.product(range(len(starts)), range(len(ends))), key=sum, reverse=True)
    yield from (starts[opened][: len(starts[opened]) - ends[closed]].rstrip() for opened, closed in pairs)


def _without_ids(node: Any) -> Any:
    """A tree without the ids of its nodes, to compare it with another one."""
    if isinstance(node, tuple):
        return tuple(map(_without_ids, node))
    if not is_dataclass(node):
        return (type(node), node)
    return (type(node), *(_without_ids(getattr(node, field.name)) for field in fields(node) if field.name != "node_id"))


def _paths(node: Node, bound: frozenset[str]) -> Iterator[tuple[Identifier, Path]]:
    """Each variable in a tree with its fields. `bound`: the names that the comprehensions around it give to their items."""
    field_path = _field_path(node)
    if field_path is not None:
        variable, names = field_path
        if variable.name in VARIABLES and variable.name not in bound:
            yield variable, (variable.name, *names)
        return
    match node:
        case Comprehension():
            yield from _paths(node.items, bound)
            inner = bound | {node.item, node.accumulator}
            for child in (node.start, node.condition, node.step, node.result):
                yield from _paths(child, inner)
        case Select():
            yield from _paths(node.operand, bound)
        case Call(arguments=children) | Elements(elements=children):
            for child in children:
                yield from _paths(child, bound)


def _field_path(node: Node) -> tuple[Identifier, Path] | None:
    """The variable that a node is a field of, with the fields that lead to it; None: it is not a field of a variable."""
    match node:
        case Identifier():
            return node, ()
        case Select(operand=operand, field=field):
            pass
        case Call(function=function, arguments=(operand, Literal(value=str(field)))) if function in _INDEX_FUNCTIONS:
            pass
        case _:
            return None
    operand_path = _field_path(operand)
    return None if operand_path is None else (operand_path[0], (*operand_path[1], field))


def _lookup(values: Mapping[str, Any], path: Path) -> object:
    value: Any = values
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return _MISSING
        value = value[key]
    return value


def _path_text(path: Path) -> str:
    first, *rest = path
    return first + "".join(f".{key}" if re.fullmatch(r"[A-Za-z_]\w*", key) else f"[{json.dumps(key, ensure_ascii=False)}]" for key in rest)


def _value_text(value: object) -> str:
    if value is _MISSING:
        return "(missing)"
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    if len(text) > SHOWN_CHARACTERS:
        text = text[: SHOWN_CHARACTERS - 1] + "…"
    return f"{text} ({len(value)} item{'' if len(value) == 1 else 's'})" if isinstance(value, list) else text
