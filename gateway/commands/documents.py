"""`gateway documents`: make the manifest of trusted documents.

Exit codes: 0 good, 1 a document is not, 2 the manifest cannot be written.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import re
import sys
from collections.abc import Iterator
from typing import Final

import gateway.commands
from gateway.api.schema import build_schema
from gateway.transport.documents.manifest import InvalidManifest, documents_of, write_manifest
from gateway.transport.documents.persisted_documents import check_documents

_OPERATION: Final = re.compile(r"(query|mutation)\b[^{]*[({]")


def build(options: argparse.Namespace) -> int:
    """Check documents against the schema and write their manifest."""
    try:
        texts = documents_of(options.sources) if options.sources or not options.with_commands else []
        if options.with_commands:
            texts += own_documents()
        check_documents(build_schema(), texts, production=False)
    except InvalidManifest as problem:
        print(problem, file=sys.stderr)
        return 1
    try:
        options.out.write_bytes(write_manifest(texts))
    except OSError as problem:
        print(f"gateway: {options.out} cannot be written: {problem}", file=sys.stderr)
        return 2
    print(f"{options.out}: {len(set(texts))} documents")
    return 0


def own_documents() -> list[str]:
    """What the commands of this program send: their module constants that are operations."""
    return list(dict.fromkeys(_operations()))


def _operations() -> Iterator[str]:
    for found in pkgutil.iter_modules(gateway.commands.__path__):
        module = importlib.import_module(f"{gateway.commands.__name__}.{found.name}")
        yield from (value for value in vars(module).values() if isinstance(value, str) and _OPERATION.match(value))
