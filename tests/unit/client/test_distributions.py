"""What the two distributions install: the client alone on one side, the gateway and the processors on the other."""

from __future__ import annotations

import ast
import subprocess
import sys
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[3]


def wheel_of(project: Path, folder: Path) -> ZipFile:
    """The wheel of a project, built."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return ZipFile(path)


@pytest.mark.parametrize(
    ("project", "packages"), [(ROOT, {"gateway", "processors"}), (ROOT / "clients" / "python", {"personalization_gateway"})]
)
def test_a_distribution_installs_its_packages_only(project: Path, packages: set[str], tmp_path: Path) -> None:
    """A shop with a package called `gateway` can use the client; nobody gets the examples."""
    with wheel_of(project, tmp_path) as wheel:
        names = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == packages


def test_the_clients_distribution_is_complete(tmp_path: Path) -> None:
    """Its types, its documents, its licence; it requires nothing but a choice of HTTP clients."""
    folder = ROOT / "clients" / "python" / "personalization_gateway"
    with wheel_of(folder.parent, tmp_path) as wheel:
        names = set(wheel.namelist())
        (metadata,) = [Parser().parsestr(wheel.read(name).decode()) for name in names if name.endswith("/METADATA")]
    assert {f"personalization_gateway/{path.relative_to(folder)}" for path in folder.rglob("*.graphql")} <= names
    assert "personalization_gateway/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert metadata["Name"] == "personalization-gateway-client"
    assert metadata.get_all("Requires-Dist") == ["httpx>=0.28; extra == 'httpx'", "httpx2>=2.0; extra == 'httpx2'"]


def test_the_client_imports_the_standard_library_and_an_http_client_only() -> None:
    """So that it can be installed next to everything."""
    allowed = {*sys.stdlib_module_names, "personalization_gateway", "httpx", "httpx2"}
    for path in (ROOT / "clients" / "python").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or "."] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert {name.split(".")[0] for name in names} <= allowed, path
