"""The words that a native reader stumbles over, and where the project's public text is. `python -m tests.support.words` lists what is left.

Public text: the schema's descriptions, every string of the code that a person may read (errors, help, log lines), and every page of
documentation. Docstrings and comments are not looked at.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]

INSTEAD: Final = {
    r"anew": "again; re-created; starts over",
    r"gives(?! up)": "returns; has; makes",
    r"told|tells|says why": "reports; shows; explains",
    r"beside": "next to; in addition; also",
    r"a text|texts|(a|in|of) whole numbers?|whole numbers?|(?<!source of )truth": "a string; an integer; a boolean",
    r"(?<!there )(is|are) no(?! longer)": "is not a valid X; is invalid; there are no X",
    r"(?<!there )are none": "there are none",
    r"(is|are|stands?|comes?) (there )?twice": "duplicate X",
    r"nobody in particular": "anonymous; no visitor",
    r"what (became|becomes|came|comes) of": "the outcome of; the results of",
    r"whoever": "a visitor who",
    r"of then|of now": "at that time; current",
    r"so (many|long)": "that many; for this long",
    r"also (if|where|when)|(?<=, )too, (if|where)": "even if; even where",
    r"belongs? into": "belong in",
    r"begin of": "start of",
    r"of several": "If there are several",
    r"at one go|some dozen": "in one pass; a few dozen",
    r"and else|else it would|or else": "otherwise",
    r"(go|goes|went|gone) by": "use",
    r": good(?![\w-])": "OK",
    r"does not hold yet": "is not valid yet",
}
_WORDS: Final = {
    re.compile(rf"(?<![\w-])(?:{pattern})(?![\w-])" if not pattern.startswith(":") else pattern, re.IGNORECASE): better
    for pattern, better in INSTEAD.items()
}
_CODE: Final = ("gateway", "processors", "clients", "local_stack", "examples", "bench", "scripts")


class Stumble(NamedTuple):
    """A word that is to be replaced: where it stands, what it is, and what to write."""

    place: str
    word: str
    instead: str
    line: str


def stumbles_of(text: str, place: str, first_line: int = 1) -> Iterator[Stumble]:
    """The words to replace in a text. `first_line` is the number of its first line."""
    words = list(re.finditer(r"\S+", text))
    flat = " ".join(word[0] for word in words)
    starts = [0, *accumulate(len(word[0]) + 1 for word in words)]
    for pattern, instead in _WORDS.items():
        for match in pattern.finditer(flat):
            word = words[bisect_right(starts, match.start()) - 1]
            line = text.count("\n", 0, word.start()) + first_line
            yield Stumble(f"{place}:{line}", match[0], instead, flat[max(0, match.start() - 40) : match.end() + 40].strip())


def public_strings(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of every string of a Python file that holds a space and is not a docstring."""
    tree = ast.parse(source)
    docstrings = {
        id(node.value)
        for parent in ast.walk(tree)
        if isinstance(parent, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        for node in parent.body
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value and id(node) not in docstrings:
            yield node.lineno, node.value


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository that match any of `patterns`."""
    return [ROOT / name for name in subprocess.check_output(["git", "ls-files", *patterns], cwd=ROOT, text=True).split()]


def all_stumbles() -> list[Stumble]:
    """Every word that is still to be replaced."""
    found: list[Stumble] = []
    pages = tracked("schema.graphql", "*.md", "frontend_snippet/src/*.ts", "examples/*.yaml", "scripts/*", ".ci/run")
    for path in pages:
        if path.suffix != ".py":
            found += stumbles_of(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)))
    for path in tracked(*(f"{room}/**.py" for room in _CODE)):
        for line, text in public_strings(path.read_text(encoding="utf-8")):
            found += stumbles_of(text, str(path.relative_to(ROOT)), line)
    return found


if __name__ == "__main__":
    wanted = tuple(sys.argv[1:])
    for one in all_stumbles():
        if one.place.startswith(wanted or ""):
            print(f"{one.place}: {one.word!r} (write: {one.instead})   …{one.line}…")
