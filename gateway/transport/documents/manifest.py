"""The manifest: a JSON file of trusted documents, each under its id.

    {"documents": {"sha256:<hash of the text>": "query …"}, "operations": {"<operation name>": "sha256:…"}}

`operations` is for tools that build clients; the gateway reads only `documents`. A name that several documents have is
ambiguous, so it is left out there.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
from graphql import DocumentNode, FragmentDefinitionNode, FragmentSpreadNode, GraphQLError, OperationDefinitionNode, Visitor, parse, visit

_SUFFIX: Final = ".graphql"


class InvalidManifest(Exception):
    """Documents or a manifest that cannot be used; `problems` lists every mistake with its place."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


def document_id(text: str) -> str:
    """The id of a document: `sha256:` and the hash of its text in UTF-8, in lower-case hexadecimal digits."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def read_manifests(paths: Iterable[Path]) -> dict[str, str]:
    """All documents of some manifests, by id, not checked against the schema. Raises InvalidManifest."""
    documents_by_id: dict[str, str] = {}
    problems: list[str] = []
    for path in paths:
        try:
            documents = _documents(orjson.loads(path.read_bytes()))
        except (OSError, ValueError) as problem:
            problems.append(f"{path}: {problem}")
            continue
        for claimed_id, text in documents.items():
            if not isinstance(text, str) or claimed_id != document_id(text):
                problems.append(f"{path}: {claimed_id} is not the id of its document; create the file with `gateway documents build`")
            else:
                documents_by_id[claimed_id] = text
    if problems:
        raise InvalidManifest(problems)
    return documents_by_id


def _documents(manifest: Any) -> dict[str, Any]:
    documents = manifest.get("documents") if isinstance(manifest, Mapping) else None
    if not isinstance(documents, dict):
        raise ValueError('a manifest is a JSON object {"documents": {"sha256:…": "query …"}}')
    return documents


def write_manifest(documents: Iterable[str]) -> bytes:
    """The manifest of some documents, sorted by id, so that equal sources result in equal files."""
    by_id = {document_id(text): text for text in documents}
    operations = [(name, text_id) for text_id, text in by_id.items() for name in _operation_names(parse(text))]
    counts = Counter(name for name, _ in operations)
    unique = {name: text_id for name, text_id in operations if counts[name] == 1}
    manifest = {"documents": dict(sorted(by_id.items())), "operations": dict(sorted(unique.items()))}
    return orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def documents_of(sources: Iterable[Path]) -> list[str]:
    """The documents in .graphql files and folders of them. A file with operations is one document.

    Fragments that it spreads may be in another file; their text is appended. Raises InvalidManifest.
    """
    files: dict[Path, tuple[str, DocumentNode]] = {}
    problems: list[str] = []
    for path in _files(sources, problems):
        try:
            text = path.read_text(encoding="utf-8").strip()
            files[path] = (text, parse(text))
        except GraphQLError as problem:
            place = problem.locations[0] if problem.locations else None
            problems.append(f"{path}:{place.line}:{place.column}: {problem.message}" if place else f"{path}: {problem.message}")
        except (OSError, UnicodeDecodeError) as problem:
            problems.append(f"{path}: {problem}")
    fragments = _fragments(files, problems)
    documents = [_with_fragments(path, text, tree, fragments, problems) for path, (text, tree) in files.items() if _has_operation(tree)]
    if not problems and not documents:
        problems.append("no operation was found: name files that end in .graphql, or folders that contain some")
    if problems:
        raise InvalidManifest(problems)
    return documents


def _files(sources: Iterable[Path], problems: list[str]) -> list[Path]:
    files: dict[Path, None] = {}
    for source in sources:
        if source.is_dir():
            files.update(dict.fromkeys(sorted(source.rglob(f"*{_SUFFIX}"))))
        elif source.is_file():
            files[source] = None
        else:
            problems.append(f"{source}: no such file or folder")
    return list(files)


def _fragments(files: Mapping[Path, tuple[str, DocumentNode]], problems: list[str]) -> dict[str, tuple[str, DocumentNode]]:
    """The fragments of all files by name, each with its own text."""
    fragments: dict[str, tuple[str, DocumentNode]] = {}
    for path, (text, tree) in files.items():
        for node in tree.definitions:
            if not isinstance(node, FragmentDefinitionNode) or node.loc is None:
                continue
            name = node.name.value
            own_text = text[node.loc.start : node.loc.end]
            if name in fragments and fragments[name][0] != own_text:
                problems.append(f"{path}: another file has a different fragment {name}; rename one of them")
            fragments[name] = (own_text, DocumentNode(definitions=(node,)))
    return fragments


def _with_fragments(
    path: Path, text: str, tree: DocumentNode, fragments: Mapping[str, tuple[str, DocumentNode]], problems: list[str]
) -> str:
    """The text with the fragments that it spreads and does not contain."""
    included = {node.name.value for node in tree.definitions if isinstance(node, FragmentDefinitionNode)}
    wanted = _spreads(tree)
    while wanted:
        name = wanted.pop(0)
        if name in included:
            continue
        included.add(name)
        if name not in fragments:
            problems.append(f"{path}: no file has the fragment {name}")
            continue
        own_text, fragment = fragments[name]
        text += "\n\n" + own_text
        wanted += _spreads(fragment)
    return text


class _SpreadCollector(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def enter_fragment_spread(self, node: FragmentSpreadNode, *_: object) -> None:
        self.names.append(node.name.value)


def _spreads(tree: DocumentNode) -> list[str]:
    visitor = _SpreadCollector()
    visit(tree, visitor)
    return visitor.names


def _has_operation(tree: DocumentNode) -> bool:
    return any(isinstance(node, OperationDefinitionNode) for node in tree.definitions)


def _operation_names(tree: DocumentNode) -> list[str]:
    return [node.name.value for node in tree.definitions if isinstance(node, OperationDefinitionNode) and node.name]
