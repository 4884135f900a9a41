"""The client's distribution in an empty virtual environment: what comes along, and the example of its README on the running stack."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from local_stack.stack.local_stack import LocalStack

ROOT: Final = Path(__file__).parents[2]
CLIENT: Final = ROOT / "clients" / "python"
OF_THE_SERVER: Final = {"strawberry-graphql", "graphql-core", "aiokafka", "redis", "cel-expr-python", "pydantic", "starlette"}
LIST: Final = "import json; from importlib.metadata import distributions as all; print(json.dumps([found.name.lower() for found in all()]))"


def environment(folder: Path, extra: str) -> Path:
    """The Python of an empty virtual environment into which pip has installed the client."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", f"{CLIENT}{extra}"], check=True)
    return python


def output(python: Path, program: str) -> str:
    """What a program prints; it sees nothing of this checkout."""
    return subprocess.run([python, "-I", "-c", program], check=True, capture_output=True, text=True, cwd=python.parent).stdout


def example(stack: LocalStack) -> str:
    """The program of the README, for the running gateway, with time for a busy machine."""
    (program,) = re.findall(r"```python\n(.*?)```", (CLIENT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    wiring = stack.wiring
    for shown, real in {
        '"http://gateway:8000/graphql"': f'"{wiring.gateway_url}/graphql", deadline_s=10',
        '"pk_live_…"': f'"{wiring.keys.publishable}"',
    }.items():
        assert shown in program
        program = program.replace(shown, real)
    return f"{program}print(html)"


@pytest.mark.integration
@pytest.mark.parametrize(("extra", "others"), [("httpx", {"httpx2"}), ("httpx2", {"httpx"})])
def test_a_page_renders_a_banner_with_either_http_client(extra: str, others: set[str], stack: LocalStack, tmp_path: Path) -> None:
    """The README's example shows the campaign's banner, and nothing of the server was installed for it."""
    python = environment(tmp_path, f"[{extra}]")
    installed = set(json.loads(output(python, LIST)))
    assert {"personalization-gateway-client", extra} <= installed
    assert installed & (OF_THE_SERVER | others) == set()
    html = output(python, example(stack))
    assert "Welcome! Fresh deals every day" in html
    assert 'data-decision-id="' in html


def test_the_client_alone_brings_nothing_and_asks_for_an_http_client(tmp_path: Path) -> None:
    """The error says which one to install."""
    python = environment(tmp_path, "")
    assert json.loads(output(python, LIST)) == ["personalization-gateway-client"]
    with pytest.raises(subprocess.CalledProcessError) as failed:
        output(python, "from personalization_gateway import GatewayClient; GatewayClient('http://gateway:8000/graphql')")
    assert "ImportError: personalization_gateway needs an HTTP client, httpx2 or httpx" in failed.value.stderr
