"""The rooms of the project: the folders with an `__init__.py`, and the sentence at the head of each.

`python -m tests.support.rooms` prints the table of rooms for docs/architecture.md.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.support.words import ROOT, tracked

HOUSES: Final = (
    "gateway",
    "processors",
    "clients/python/personalization_gateway",
    "local_stack",
    "examples",
    "bench",
    "tests/support",
    "tests/contracts",
)
"""Where rooms are, in the order of the table."""
BASES: Final = (ROOT, ROOT / "clients" / "python")
"""The folders that dotted names start from."""
NOTHING: Final = "nothing of the project"
"""What a room says that may import no other."""


def rooms() -> dict[str, str]:
    """Each room by its folder, with the docstring of its `__init__.py` in one line."""
    found: dict[str, str] = {}
    for house in HOUSES:
        for path in sorted(tracked(f"{house}/__init__.py", f"{house}/**/__init__.py")):
            docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            found[str(path.parent.relative_to(ROOT))] = " ".join(docstring.split())
    return found


def may_import(room: str, sentence: str) -> set[str]:
    """The dotted names of what a room may import, from its sentence. Raises AssertionError where it names nothing that exists."""
    stated = re.search(r"May import (.+?)\. ", sentence)
    assert stated is not None, f"{room} does not say what it may import"
    if stated[1] == NOTHING:
        return set()
    return {_resolved(room, name) for name in re.split(r", | and ", stated[1])}


def _resolved(room: str, name: str) -> str:
    """A name as a room says it: of a neighbour, of something further out, or of another house."""
    for folder in (*(ROOT / parent for parent in Path(room).parents), *BASES):
        path = folder / name.replace(".", "/")
        if path.is_dir() or path.with_suffix(".py").is_file():
            return _dotted(path)
    raise AssertionError(f"{room} may import {name}, which does not exist")


def imports_of(room: str) -> Iterator[tuple[str, str]]:
    """File and dotted name of everything of the project that the modules of a room import from outside of it."""
    for path in tracked(f"{room}/*.py"):
        if path.parent != ROOT / room:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            for name in names:
                if any((base / name.split(".")[0]).is_dir() for base in BASES) and not _is_of(name, room):
                    yield str(path.relative_to(ROOT)), name


def _is_of(name: str, room: str) -> bool:
    """Whether a module is of this room itself, not of a room within it."""
    dotted = _dotted(ROOT / room)
    if name == dotted:
        return True
    dotted += "."
    return name.startswith(dotted) and not (ROOT / room / name.removeprefix(dotted).split(".")[0]).is_dir()


def _dotted(path: Path) -> str:
    """The name by which a folder or module is imported."""
    base = next(base for base in reversed(BASES) if path.is_relative_to(base))
    return str(path.relative_to(base)).replace("/", ".")


def layers() -> dict[str, list[str]]:
    """The layers of the import contracts, the highest first, by the folder that they are in."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    found: dict[str, list[str]] = {}
    for contract in contracts:
        if contract["type"] == "layers":
            (folder,) = contract.get("containers", ["gateway"])
            found[folder.replace(".", "/")] = [layer.replace(f"{folder}.", "") for layer in contract["layers"]]
    return found


def table() -> str:
    """The table of rooms, in Markdown."""
    return "".join(["| room | what belongs in it |\n|---|---|\n", *(f"| `{room}` | {sentence} |\n" for room, sentence in rooms().items())])


if __name__ == "__main__":
    print(table(), end="")
