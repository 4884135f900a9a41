"""Which answers a shared cache may keep: those that contain nothing about a visitor.

The request must be a GET of a persisted document, so that the URL is short and identifies one operation. Its fields must be the
same for everyone with a publishable key. An answer with errors is never kept.
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
"""Root fields that can be public. Each stays public only with the arguments listed here."""

_VALID_UNTIL: Final = "validUntil"


def public_seconds(
    document: DocumentNode, request: GraphQLRequest, payload: Mapping[str, Any], public: PublicFields, max_s: int, now_s: float
) -> int:
    """How long a shared cache may keep the answer, in seconds; 0: not at all.

    At most `max_s`, and never beyond a `validUntil` in the answer. `now_s` is unix time.
    """
    operation = _operation(document, request.operation_name)
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    variables = _variables_with_value(operation, request)
    roots = _fields(operation.selection_set.selections, fragments)
    if "errors" in payload or not all(_is_public(field, variables, public) for field in roots):
        return 0
    try:
        return max(0, min([max_s, *(int(until_s - now_s) for until_s in _valid_until_s(payload.get("data")))]))
    except ValueError:  # a field with that alias is not a time
        return 0


def _is_public(field: FieldNode, variables: frozenset[str], public: PublicFields) -> bool:
    if field.name.value == "__typename":
        return True
    allowed = public.get(field.name.value)
    if allowed is None:
        return False
    return all(argument.name.value in allowed or _is_omitted(argument.value, variables) for argument in field.arguments or ())


def _is_omitted(value: object, variables: frozenset[str]) -> bool:
    return isinstance(value, VariableNode) and value.name.value not in variables


def _variables_with_value(operation: OperationDefinitionNode, request: GraphQLRequest) -> frozenset[str]:
    """The variables that have a value, from the request or by default."""
    sent = {name for name, value in (request.variables or {}).items() if value is not None}
    defaults = {node.variable.name.value for node in operation.variable_definitions or () if node.default_value is not None}
    return frozenset(sent | defaults)


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


def _valid_until_s(data: object) -> Iterator[float]:
    """Every `validUntil` in the answer, as unix time. Raises ValueError."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            if key == _VALID_UNTIL and isinstance(value, str):
                yield datetime.datetime.fromisoformat(value).timestamp()
            else:
                yield from _valid_until_s(value)
    elif isinstance(data, list):
        for item in data:
            yield from _valid_until_s(item)
