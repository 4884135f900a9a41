"""Marks: the line and column of a character of a YAML scalar, despite quotes, escapes, folded lines and indentation.

YAML adds and removes only white space; apart from that, a scalar has the same characters in the same order as its source. So a
character is found by counting: https://yaml.org/spec/1.2.2/#chapter-7-flow-style-productions, and chapter 8.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import yaml

_WHITE: Final = " \t\r\n\x85\u2028\u2029"
_BREAK: Final = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_PROPERTIES: Final = re.compile(rf"(?:[&!][^{_WHITE}]*[{_WHITE}]+)*")
_ESCAPE: Final = re.compile(r"\\(?:x(..)|u(.{4})|U(.{8})|(\r\n|.))", re.DOTALL)
_WHITE_ESCAPES: Final = _WHITE + "ntrNLP"


class Mark(NamedTuple):
    """A place in a file; line and column count from 1."""

    line: int
    column: int


def mark_of(node: yaml.Node) -> Mark:
    """Where a node starts."""
    return Mark(node.start_mark.line + 1, node.start_mark.column + 1)


def mark_in(text: str, node: yaml.ScalarNode, offset: int) -> Mark:
    """The mark of the character at `offset` in the value of a scalar; `text` is the whole file."""
    properties = _PROPERTIES.match(text, node.start_mark.index)
    start = properties.end() if properties is not None else node.start_mark.index
    if node.style in ("|", ">"):
        header_end = _BREAK.search(text, start)
        start = header_end.end() if header_end is not None else len(text)
    elif node.style in ("'", '"'):
        start += 1
    # The last visible character up to the offset, and how far after it the offset is: in white space, or at the end.
    visible = [index for index, character in enumerate(node.value[: offset + 1]) if character not in _WHITE]
    index = start + offset if not visible else _index_of_visible(text, start, node.style, len(visible)) + offset - visible[-1]
    breaks = [match.end() for match in _BREAK.finditer(text, node.start_mark.index, index)]
    first = mark_of(node)
    return Mark(first.line + len(breaks), index - breaks[-1] + 1 if breaks else first.column + index - node.start_mark.index)


def _index_of_visible(text: str, start: int, style: str | None, count: int) -> int:
    """Where the `count`-th visible character from `start` on is written."""
    index = start
    while index < len(text):
        escape = _ESCAPE.match(text, index) if style == '"' else None
        if escape is not None:
            is_visible, width = not _is_white(escape), len(escape[0])
        else:
            is_visible, width = text[index] not in _WHITE, 2 if style == "'" and text[index] == "'" else 1
        count -= is_visible
        if count == 0:
            break
        index += width
    return index


def _is_white(escape: re.Match[str]) -> bool:
    code = escape[1] or escape[2] or escape[3]
    return chr(int(code, 16)) in _WHITE if code else escape[4][0] in _WHITE_ESCAPES
