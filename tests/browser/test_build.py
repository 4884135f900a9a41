"""The size of the snippet, its types, its package, the contract between core and chunk, and its rules without I/O."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from bench.sizes import CLASSIC, CORE, OUTPUT, table
from gateway.transport.documents.manifest import document_id
from local_stack.artifacts.builds import SNIPPET, ensure_build
from local_stack.artifacts.npm import NODE, environment, npm

CORE_BYTES = 4_160
ALL_BYTES = 6_144
SHARED: Final = {
    "_changed": "s",
    "_claims": "i",
    "_complain": "a",
    "_configure": "c",
    "_cookie": "d",
    "_enqueue": "l",
    "_given": "p",
    "_holds": "f",
    "_isGranted": "u",
    "_known": "m",
    "_locked": "g",
    "_option": "h",
    "_reset": "v",
    "_run": "b",
    "_sendLast": "x",
    "_setToken": "w",
    "_storage": "y",
}
"""What every core hands to every chunk, by the names of the sources and of the built files. Nothing is ever taken out or changed."""
EXPORTS: Final = {
    "fill",
    "identify",
    "overWebSocket",
    "renew",
    "setConsent",
    "showProducts",
    "showState",
    "text",
    "translate",
}
"""What every core, and pages, may ask of every chunk."""


@pytest.fixture(scope="module")
def dist() -> Path:
    """The built snippet."""
    return ensure_build(SNIPPET)


def _weight(path: Path) -> int:
    return len(gzip.compress(path.read_bytes(), 9, mtime=0))


def test_the_core_and_its_chunks_stay_small(dist: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """gzip -9: the core within 4,160 bytes, with all chunks within 6,144; printed next to what `scripts/bench sizes` found of peers."""
    sizes = {path.name: _weight(path) for path in sorted(dist.glob("*.js"))}
    peers = json.loads(OUTPUT.read_text("utf-8"))
    with capsys.disabled():
        print(f"\n{table(sizes, peers['bytes'])}\n  peers as of {peers['measured']}")
    assert sizes[CORE] <= CORE_BYTES
    assert sum(sizes.values()) - sizes[CLASSIC] <= ALL_BYTES


def test_the_core_names_the_document_that_lies_beside_it(dist: Path) -> None:
    """So that a gateway which does not know the hash can be given the text."""
    text = (dist / "live-banner.graphql").read_text("utf-8")
    assert text == (SNIPPET / "src" / "snippet.graphql").read_text("utf-8").strip()
    assert document_id(text) == "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    assert document_id(text) in (dist / CORE).read_text("utf-8")


def test_sources_and_types_are_strict(dist: Path) -> None:
    """tsc --strict over the sources, and over code of a page that uses the published types correctly and incorrectly."""
    checked = npm(SNIPPET, "run", "check", within_s=60)
    assert checked.returncode == 0, checked.stdout
    command = [str(NODE), "node_modules/typescript/bin/tsc", "-p", "tests/tsconfig.json"]
    done = subprocess.run(command, cwd=SNIPPET, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    assert (dist / "types" / "index.d.ts").exists()


def test_the_package_holds_what_pages_load(dist: Path) -> None:
    """`npm pack`: the files that the README mentions, types, source maps, the license, and every file in `exports`."""
    packed = npm(SNIPPET, "pack", "--dry-run", "--json", "--ignore-scripts", within_s=60)
    [package] = json.loads(packed.stdout)
    files = {file["path"] for file in package["files"]}
    exports = json.loads((SNIPPET / "package.json").read_text("utf-8"))["exports"].values()
    named = [
        export if isinstance(export, str) else export[kind]
        for export in exports
        for kind in ("default", "types")
        if kind == "default" or isinstance(export, dict)
    ]
    assert {name.removeprefix("./") for name in named} <= files
    assert {"LICENSE", "README.md", "dist/live-banner.graphql", "dist/live-banner.js.map", "dist/live-banner.more.js.map"} <= files
    assert not [name for name in files if name.startswith(("node_modules", "tests"))]


def test_rules_without_io() -> None:
    """Queue, clock, options, event stream and names of other trackers, by Node's own test runner."""
    files = sorted(str(path) for path in (SNIPPET / "tests").glob("*.test.ts") if path.name != "assignment.test.ts")
    done = subprocess.run([str(NODE), "--test", *files], env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def _printed(script: str, folder: Path) -> list[str]:
    """What a module prints as JSON, run by Node in a folder."""
    (folder / "script.mjs").write_text(script)
    command = [str(NODE), str(folder / "script.mjs")]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    names: list[str] = json.loads(done.stdout)
    return names


def test_the_core_hands_over_what_chunks_of_other_releases_use(dist: Path, tmp_path: Path) -> None:
    """Under the names of earlier releases: an open page may load the chunk of another release than its core."""
    names = json.loads((SNIPPET / "names.json").read_text("utf-8"))
    assert SHARED.items() <= names.items()
    assert len(set(names.values())) == len(names)
    (tmp_path / CORE).write_bytes((dist / CORE).read_bytes())
    chunk = "export const identify = async (core) => console.log(JSON.stringify(Object.keys(core)));"
    (tmp_path / "live-banner.more.js").write_text(chunk)
    handed_over = _printed(f"const {{ identify }} = await import('./{CORE}'); await identify();", tmp_path)
    assert set(SHARED.values()) <= set(handed_over)


def test_the_chunk_exports_what_cores_of_other_releases_call(dist: Path, tmp_path: Path) -> None:
    """An export that is gone would break the pages that are open while a release is put in place."""
    (tmp_path / "chunk.mjs").write_bytes((dist / "live-banner.more.js").read_bytes())
    exported = _printed(
        "globalThis.document = { readyState: 'complete' }; console.log(JSON.stringify(Object.keys(await import('./chunk.mjs'))));", tmp_path
    )
    assert set(exported) >= EXPORTS


def test_the_chunk_uses_nothing_that_an_older_core_lacks() -> None:
    """What host.ts requires is what every core hands over; a name that is added later is optional there."""
    required = re.findall(r"^  (_\w+)[:(<]", (SNIPPET / "src" / "host.ts").read_text("utf-8"), re.MULTILINE)
    assert sorted(required) == sorted(SHARED)
