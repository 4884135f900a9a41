"""The size of the snippet compared with what others load into a page, bundled and compressed the same way (esbuild, gzip -9).

The figures are stored in bench/peers/sizes.json; the tests print them next to the snippet's own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from local_stack.artifacts.builds import SNIPPET, ensure_build
from local_stack.artifacts.npm import NODE, ensure_packages, environment

PEERS: Final = Path(__file__).parent / "peers"
OUTPUT: Final = PEERS / "sizes.json"
CORE: Final = "live-banner.js"
CLASSIC: Final = "live-banner.classic.js"
BUNDLING_S: Final = 120


def sizes_from_node(command: Sequence[str], folder: Path) -> dict[str, int]:
    """Bytes by name, from the JSON that a script prints."""
    done = subprocess.run(
        [str(NODE), *command], cwd=folder, env=environment(), capture_output=True, text=True, timeout=BUNDLING_S, check=True
    )
    sizes: dict[str, int] = json.loads(done.stdout)
    return sizes


def snippet_sizes() -> dict[str, int]:
    """The sizes of the snippet's files; the classic script contains the core again."""
    ensure_build(SNIPPET)
    return sizes_from_node(["build.mjs", "--sizes"], SNIPPET)


def table(own: Mapping[str, int], peers: Mapping[str, int]) -> str:
    """One line each: first the snippet's files, then the peers by size, with the size as a multiple of the core."""
    modules = {name: size for name, size in own.items() if name != CLASSIC}
    rows = {**modules, "the core with all chunks": sum(modules.values()), **dict(sorted(peers.items(), key=lambda row: row[1]))}
    return "\n".join(f"  {name:<42}{size:>9,}{size / own[CORE]:>8.1f}" for name, size in rows.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Bundle, measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/bench sizes", description=__doc__, epilog="example: scripts/bench sizes")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="file for the peers' JSON (default: bench/peers/sizes.json)")
    options = parser.parse_args(arguments)
    print("installing the peers' packages ...", flush=True)
    ensure_packages(PEERS)
    print("bundling them ...", flush=True)
    peers = sizes_from_node(["weigh.mjs"], PEERS)
    print(f"  {'bytes, gzip -9':<42}{'':>9}{'x core':>8}\n{table(snippet_sizes(), peers)}")
    record = {"measured": datetime.now(UTC).date().isoformat(), "bytes": dict(sorted(peers.items()))}
    options.output.write_text(json.dumps(record, indent=1) + "\n")
    return 0
