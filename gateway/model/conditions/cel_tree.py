"""The tree of a compiled condition, read from CEL's own serialized form: `cel.expr.CheckedExpr`, a protocol buffer.

Its messages, with the numbers of their fields: https://github.com/google/cel-spec/blob/master/proto/cel/expr/checked.proto and
syntax.proto; the encoding: https://protobuf.dev/programming-guides/encoding/. Macros are expanded: `cart.exists(line, …)` is a
comprehension.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_ANY_VALUE: Final = 2
_EXPR: Final = 4
_SOURCE_INFO: Final = 5
_POSITIONS: Final = 4


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant: a string, a number, a boolean, null (None), or bytes."""

    node_id: int
    value: Any


@dataclass(frozen=True, slots=True)
class Identifier:
    """A variable, of the condition or of a comprehension."""

    node_id: int
    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """A field of something; `is_test`: within `has(…)`."""

    node_id: int
    operand: Node
    field: str
    is_test: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A function or an operator (`_==_`, `_&&_`, `_[_]`, `@in`). The object that a method is called on is its first argument."""

    node_id: int
    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Elements:
    """A list literal, or the keys and values of a map literal."""

    node_id: int
    elements: tuple[Node, ...]
    is_list: bool


@dataclass(frozen=True, slots=True)
class Comprehension:
    """A loop over `items`: `accumulator` starts as `start`, becomes `step` for each item, and `result` is computed from it at the end."""

    node_id: int
    item: str
    items: Node
    accumulator: str
    start: Node
    condition: Node
    step: Node
    result: Node


Node = Literal | Identifier | Select | Call | Elements | Comprehension


class Tree:
    """The tree of a compiled condition, from `Expression.serialize()`, which wraps it in a `google.protobuf.Any`."""

    def __init__(self, serialized: bytes) -> None:
        checked = dict(_fields(dict(_fields(serialized))[_ANY_VALUE]))
        self.root = _node(checked[_EXPR])
        self._source_info = checked[_SOURCE_INFO]

    def offset_of(self, node: Node) -> int:
        """The offset of a node in the text, in characters: of its operator, of the dot of a field, of the bracket of a call."""
        entries = (dict(_fields(entry)) for number, entry in _fields(self._source_info) if number == _POSITIONS)
        return next((entry.get(2, 0) for entry in entries if entry.get(1, 0) == node.node_id), 0)


def nodes_of(root: Node) -> Iterator[Node]:
    """All nodes of a tree."""
    pending = [root]
    while pending:
        node = pending.pop()
        yield node
        match node:
            case Select():
                pending.append(node.operand)
            case Call():
                pending.extend(node.arguments)
            case Elements():
                pending.extend(node.elements)
            case Comprehension():
                pending += (node.items, node.start, node.condition, node.step, node.result)


def conjuncts(root: Node) -> Iterator[Node]:
    """The parts that `&&` joins at the top level, in order of evaluation."""
    pending = [root]
    while pending:
        node = pending.pop()
        if isinstance(node, Call) and node.function == "_&&_":
            pending.extend(reversed(node.arguments))
        else:
            yield node


def and_operators(root: Node) -> Iterator[Node]:
    """The `&&` operators that join the parts at the top level."""
    pending = [root]
    while pending:
        node = pending.pop()
        if isinstance(node, Call) and node.function == "_&&_":
            yield node
            pending.extend(node.arguments)


def path_of(node: Node) -> tuple[str, ...] | None:
    """The variable and its fields, if the node is `variable.field.field`; otherwise None."""
    fields: list[str] = []
    while isinstance(node, Select) and not node.is_test:
        fields.append(node.field)
        node = node.operand
    return (node.name, *reversed(fields)) if isinstance(node, Identifier) else None


def _node(message: bytes) -> Node:
    fields = dict(_fields(message))
    node_id = fields.get(2, 0)
    kind = next(number for number in range(3, 10) if number in fields)
    return _READERS[kind](node_id, fields[kind])


def _literal(node_id: int, message: bytes) -> Node:
    ((number, value),) = _fields(message)
    match number:
        case 1:
            return Literal(node_id, None)
        case 2:
            return Literal(node_id, bool(value))
        case 3:
            return Literal(node_id, value - (1 << 64) if value >= 1 << 63 else value)
        case 5:
            return Literal(node_id, struct.unpack("<d", value)[0])
        case 6:
            return Literal(node_id, value.decode())
    return Literal(node_id, value)


def _name(node_id: int, message: bytes) -> Node:
    return Identifier(node_id, dict(_fields(message))[1].decode())


def _select(node_id: int, message: bytes) -> Node:
    fields = dict(_fields(message))
    return Select(node_id, _node(fields[1]), fields[2].decode(), bool(fields.get(3, 0)))


def _call(node_id: int, message: bytes) -> Node:
    fields = list(_fields(message))
    target = [_node(value) for number, value in fields if number == 1]
    function = next(value for number, value in fields if number == 2).decode()
    return Call(node_id, function, (*target, *(_node(value) for number, value in fields if number == 3)))


def _list(node_id: int, message: bytes) -> Node:
    return Elements(node_id, tuple(_node(value) for number, value in _fields(message) if number == 1), is_list=True)


def _map(node_id: int, message: bytes) -> Node:
    entries = (entry for number, entry in _fields(message) if number == 2)
    elements = tuple(_node(value) for entry in entries for number, value in _fields(entry) if number in (3, 4))
    return Elements(node_id, elements, is_list=False)


def _loop(node_id: int, message: bytes) -> Node:
    fields = dict(_fields(message))
    nodes = {number: _node(fields[number]) for number in (2, 4, 5, 6, 7)}
    return Comprehension(node_id, fields[1].decode(), nodes[2], fields[3].decode(), nodes[4], nodes[5], nodes[6], nodes[7])


_READERS: Final = {3: _literal, 4: _name, 5: _select, 6: _call, 7: _list, 8: _map, 9: _loop}


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """(number, value) of each field of a message: an integer for a varint, bytes for everything else."""
    offset = 0
    while offset < len(message):
        tag, offset = _varint(message, offset)
        wire_type = tag & 7
        if wire_type == _VARINT:
            value, offset = _varint(message, offset)
            yield tag >> 3, value
            continue
        length = {_FIXED64: 8, _FIXED32: 4}.get(wire_type)
        if length is None:
            length, offset = _varint(message, offset)
        yield tag >> 3, message[offset : offset + length]
        offset += length


def _varint(message: bytes, offset: int) -> tuple[int, int]:
    """The varint at an offset, and the offset after it."""
    value, shift = 0, 0
    while True:
        byte = message[offset]
        value |= (byte & 127) << shift
        offset, shift = offset + 1, shift + 7
        if byte < 128:
            return value, offset
