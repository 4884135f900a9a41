"""docs/api.md, "Typed clients": what it shows is what is run here, on the schema of the project and the documents of its own clients."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from pathlib import Path
from typing import Any, Final

import pytest

from local_stack.artifacts.builds import SNIPPET
from local_stack.artifacts.npm import ensure_packages, environment
from local_stack.project import PROJECT_ROOT
from personalization_gateway.documents import FOLDER
from tests.compliance.conftest import served
from tests.support.client_gateways import PUBLISHABLE_KEY, lonely_app
from tests.support.docs_examples import blocks, section
from tests.support.trusted_gateway import trusted_gateway

HERE: Final = Path(__file__).parent
DOCS: Final = section("TypeScript: graphql-codegen")
INSTALL, MANIFEST = (block.strip().splitlines() for block in blocks(DOCS, "sh"))
CONFIGURATION, CALL = blocks(DOCS, "ts")
BY_TEXT, BY_ID = "query: document.toString()", "documentId: document.__meta__?.hash"
DEADLINE_S: Final = 120.0


@pytest.fixture(scope="session")
def packages() -> Path:
    """The folder whose node_modules are installed."""
    ensure_packages(HERE)
    return HERE


async def run(folder: Path, command: str) -> str:
    """What a command line says on standard output; it must succeed."""
    process = await asyncio.create_subprocess_shell(
        command, cwd=folder, env=environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, (out + err).decode()
    return out.decode()


def project(folder: Path, packages: Path, documents: list[Path], use: str) -> Path:
    """A frontend's project as the docs describe it: schema, documents, configuration, and code that uses what is generated."""
    (folder / "src").mkdir(parents=True)
    (folder / "node_modules").symlink_to(packages / "node_modules")
    for name in ("package.json", "tsconfig.json"):
        shutil.copy(HERE / name, folder)
    shutil.copy(PROJECT_ROOT / "schema.graphql", folder)
    for path in documents:
        shutil.copy(path, folder / "src")
    shutil.copy(HERE / use, folder / "src" / "use.ts")
    (folder / "codegen.ts").write_text(CONFIGURATION, "utf-8")
    (folder / "src" / "gateway.ts").write_text(CALL, "utf-8")
    return folder


async def answer(folder: Path, url: str) -> dict[str, Any]:
    """What the project's code gets of a gateway."""
    call = folder / "src" / "gateway.ts"
    call.write_text(re.sub(r'fetch\("[^"]*"', f'fetch("{url}"', call.read_text("utf-8")), "utf-8")
    found: dict[str, Any] = json.loads(await run(folder, f"node src/use.ts {PUBLISHABLE_KEY}"))
    return found


def test_versions_are_those_of_the_docs() -> None:
    """What the docs say to install is what is installed here."""
    wanted = dict(name.rsplit("@", 1) for name in INSTALL[0].removeprefix("npm install --save-dev ").split())
    assert json.loads((HERE / "package.json").read_text("utf-8"))["dependencies"] == wanted


@pytest.mark.parametrize(
    ("documents", "use"),
    [(sorted(FOLDER.glob("*.graphql")), "use_client.ts"), ([SNIPPET / "src" / "snippet.graphql"], "use_snippet.ts")],
    ids=["client", "snippet"],
)
async def test_a_client_is_generated_type_checked_and_used(tmp_path: Path, packages: Path, documents: list[Path], use: str) -> None:
    """By text against any gateway, and by hash against one that runs only the documents that were generated."""
    folder = project(tmp_path / "shop", packages, documents, use)
    await run(folder, INSTALL[1])
    await run(folder, "npx tsc")
    async with served(lonely_app()) as url:
        found = await answer(folder, url)
    assert found["token"].count(".") == 2
    assert (found["reason"], found["headline"]) == ("DEFAULT", "Welcome! Fresh deals every day")

    (line,) = MANIFEST
    await run(folder, line)
    call = folder / "src" / "gateway.ts"
    assert BY_TEXT in CALL
    assert f"`{BY_ID}`" in DOCS
    call.write_text(call.read_text("utf-8").replace(BY_TEXT, BY_ID), "utf-8")
    await run(folder, "npx tsc")
    async with served(trusted_gateway(folder / "documents.json")) as url:
        assert (await answer(folder, url))["headline"] == found["headline"]
