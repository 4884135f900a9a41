"""The size of the house, which no other linter measures: folders, files and functions of product code, and circles of imports.

`scripts/lint` runs it. Prints a line for each finding; the exit code is 1 if there is one. Functions in JavaScript and TypeScript, and
circles of imports there, are oxlint's part.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Final

import grimp

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGES: Final = ("gateway", "processors", "personalization_gateway", "local_stack", "examples", "bench")
PRODUCT: Final = ("gateway", "processors", "clients", "local_stack", "examples", "bench", "frontend_snippet/src", "graphiql/src", "scripts")
SOURCES: Final = frozenset({".css", ".html", ".js", ".jsx", ".mjs", ".py", ".ts", ".vue", ""})
FOLDER_FILES: Final = 20
FILE_LINES: Final = 400
FUNCTION_LINES: Final = 50


def sources() -> list[Path]:
    """Product code under version control, relative to the project."""
    listed = subprocess.run(["git", "ls-files", "-z", *PRODUCT], cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S607 - the git of whoever runs it
    return [path for name in listed.split("\0") if name and (path := Path(name)).suffix in SOURCES and (ROOT / path).is_file()]


def large_folders(files: list[Path]) -> Iterator[str]:
    """Folders with more source files than one can take in; what lies in their subfolders does not count."""
    for folder, count in Counter(path.parent for path in files).items():
        if count > FOLDER_FILES:
            yield f"{folder}: {count} source files, at most {FOLDER_FILES} are allowed; which of them belong together in a folder?"


def long_files(files: list[Path]) -> Iterator[str]:
    """Files with too many lines."""
    for path in files:
        lines = len((ROOT / path).read_text(encoding="utf-8").splitlines())
        if lines > FILE_LINES:
            yield f"{path}: {lines} lines, at most {FILE_LINES} are allowed"


def long_functions(files: list[Path]) -> Iterator[str]:
    """Functions of Python with too many lines, from `def` to the last one."""
    for path in files:
        if path.suffix != ".py":
            continue
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    yield f"{path}:{node.lineno}: {node.name} has {lines} lines, at most {FUNCTION_LINES} are allowed"


def circle_of_imports() -> Iterator[str]:
    """A circle of modules that import each other, if there is one; imports for types and within functions count."""
    sys.path.insert(0, str(ROOT))
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        yield f"circle of imports: {' -> '.join(reversed(error.args[1]))}"


def main() -> int:
    """Print every finding; 1 if there is one."""
    files = sources()
    findings = [*large_folders(files), *long_files(files), *long_functions(files), *circle_of_imports()]
    for finding in findings:
        print(finding)
    print("house: " + (f"{len(findings)} findings" if findings else f"OK, {len(files)} files"))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
