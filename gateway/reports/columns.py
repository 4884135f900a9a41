"""Text for a terminal: rows in columns, and no character that could move its cursor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def columns(rows: Iterable[Sequence[str]], *, numbers: bool = False) -> list[str]:
    """Lines with the cells of `rows` in columns, indented by two spaces; the last column is not padded.

    `numbers`: right-align all columns but the first.
    """
    all_rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*all_rows, strict=True)]
    lines = []
    for row in all_rows:
        cells = [
            cell.rjust(width) if numbers and index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  " + "  ".join(cells if numbers else [*cells[:-1], row[-1]]))
    return lines


def counted(count: int, noun: str) -> str:
    """`1 campaign`, `2 campaigns`: for nouns whose plural ends in s."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def printable(text: str) -> str:
    """`text` with each character that could move the cursor of a terminal replaced: events and topics may hold anything."""
    return "".join(character if character.isprintable() else "�" for character in text)
