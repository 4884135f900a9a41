"""What a person reads while files are downloaded."""

from __future__ import annotations

import io

from rich.console import Console

from local_stack.console import DownloadProgress


def _shown(*, is_terminal: bool) -> str:
    output = io.StringIO()
    console = Console(file=output, force_terminal=is_terminal, width=100)
    with DownloadProgress("downloading 40 jars", 40_000_000, console) as progress:
        for number in range(40):
            progress.add(1_000_000, f"org.example:a-jar-with-a-name-that-is-longer-than-a-line-of-this-terminal-may-be:{number}")
    return output.getvalue()


def test_a_log_gets_a_line_for_every_tenth() -> None:
    """The first says how much it will be, the last how long it took; none is broken, and there is nothing but text."""
    first, *tenths, last = _shown(is_terminal=False).splitlines()
    assert first == "downloading 40 jars, 40.0 MB"
    assert len(tenths) == 10
    assert tenths[0] == "   10 %     4.0 MB  org.example:a-jar-with-a-name-that-is-longer-than-a-line-of-this-terminal-may-be:3"
    assert last.startswith("  done in ")


def test_a_terminal_gets_a_bar() -> None:
    """The bar is the only line that changes."""
    shown = _shown(is_terminal=True)
    assert "downloading 40 jars" in shown
    assert "40.0/40.0 MB" in shown
    assert "org.example" not in shown
