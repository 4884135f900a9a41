"""What a condition may ask of its variables, checked beyond CEL: the fields that objects have, and the kinds of their values.

CEL knows maps, of which every key may be there, and calls the values of those that differ `dyn`: `page.typ` would be missing, and
`purchases.count == "3"` false, for every visitor. Here the shapes of values are followed through the tree of a condition, loops
included. What is not known (a trait, `dyn(…)`) fits everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.model.conditions.cel_tree import Call, Comprehension, Elements, Identifier, Literal, Node, Select


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value of one of some kinds; of none: no value is there yet."""

    kinds: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list; `item` None: of whatever."""

    item: ValueType | None


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map from texts; any key may be there."""

    value: ValueType | None


@dataclass(frozen=True, slots=True)
class ObjectOf:
    """An object with known fields; `name` names it for people."""

    name: str
    fields: Mapping[str, ValueType | None]


ValueType = Scalar | ListOf | MapOf | ObjectOf

STRING: Final = Scalar(frozenset({"text"}))
NUMBER: Final = Scalar(frozenset({"number"}))
BOOLEAN: Final = Scalar(frozenset({"truth"}))
NULL: Final = Scalar(frozenset({"null"}))
_KIND_NAMES: Final = {
    "text": "a text",
    "number": "a number",
    "truth": "true or false",
    "null": "null",
    "list": "a list",
    "object": "an object",
}
_COMPARISONS: Final = ("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_")
_ARGUMENT_TYPES: Final = {
    **dict.fromkeys(("_&&_", "_||_", "!_"), BOOLEAN),
    **dict.fromkeys(("_-_", "_*_", "_/_", "_%_", "-_"), NUMBER),
    **dict.fromkeys(("contains", "startsWith", "endsWith", "matches"), STRING),
}
"""What every argument of a function has to be."""
_RESULT_TYPES: Final = {
    **dict.fromkeys((*_COMPARISONS, "_&&_", "_||_", "!_", "@in", "@not_strictly_false", "bool"), BOOLEAN),
    **dict.fromkeys(("contains", "startsWith", "endsWith", "matches"), BOOLEAN),
    **dict.fromkeys(("size", "int", "uint", "double"), NUMBER),
    "string": STRING,
}


class TypeMismatch(Exception):
    """A field that is not there, or a value of the wrong kind. `field`: what of the node is wrong, where it is a field of it."""

    def __init__(self, message: str, node: Node, field: str | None = None) -> None:
        super().__init__(message)
        self.node = node
        self.field = field


def type_of(node: Node, shapes: Mapping[str, ValueType | None]) -> ValueType | None:
    """The shape of what a node gives, None where it is not known. Raises `TypeMismatch` for the first thing in it that cannot be."""
    match node:
        case Literal():
            return _of_literal(node.value)
        case Identifier():
            return shapes.get(node.name)
        case Select():
            found = _field(node, type_of(node.operand, shapes), node.field)
            return BOOLEAN if node.is_test else found
        case Elements():
            elements = [type_of(element, shapes) for element in node.elements]
            return ListOf(_joined(elements)) if node.is_list else MapOf(_joined(elements[1::2]))
        case Comprehension():
            return _of_loop(node, shapes)
        case Call():
            return _of_call(node, [type_of(argument, shapes) for argument in node.arguments])


def describe(shape: ValueType) -> str:
    """A shape in words."""
    return " or ".join(_KIND_NAMES[kind] for kind in sorted(_kinds(shape)))


def is_compatible(shape: ValueType, wanted: ValueType) -> bool:
    """Whether what has one shape can be, or equal, what has the other."""
    return not _kinds(shape) or bool(_kinds(shape) & _kinds(wanted))


def _kinds(shape: ValueType) -> frozenset[str]:
    if isinstance(shape, Scalar):
        return shape.kinds
    return frozenset({"list"} if isinstance(shape, ListOf) else {"object"})


def _of_literal(value: object) -> ValueType | None:
    if value is None:
        return NULL
    if isinstance(value, bool):
        return BOOLEAN
    return {str: STRING, int: NUMBER, float: NUMBER}.get(type(value))


def _field(node: Node, operand: ValueType | None, field: str) -> ValueType | None:
    if isinstance(operand, MapOf):
        return operand.value
    if isinstance(operand, ObjectOf):
        if field not in operand.fields:
            raise TypeMismatch(f"{operand.name} has no field '{field}'; known are {', '.join(operand.fields)}", node, field)
        return operand.fields[field]
    if operand is not None and _kinds(operand):
        raise TypeMismatch(f"{describe(operand)} has no field '{field}'", node, field)
    return None


def _of_loop(loop: Comprehension, shapes: Mapping[str, ValueType | None]) -> ValueType | None:
    items = type_of(loop.items, shapes)
    item = items.item if isinstance(items, ListOf) else STRING if isinstance(items, MapOf | ObjectOf) else None
    start = type_of(loop.start, shapes)
    within = {**shapes, loop.item: item, loop.accumulator: start}
    type_of(loop.condition, within)
    return type_of(loop.result, {**shapes, loop.accumulator: _joined([start, type_of(loop.step, within)])})


def _of_call(call: Call, arguments: Sequence[ValueType | None]) -> ValueType | None:
    function = call.function
    wanted = _ARGUMENT_TYPES.get(function)
    for argument in arguments:
        if wanted is not None and argument is not None and not is_compatible(argument, wanted):
            raise TypeMismatch(f"this takes {describe(wanted)}, not {describe(argument)}", call)
    match function:
        case "_[_]":
            return _item(call, arguments[0])
        case "@in":
            _check_in(call, *arguments)
        case "_?_:_":
            return _joined(arguments[1:])
        case "_+_" | "_-_" | "_*_" | "_/_" | "_%_" | "-_":
            _check_alike(call, *arguments, cannot="do not add up")
            return _joined(arguments)
    if function in _COMPARISONS:
        _check_alike(call, *arguments)
    return _RESULT_TYPES.get(function)


def _item(call: Call, operand: ValueType | None) -> ValueType | None:
    if isinstance(operand, ListOf):
        return operand.item
    key = call.arguments[1]
    if isinstance(operand, ObjectOf) and isinstance(key, Literal) and isinstance(key.value, str):
        return _field(call, operand, key.value)
    return operand.value if isinstance(operand, MapOf) else None


def _check_in(call: Call, item: ValueType | None, container: ValueType | None) -> None:
    key = call.arguments[0]
    if isinstance(container, ObjectOf) and isinstance(key, Literal) and isinstance(key.value, str):
        _field(call, container, key.value)
    inside = container.item if isinstance(container, ListOf) else STRING if isinstance(container, MapOf | ObjectOf) else None
    _check_alike(call, item, inside)


def _check_alike(call: Call, *shapes: ValueType | None, cannot: str = "cannot be compared") -> None:
    known = [shape for shape in shapes if shape is not None and _kinds(shape)]
    if len(known) == 2 and not is_compatible(*known):
        raise TypeMismatch(f"{describe(known[0])} and {describe(known[1])} {cannot}", call)


def _joined(shapes: Sequence[ValueType | None]) -> ValueType | None:
    """What is of one of these shapes."""
    found: ValueType | None = Scalar()
    for shape in shapes:
        found = _either(found, shape)
    return found


def _either(one: ValueType | None, other: ValueType | None) -> ValueType | None:
    if one == other or other == Scalar():
        return one
    if one == Scalar():
        return other
    if isinstance(one, Scalar) and isinstance(other, Scalar):
        return Scalar(one.kinds | other.kinds)
    if isinstance(one, ListOf) and isinstance(other, ListOf):
        return ListOf(_either(one.item, other.item))
    return None
