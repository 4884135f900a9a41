"""`gateway documents`: build the manifest of trusted documents.

Exit codes: 0 built, 1 a document is invalid, 2 the manifest cannot be written.
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
from gateway.reports.columns import counted
from gateway.transport.documents.manifest import InvalidManifest, documents_of, write_manifest
from gateway.transport.documents.persisted_documents import check_documents

_OPERATION: Final = re.compile(r"(query|mutation)\b[^{]*[({]")


def build_manifest(options: argparse.Namespace) -> int:
    """Check documents against the schema and write their manifest."""
    try:
        documents = documents_of(options.sources) if options.sources or not options.with_commands else []
        if options.with_commands:
            documents += command_documents()
        check_documents(build_schema(), documents, production=False)
    except InvalidManifest as problem:
        print(problem, file=sys.stderr)
        return 1
    try:
        options.out.write_bytes(write_manifest(documents))
    except OSError as problem:
        print(f"gateway: cannot write {options.out}: {problem}", file=sys.stderr)
        return 2
    print(f"{options.out}: {counted(len(set(documents)), 'document')}")
    return 0


def command_documents() -> list[str]:
    """The documents that this program's own commands send: the constants of their modules that are operations."""
    return list(dict.fromkeys(_operations()))


def _operations() -> Iterator[str]:
    for module_info in pkgutil.iter_modules(gateway.commands.__path__):
        module = importlib.import_module(f"{gateway.commands.__name__}.{module_info.name}")
        yield from (value for value in vars(module).values() if isinstance(value, str) and _OPERATION.match(value))
