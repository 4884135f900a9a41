"""docs/architecture.md against the code: its file names, its drawing of layers, and the sentences at the heads of the rooms."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

from tests.support.rooms import imports_of, layers, may_import, rooms
from tests.support.words import ROOT, tracked

TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FILES = {str(path.relative_to(ROOT)) for path in tracked()}
ROOMS = rooms()
TABLE = dict(re.findall(r"^\| `([\w/]+)` \| (.+) \|$", TEXT.partition("## The rooms\n")[2], re.MULTILINE))
NEVER_A_ROOM = {"frontend_snippet", "frontend_snippet/vectors"}
"""Packages for the sake of a script, which belongs to TypeScript."""


def drawn() -> dict[str, list[str]]:
    """The layers as drawn, the highest first, by the folder at the head of their column."""
    (block,) = re.findall(r"^```layers\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    found: dict[str, list[str]] = {}
    heads: list[tuple[str, int, int]] = []
    for line in block.splitlines():
        names = re.findall(r"\S+", line)
        if names and all((ROOT / name).is_dir() for name in names):
            starts = [match.start() for match in re.finditer(r"\S+", line)]
            heads = [(name, start, end) for name, (start, end) in zip(names, pairwise([*starts, 1_000]), strict=True)]
            found |= {name: [] for name in names}
        else:
            for name, start, end in heads:
                if cell := line[start:end].strip():
                    found[name].append(cell)
    return found


def test_every_file_that_it_names_exists() -> None:
    """As a path from the project's root; a folder ends with a slash."""
    houses = "gateway|processors|clients|local_stack|frontend_snippet|tests|scripts|examples|bench|graphiql|docs"
    named = set(re.findall(rf"`((?:{houses})/[\w./-]*)`", TEXT))
    assert len(named) > 50
    files = {name for name in named if "." in name.rpartition("/")[2]}
    assert files - FILES == set()
    assert [name for name in named - files if not (ROOT / name).exists()] == []


def test_the_drawing_shows_the_layers_of_the_import_contracts() -> None:
    """The same layers, in the same order."""
    assert drawn() == layers()


def test_every_room_has_its_sentence_in_the_table() -> None:
    """Word for word the docstring of its `__init__.py`; print the table with: python -m tests.support.rooms"""
    assert TABLE == ROOMS


def test_every_package_is_a_room() -> None:
    """A new folder is told of here as well."""
    packages = {str(path.parent.relative_to(ROOT)) for path in tracked("*/__init__.py", "**/__init__.py")}
    assert packages - NEVER_A_ROOM == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_never_comes_in(room: str) -> None:
    """After what it may import."""
    assert re.search(r"\. May import .+?\. .*\bNever\b", ROOMS[room])


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_what_its_sentence_allows(room: str) -> None:
    """Nothing else of the project."""
    allowed = may_import(room, ROOMS[room])
    assert [(file, name) for file, name in imports_of(room) if not any(f"{name}.".startswith(f"{one}.") for one in allowed)] == []
