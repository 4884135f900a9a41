"""The type check of conditions beyond CEL's own: which fields objects have, and the types of their values.

CEL has only maps, in which any key may exist, and values of mixed type are `dyn`: `page.typ` would be missing, and
`purchases.count == "3"` false, for every visitor. Here types are derived through the tree of a condition, including comprehensions.
A value of unknown type (a trait, `dyn(…)`) is compatible with everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.model.conditions.cel_tree import Call, Comprehension, Elements, Identifier, Literal, Node, Select


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value of one of some kinds. Without any kind: there is no value yet."""

    kinds: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list; `item` None: its items may be of any type."""

    item: ValueType | None


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map with string keys; any key may exist. `value` None: its values may be of any type."""

    value: ValueType | None


@dataclass(frozen=True, slots=True)
class ObjectOf:
    """An object with known fields. `name`: what messages call it."""

    name: str
    fields: Mapping[str, ValueType | None]


ValueType = Scalar | ListOf | MapOf | ObjectOf

STRING: Final = Scalar(frozenset({"string"}))
NUMBER: Final = Scalar(frozenset({"number"}))
BOOLEAN: Final = Scalar(frozenset({"boolean"}))
NULL: Final = Scalar(frozenset({"null"}))
_KIND_NAMES: Final = {
    "string": "a string",
    "number": "a number",
    "boolean": "a boolean",
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
"""The type that every argument of a function must have."""
_RESULT_TYPES: Final = {
    **dict.fromkeys((*_COMPARISONS, "_&&_", "_||_", "!_", "@in", "@not_strictly_false", "bool"), BOOLEAN),
    **dict.fromkeys(("contains", "startsWith", "endsWith", "matches"), BOOLEAN),
    **dict.fromkeys(("size", "int", "uint", "double"), NUMBER),
    "string": STRING,
}


class TypeMismatch(Exception):
    """A field that does not exist, or a value of the wrong type. `field`: the field of the node that is wrong, if it is one."""

    def __init__(self, message: str, node: Node, field: str | None = None) -> None:
        super().__init__(message)
        self.node = node
        self.field = field


def type_of(node: Node, variables: Mapping[str, ValueType | None]) -> ValueType | None:
    """The type of a node's value; None: unknown. `variables`: the types of the variables. Raises `TypeMismatch` for the first error."""
    match node:
        case Literal():
            return _of_literal(node.value)
        case Identifier():
            return variables.get(node.name)
        case Select():
            field_type = _field(node, type_of(node.operand, variables), node.field)
            return BOOLEAN if node.is_test else field_type
        case Elements():
            elements = [type_of(element, variables) for element in node.elements]
            return ListOf(_union(elements)) if node.is_list else MapOf(_union(elements[1::2]))
        case Comprehension():
            return _of_comprehension(node, variables)
        case Call():
            return _of_call(node, [type_of(argument, variables) for argument in node.arguments])


def describe(value_type: ValueType) -> str:
    """A type in words."""
    return " or ".join(_KIND_NAMES[kind] for kind in sorted(_kinds(value_type)))


def is_compatible(one: ValueType, other: ValueType) -> bool:
    """Whether a value of one type can be equal to a value of the other."""
    return not _kinds(one) or bool(_kinds(one) & _kinds(other))


def _kinds(value_type: ValueType) -> frozenset[str]:
    if isinstance(value_type, Scalar):
        return value_type.kinds
    return frozenset({"list"} if isinstance(value_type, ListOf) else {"object"})


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
            raise TypeMismatch(f"{operand.name} has no field '{field}'; known fields: {', '.join(operand.fields)}", node, field)
        return operand.fields[field]
    if operand is not None and _kinds(operand):
        raise TypeMismatch(f"{describe(operand)} has no field '{field}'", node, field)
    return None


def _of_comprehension(loop: Comprehension, variables: Mapping[str, ValueType | None]) -> ValueType | None:
    items = type_of(loop.items, variables)
    start = type_of(loop.start, variables)
    inner = {**variables, loop.item: _item_type(items), loop.accumulator: start}
    type_of(loop.condition, inner)
    return type_of(loop.result, {**variables, loop.accumulator: _union([start, type_of(loop.step, inner)])})


def _item_type(container: ValueType | None) -> ValueType | None:
    """The type of what a loop over a container sees: the items of a list, the keys of a map."""
    if isinstance(container, ListOf):
        return container.item
    return STRING if isinstance(container, MapOf | ObjectOf) else None


def _of_call(call: Call, arguments: Sequence[ValueType | None]) -> ValueType | None:
    function = call.function
    expected = _ARGUMENT_TYPES.get(function)
    for argument in arguments:
        if expected is not None and argument is not None and not is_compatible(argument, expected):
            raise TypeMismatch(f"expected {describe(expected)}, got {describe(argument)}", call)
    match function:
        case "_[_]":
            return _indexed(call, arguments[0])
        case "@in":
            _check_in(call, *arguments)
        case "_?_:_":
            return _union(arguments[1:])
        case "_+_" | "_-_" | "_*_" | "_/_" | "_%_" | "-_":
            _check_compatible(call, *arguments, problem="cannot be combined")
            return _union(arguments)
    if function in _COMPARISONS:
        _check_compatible(call, *arguments)
    return _RESULT_TYPES.get(function)


def _indexed(call: Call, operand: ValueType | None) -> ValueType | None:
    """The type of `operand[key]`."""
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
    _check_compatible(call, item, _item_type(container))


def _check_compatible(call: Call, *types: ValueType | None, problem: str = "cannot be compared") -> None:
    known = [value_type for value_type in types if value_type is not None and _kinds(value_type)]
    if len(known) == 2 and not is_compatible(*known):
        raise TypeMismatch(f"{describe(known[0])} and {describe(known[1])} {problem}", call)


def _union(types: Sequence[ValueType | None]) -> ValueType | None:
    """The type of a value that is of one of these types."""
    union: ValueType | None = Scalar()
    for value_type in types:
        union = _either(union, value_type)
    return union


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
