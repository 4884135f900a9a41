"""A condition taken apart for people: its parts, and the variables each of them looks at. All of it is read from CEL's own tree."""

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
"""A value longer than this is cut."""
KEPT_CONDITIONS: Final = 4096
"""Conditions whose parts stay at hand, for the next explanation."""

Path = tuple[str, ...]
"""A variable and the fields of it that are looked at: `page.type` is ("page", "type")."""

_MISSING: Final = object()
_INDEX: Final = frozenset({"_[_]", "_[?_]", "_?._"})
"""What CEL calls `a["b"]` and its optional forms."""


def parts_of(condition: Condition) -> tuple[Condition, ...]:
    """The parts that `&&` joins at the top of a condition, in order; one that `||` or `? :` joins is one part."""
    return _parts(condition.text)


def paths_of(condition: Condition) -> list[Path]:
    """What a condition looks at, each once, in order: variables with the fields that follow them."""
    tree = Tree(condition.expression.serialize())
    found = sorted(_paths(tree.root, frozenset()), key=lambda pair: tree.offset_of(pair[0]))
    return list(dict.fromkeys(path for _, path in found))


def variables_of(condition: Condition) -> list[str]:
    """The variables that a condition looks at, each once, in order."""
    return list(dict.fromkeys(path[0] for path in paths_of(condition)))


def values_text(paths: Iterable[Path], values: Mapping[str, Any]) -> str:
    """The values of some paths in words: `page.type = "home", cart = [] (0 items)`."""
    return ", ".join(f"{_written(path)} = {_value_text(_lookup(values, path))}" for path in paths)


@lru_cache(maxsize=KEPT_CONDITIONS)
def _parts(text: str) -> tuple[Condition, ...]:
    whole = Condition(text)
    tree = Tree(whole.expression.serialize())
    cuts = sorted(tree.offset_of(node) for node in and_operators(tree.root))
    pieces = [text[start:end] for start, end in zip([0, *(cut + len("&&") for cut in cuts)], [*cuts, len(text)], strict=True)]
    parts = [_part(piece, node) for piece, node in zip(pieces, conjuncts(tree.root), strict=True)]
    return tuple(part for part in parts if part is not None) if None not in parts else (whole,)


def _part(piece: str, node: Node) -> Condition | None:
    """The condition of a piece of text that means `node`. Brackets that were opened before it, or close after it, are taken off."""
    meaning = _form(node)
    for text in _without_brackets(piece.strip()):
        try:
            part = Condition(text)
        except InvalidCondition:
            continue
        if _form(Tree(part.expression.serialize()).root) == meaning:
            return part
    return None


def _without_brackets(text: str) -> Iterator[str]:
    """The text with any number of brackets taken off its ends, the shortest first."""
    starts, ends = [text], [0]
    while starts[-1].startswith("("):
        starts.append(starts[-1][1:].lstrip())
    while (inner := text[: len(text) - ends[-1]].rstrip()).endswith(")"):
        ends.append(len(text) - len(inner) + 1)
    pairs = sorted(itertools.product(range(len(starts)), range(len(ends))), key=sum, reverse=True)
    yield from (starts[opened][: len(starts[opened]) - ends[closed]].rstrip() for opened, closed in pairs)


def _form(node: Any) -> Any:
    """A tree without the numbers of its nodes, to be compared."""
    if isinstance(node, tuple):
        return tuple(map(_form, node))
    if not is_dataclass(node):
        return (type(node), node)
    return (type(node), *(_form(getattr(node, field.name)) for field in fields(node) if field.name != "node_id"))


def _paths(node: Node, bound: frozenset[str]) -> Iterator[tuple[Identifier, Path]]:
    """Each variable below a node with its fields. `bound`: names that the loops around it give to their items."""
    chain = _chain(node)
    if chain is not None:
        if chain[0].name in VARIABLES and chain[0].name not in bound:
            yield chain[0], (chain[0].name, *chain[1])
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


def _chain(node: Node) -> tuple[Identifier, Path] | None:
    """The variable that a node is a field of, with the fields that lead to it."""
    match node:
        case Identifier():
            return node, ()
        case Select(operand=operand, field=field):
            pass
        case Call(function=function, arguments=(operand, Literal(value=str(field)))) if function in _INDEX:
            pass
        case _:
            return None
    chain = _chain(operand)
    return None if chain is None else (chain[0], (*chain[1], field))


def _lookup(values: Mapping[str, Any], path: Path) -> object:
    value: Any = values
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return _MISSING
        value = value[key]
    return value


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
