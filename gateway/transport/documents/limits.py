"""Limits on what a document may ask for, checked before it is validated.

A document is checked twice. First its text, by one pass of a regular expression (size, tokens, nesting), so that a hostile
document is refused without being parsed. Then its syntax tree, in which a fragment counts each time it is spread.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
)


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """Upper limits for one document. `depth` counts nested fields; introspection has its own depth (it is off in production)."""

    document_bytes: int = 16 * 1024
    tokens: int = 1000
    nesting: int = 32
    depth: int = 12
    introspection_depth: int = 20
    fields: int = 400
    """The cost: all fields, with fragments expanded."""
    aliases: int = 30
    root_fields: int = 20
    directives: int = 20


class DocumentTooLarge(Exception):
    """A document exceeds a limit. The message names the limit, its value, and the value of the document."""

    def __init__(self, limit: str, allowed: int, actual: int | str) -> None:
        super().__init__(f"The document is too large: {limit} is {actual}, the limit is {allowed}. Request less at once.")
        self.limit = limit
        self.allowed = allowed


# Section 2.1 of the GraphQL specification: a token is a punctuator, name, number, string or block string.
_TOKEN: Final = re.compile(
    r'"""(?:[^"\\]|\\"""|\\|"{1,2}(?!"))*+"""|"(?:[^"\\\n\r]|\\.)*+"|#[^\n\r]*|[_A-Za-z][_0-9A-Za-z]*|\.\.\.|-?[0-9][-+.0-9eE]*|[!$&()\[\]:=@{|}]'
)
_INTROSPECTION: Final = frozenset({"__schema", "__type"})
_OPENING: Final = "{[("
_CLOSING: Final = "}])"


def check_text(text: str, limits: DocumentLimits) -> None:
    """Check size, tokens and nesting of the text. Raises DocumentTooLarge at the first limit that is exceeded."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    if size > limits.document_bytes:
        raise DocumentTooLarge("document_bytes", limits.document_bytes, size)
    tokens = nesting = 0
    for match in _TOKEN.finditer(text):
        first = text[match.start()]
        if first == "#":
            continue
        tokens += 1
        if tokens > limits.tokens:
            raise DocumentTooLarge("tokens", limits.tokens, f"over {limits.tokens}")
        if first in _OPENING:
            nesting += 1
            if nesting > limits.nesting:
                raise DocumentTooLarge("nesting", limits.nesting, f"over {limits.nesting}")
        elif first in _CLOSING:
            nesting -= 1


@dataclass(slots=True)
class _Size:
    """The size of a selection set, with its fragments expanded."""

    depth: int = 0
    introspection_depth: int = 0
    root_fields: int = 0
    fields: int = 0
    aliases: int = 0
    directives: int = 0

    def add(self, other: _Size) -> None:
        self.depth = max(self.depth, other.depth)
        self.introspection_depth = max(self.introspection_depth, other.introspection_depth)
        self.root_fields += other.root_fields
        self.fields += other.fields
        self.aliases += other.aliases
        self.directives += other.directives


def check_document(document: DocumentNode, limits: DocumentLimits) -> None:
    """Check every operation of the document. Raises DocumentTooLarge. Cycles of fragments are left to validation."""
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    sizes: dict[str, _Size] = {}
    for name in fragments:
        _fragment_size(name, fragments, sizes)
    for definition in document.definitions:
        if not isinstance(definition, OperationDefinitionNode):
            continue
        size = _selections_size(definition.selection_set.selections, fragments, sizes)
        size.directives += len(definition.directives or ())
        for limit in ("depth", "introspection_depth", "root_fields", "fields", "aliases", "directives"):
            actual: int = getattr(size, limit)
            allowed: int = getattr(limits, limit)
            if actual > allowed:
                raise DocumentTooLarge(limit, allowed, actual)


def _fragment_size(name: str, fragments: dict[str, FragmentDefinitionNode], sizes: dict[str, _Size]) -> _Size:
    known = sizes.get(name)
    if known is not None:
        return known
    fragment = fragments.get(name)
    sizes[name] = _Size()  # while it is measured: a cycle counts as nothing, because validation rejects it
    if fragment is not None:
        size = _selections_size(fragment.selection_set.selections, fragments, sizes)
        size.directives += len(fragment.directives or ())
        sizes[name] = size
    return sizes[name]


def _selections_size(selections: tuple[SelectionNode, ...], fragments: dict[str, FragmentDefinitionNode], sizes: dict[str, _Size]) -> _Size:
    size = _Size()
    for node in selections:
        size.directives += len(node.directives or ())
        if isinstance(node, FragmentSpreadNode):
            size.add(_fragment_size(node.name.value, fragments, sizes))
        elif isinstance(node, InlineFragmentNode):
            size.add(_selections_size(node.selection_set.selections, fragments, sizes))
        elif isinstance(node, FieldNode):
            if node.selection_set is None and node.name.value not in _INTROSPECTION:
                # Most fields are leaves. They are counted in place, because a hostile document has many.
                size.depth = size.depth or 1
                size.root_fields += 1
                size.fields += 1
                size.aliases += node.alias is not None
            else:
                size.add(_field_size(node, fragments, sizes))
    return size


def _field_size(node: FieldNode, fragments: dict[str, FragmentDefinitionNode], sizes: dict[str, _Size]) -> _Size:
    inner = _selections_size(node.selection_set.selections, fragments, sizes) if node.selection_set else _Size()
    inner.root_fields = 1
    inner.fields += 1
    inner.aliases += node.alias is not None
    if node.name.value in _INTROSPECTION:
        inner.introspection_depth = inner.depth + 1
        inner.depth = 1
    else:
        inner.depth += 1
    return inner
