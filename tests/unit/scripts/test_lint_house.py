"""The lint of sizes finds what it is for, and counts as its messages say."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import lint_house


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own."""
    monkeypatch.setattr(lint_house, "ROOT", tmp_path)
    return tmp_path


def test_a_folder_with_a_file_too_many_is_named() -> None:
    """Twenty files are allowed, and those of a subfolder are not its own."""
    files = [Path("gateway") / f"module_{number}.py" for number in range(20)]
    files += [Path("gateway/model") / f"module_{number}.py" for number in range(21)]
    assert [finding.partition(":")[0] for finding in lint_house.large_folders(files)] == ["gateway/model"]


@pytest.mark.parametrize(("lines", "findings"), [(400, []), (401, ["long.ts: 401 lines, at most 400 are allowed"])])
def test_a_long_file_is_named(house: Path, lines: int, findings: list[str]) -> None:
    """In any language."""
    (house / "long.ts").write_text("x;\n" * lines)
    assert list(lint_house.long_files([Path("long.ts")])) == findings


@pytest.mark.parametrize(("lines", "findings"), [(50, []), (51, ["long.py:2: work has 51 lines, at most 50 are allowed"])])
def test_a_long_function_is_named(house: Path, lines: int, findings: list[str]) -> None:
    """From `def` to its last line; decorators do not count."""
    (house / "long.py").write_text("@cache\nasync def work():\n" + "    x()\n" * (lines - 1))
    assert list(lint_house.long_functions([Path("long.py")])) == findings


def test_a_circle_of_imports_is_shown(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order in which its modules import each other; a package that imports its own module is one too."""
    monkeypatch.setattr(lint_house, "PACKAGES", ("round_house",))
    monkeypatch.syspath_prepend(str(house))
    package = house / "round_house"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text("import round_house\n")
    assert list(lint_house.circle_of_imports()) == []
    (package / "__init__.py").write_text("from round_house import one\n")
    (finding,) = lint_house.circle_of_imports()
    assert finding in {
        "circle of imports: round_house -> round_house.one -> round_house",
        "circle of imports: round_house.one -> round_house -> round_house.one",
    }
