"""Text for a terminal: rows in columns, and nothing that could move its cursor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def columns(rows: Iterable[Sequence[str]], *, numbers: bool = False) -> list[str]:
    """Rows in columns, indented by two; the last one is not padded. `numbers`: all but the first are right-aligned."""
    listed = list(rows)
    widths = [max(map(len, column)) for column in zip(*listed, strict=True)]
    lines = []
    for row in listed:
        cells = [
            cell.rjust(width) if numbers and index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  " + "  ".join(cells if numbers else [*cells[:-1], row[-1]]))
    return lines


def printable(text: str) -> str:
    """Without what could move the cursor of a terminal: texts of events may hold anything."""
    return "".join(character if character.isprintable() else "�" for character in text)
