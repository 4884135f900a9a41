"""The lint of the snippet's sources finds what it is there for."""

from __future__ import annotations

import subprocess
from pathlib import Path

from local_stack.artifacts.builds import SNIPPET
from local_stack.artifacts.npm import NODE, ensure_packages, environment


def _lint(folder: Path) -> str:
    """What oxlint reports on a folder by the snippet's rules; an empty string if it finds nothing."""
    ensure_packages(SNIPPET)
    # Named one by one: a folder that git ignores, such as that of a test, would be passed over.
    files = [str(path) for path in folder.rglob("*.ts")]
    command = [str(NODE), str(SNIPPET / "node_modules/oxlint/bin/oxlint"), "--config", str(SNIPPET / ".oxlintrc.json"), *files]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    return "" if done.returncode == 0 else done.stdout


def test_the_sources_pass() -> None:
    """No circle of imports, no file over 400 lines, no function over 50."""
    assert _lint(SNIPPET / "src") == ""


def test_a_circle_of_imports_is_found_even_if_it_is_of_types_only(tmp_path: Path) -> None:
    """A type-only import vanishes in the build, but a reader meets the circle all the same."""
    (tmp_path / "one.ts").write_text('import type { Other } from "./other.ts";\nexport type One = Other[];\n')
    (tmp_path / "other.ts").write_text('import type { One } from "./one.ts";\nexport type Other = { one: One };\n')
    assert "Dependency cycle detected" in _lint(tmp_path)


def test_long_files_and_long_functions_are_found(tmp_path: Path) -> None:
    """One line more than allowed."""
    (tmp_path / "long.ts").write_text("// A comment is a line, too.\n" * 401)
    assert "max-lines" in _lint(tmp_path)
    (tmp_path / "long.ts").write_text("export const f = () => {\n" + "  console.log();\n" * 49 + "};\n")
    assert "max-lines-per-function" in _lint(tmp_path)
