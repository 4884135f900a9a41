"""Limits: what a document may ask for (judged before it is validated), and how much one client may hold open.

A document is judged twice: its text by one pass of a regular expression (size, tokens, nesting: a hostile one is
refused without being parsed), then its syntax tree with all fragments counted as often as they are spread.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

from gateway.errors import Throttled


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """Upper bounds for one document. `depth` counts fields inside fields; introspection has its own (it is off in production)."""

    document_bytes: int = 16 * 1024
    tokens: int = 1000
    nesting: int = 32
    depth: int = 12
    introspection_depth: int = 20
    fields: int = 400
    """Cost: all fields, fragments expanded."""
    aliases: int = 30
    root_fields: int = 20
    directives: int = 20


class DocumentTooLarge(Exception):
    """A document passes a limit. The message names the limit, its value and what was found."""

    def __init__(self, limit: str, allowed: int, found: int | str) -> None:
        super().__init__(f"The document is too large: {limit} {found}, allowed are {allowed}. Ask for less at once.")
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
    """Raise DocumentTooLarge when the text passes the limits on size, tokens or nesting. Stops at the first excess."""
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
    """What a selection set amounts to, its fragments expanded."""

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
    """Raise DocumentTooLarge when an operation passes a limit. Cycles of fragments are left to validation."""
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
            found: int = getattr(size, limit)
            allowed: int = getattr(limits, limit)
            if found > allowed:
                raise DocumentTooLarge(limit, allowed, found)


def _fragment_size(name: str, fragments: dict[str, FragmentDefinitionNode], sizes: dict[str, _Size]) -> _Size:
    known = sizes.get(name)
    if known is not None:
        return known
    fragment = fragments.get(name)
    sizes[name] = _Size()  # while it is being measured: a cycle counts as nothing, validation refuses it
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
                # Most fields: counted in place, for a hostile document has many.
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


class ConnectionSlots:
    """Counts open connections, in all and by address."""

    def __init__(self, most: int, most_per_address: int) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._open: Counter[str] = Counter()
        self._all = 0

    @property
    def open(self) -> int:
        """Connections open now."""
        return self._all

    @contextmanager
    def hold(self, address: str) -> Iterator[None]:
        """Hold a slot for the length of the block. Raises Throttled when none is left."""
        if self._all >= self._most or self._open[address] >= self._most_per_address:
            if not self._open[address]:
                del self._open[address]
            raise Throttled("Too many open connections: try again later.", retry_after_ms=5000)
        self._all += 1
        self._open[address] += 1
        try:
            yield
        finally:
            self._all -= 1
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]


class RateLimit:
    """A token bucket: `burst` at once, `per_second` in the long run."""

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._clock = clock
        self._left = float(burst)
        self._at = clock()

    def take(self) -> bool:
        """Take one; False when nothing is left."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
