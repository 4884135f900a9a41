"""Where in a file a character of a YAML scalar stands: behind quotes, escapes, folded lines and the indentation of blocks.

White space is what YAML adds and takes away; of everything else a scalar has as many characters, in the same order, as its
source. So a character is found by counting: https://yaml.org/spec/1.2.2/#chapter-7-flow-style-productions, and chapter 8.
"""

from __future__ import annotations

import re
from typing import Final

import yaml

_WHITE: Final = " \t\r\n\x85\u2028\u2029"
_BREAK: Final = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_PROPERTIES: Final = re.compile(rf"(?:[&!][^{_WHITE}]*[{_WHITE}]+)*")
_ESCAPE: Final = re.compile(r"\\(?:x(..)|u(.{4})|U(.{8})|(\r\n|.))", re.DOTALL)
_WHITE_ESCAPES: Final = _WHITE + "ntrNLP"


def place_in(text: str, node: yaml.ScalarNode, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of the character at `offset` in the node's value; `text` is the whole file."""
    start = _PROPERTIES.match(text, node.start_mark.index)
    begin = start.end() if start is not None else node.start_mark.index
    if node.style in ("|", ">"):
        header_end = _BREAK.search(text, begin)
        begin = header_end.end() if header_end is not None else len(text)
    elif node.style in ("'", '"'):
        begin += 1
    # The last visible character up to there, and how far behind it the wanted one is: white space or the end.
    seen = [at for at, character in enumerate(node.value[: offset + 1]) if character not in _WHITE]
    found = begin + offset if not seen else _visible(text, begin, node.style, len(seen)) + offset - seen[-1]
    breaks = [match.end() for match in _BREAK.finditer(text, node.start_mark.index, found)]
    return (node.start_mark.line + 1 + len(breaks), found - breaks[-1] + 1 if breaks else _column(node, found))


def _column(node: yaml.ScalarNode, found: int) -> int:
    column: int = node.start_mark.column + found - node.start_mark.index + 1
    return column


def _visible(text: str, begin: int, style: str | None, count: int) -> int:
    """Where the `count`-th visible character from `begin` on is written."""
    at = begin
    while at < len(text):
        escape = _ESCAPE.match(text, at) if style == '"' else None
        if escape is not None:
            is_visible, width = not _is_white(escape), len(escape[0])
        else:
            is_visible, width = text[at] not in _WHITE, 2 if style == "'" and text[at] == "'" else 1
        count -= is_visible
        if count == 0:
            break
        at += width
    return at


def _is_white(escape: re.Match[str]) -> bool:
    code = escape[1] or escape[2] or escape[3]
    return chr(int(code, 16)) in _WHITE if code else escape[4][0] in _WHITE_ESCAPES
