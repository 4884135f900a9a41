"""What a page loads: the snippet beside what others put into a page, bundled and compressed the same way (esbuild, gzip -9).

The figures are kept in bench/peers/sizes.json, which the tests print beside the snippet's own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from local_stack.artifacts.builds import SNIPPET, built
from local_stack.artifacts.npm import NODE, ensure_packages, environment

PEERS: Final = Path(__file__).parent / "peers"
OUTPUT: Final = PEERS / "sizes.json"
CORE: Final = "live-banner.js"
CLASSIC: Final = "live-banner.classic.js"
BUNDLING_S: Final = 120


def weighed_by_node(command: Sequence[str], folder: Path) -> dict[str, int]:
    """Bytes by name, as a script prints them in JSON."""
    done = subprocess.run(
        [str(NODE), *command], cwd=folder, env=environment(), capture_output=True, text=True, timeout=BUNDLING_S, check=True
    )
    found: dict[str, int] = json.loads(done.stdout)
    return found


def ours() -> dict[str, int]:
    """The snippet's files; the classic script is the core once more."""
    built(SNIPPET)
    return weighed_by_node(["build.mjs", "--sizes"], SNIPPET)


def table(own: Mapping[str, int], peers: Mapping[str, int]) -> str:
    """A line for each, ours first, then the peers from the lightest on; beside each how many times the core it weighs."""
    modules = {name: size for name, size in own.items() if name != CLASSIC}
    rows = {**modules, "the core with all chunks": sum(modules.values()), **dict(sorted(peers.items(), key=lambda row: row[1]))}
    return "\n".join(f"  {name:<42}{size:>9,}{size / own[CORE]:>8.1f}" for name, size in rows.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Bundle, weigh and print; gives the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/bench sizes", description=__doc__, epilog="example: scripts/bench sizes")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where the peers' JSON goes (default: bench/peers/sizes.json)")
    options = parser.parse_args(arguments)
    print("installing the peers' packages ...", flush=True)
    ensure_packages(PEERS)
    print("bundling them ...", flush=True)
    peers = weighed_by_node(["weigh.mjs"], PEERS)
    print(f"  {'bytes, gzip -9':<42}{'':>9}{'x core':>8}\n{table(ours(), peers)}")
    record = {"measured": datetime.now(UTC).date().isoformat(), "bytes": dict(sorted(peers.items()))}
    options.output.write_text(json.dumps(record, indent=1) + "\n")
    return 0
