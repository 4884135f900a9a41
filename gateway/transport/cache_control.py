"""Which answers a shared cache may keep: those that say nothing about anybody.

Only of a GET that names a persisted document, so that a URL is short and means one operation; only of fields that are the
same for everybody who asks by a publishable key; never of an answer with errors.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    VariableNode,
)

from gateway.transport.documents.execution import GraphQLRequest

PublicFields = Mapping[str, frozenset[str]]
"""Root fields that are public, each with the arguments that leave it so."""

_VALID_UNTIL: Final = "validUntil"


def public_seconds(
    document: DocumentNode, request: GraphQLRequest, payload: Mapping[str, Any], public: PublicFields, most_s: int, now_s: float
) -> int:
    """How long a shared cache may keep the answer; 0: not at all.

    `most_s` at most, and not beyond a `validUntil` that the answer shows. `now_s` is unix time.
    """
    operation = _operation(document, request.operation_name)
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    given = _given_variables(operation, request)
    roots = _fields(operation.selection_set.selections, fragments)
    if "errors" in payload or not all(_is_public(field, given, public) for field in roots):
        return 0
    try:
        return max(0, min([most_s, *(int(until - now_s) for until in _ends(payload.get("data")))]))
    except ValueError:  # another field was given that name, and is no time
        return 0


def _is_public(field: FieldNode, given: frozenset[str], public: PublicFields) -> bool:
    if field.name.value == "__typename":
        return True
    allowed = public.get(field.name.value)
    if allowed is None:
        return False
    return all(argument.name.value in allowed or _is_left_out(argument.value, given) for argument in field.arguments or ())


def _is_left_out(value: object, given: frozenset[str]) -> bool:
    return isinstance(value, VariableNode) and value.name.value not in given


def _given_variables(operation: OperationDefinitionNode, request: GraphQLRequest) -> frozenset[str]:
    """Variables that have a value: from the request or by their default."""
    found = {name for name, value in (request.variables or {}).items() if value is not None}
    found |= {one.variable.name.value for one in operation.variable_definitions or () if one.default_value is not None}
    return frozenset(found)


def _operation(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    operations = (node for node in document.definitions if isinstance(node, OperationDefinitionNode))
    return next(node for node in operations if name is None or (node.name is not None and node.name.value == name))


def _fields(selections: Iterable[SelectionNode], fragments: Mapping[str, FragmentDefinitionNode]) -> Iterator[FieldNode]:
    for node in selections:
        if isinstance(node, FieldNode):
            yield node
        elif isinstance(node, InlineFragmentNode):
            yield from _fields(node.selection_set.selections, fragments)
        elif isinstance(node, FragmentSpreadNode):
            yield from _fields(fragments[node.name.value].selection_set.selections, fragments)


def _ends(found: object) -> Iterator[float]:
    if isinstance(found, Mapping):
        for key, value in found.items():
            if key == _VALID_UNTIL and isinstance(value, str):
                yield datetime.datetime.fromisoformat(value).timestamp()
            else:
                yield from _ends(value)
    elif isinstance(found, list):
        for one in found:
            yield from _ends(one)
