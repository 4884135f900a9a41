"""The jars of the Kafka broker and of Spark's Kafka connector: downloaded once, checked against `jars.lock`, kept in a cache.

`python -m local_stack.artifacts.jars` downloads the missing ones. A jar gets its final name only after its size and hash were checked.
So a file with a final name is complete, and an interrupted download continues with the next jar.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local_stack.console import DownloadProgress
from local_stack.errors import DownloadFailed, StackError

LOCK_FILE: Final = Path(__file__).with_name("jars.lock")
BROKER_GROUP: Final = "kafka-broker"
CONNECTOR_GROUP: Final = "spark-connector"
_TRIES: Final = 3
_PARALLEL: Final = 6
_TIMEOUT_S: Final = 30


@dataclass(frozen=True)
class Jar:
    """One line of the lock file. `bytes` is the size of the jar, `sha256` its hash in lower-case hexadecimal digits."""

    group: str
    coordinate: str
    sha256: str
    bytes: int

    def path(self, cache: Path) -> Path:
        """The path of the jar below `cache`."""
        organisation, artifact, version = self.coordinate.split(":")
        return cache / organisation / f"{artifact}-{version}.jar"


def read_lock(lock_file: Path = LOCK_FILE) -> list[Jar]:
    """All jars of the lock file, in its order. Raises ValueError with the number of an invalid line."""
    jars: list[Jar] = []
    group = ""
    for number, line in enumerate(lock_file.read_text().splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if text.startswith("[") and text.endswith("]"):
            group = text[1:-1]
            continue
        fields = text.split()
        if len(fields) != 3 or fields[0].count(":") != 2 or len(fields[1]) != 64 or not group:
            raise ValueError(f"{lock_file}, line {number}: expected 'group:artifact:version sha256 bytes', got {text!r}")
        jars.append(Jar(group, fields[0], fields[1], int(fields[2])))
    return jars


def cache_folder() -> Path:
    """Where jars are kept: `LOCAL_STACK_CACHE`, or the user's cache folder (XDG base directory specification)."""
    override = os.environ.get("LOCAL_STACK_CACHE")
    if override:
        return Path(override).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "personalization-gateway" / "jars"


def jar_paths(group: str, cache: Path | None = None) -> list[Path]:
    """The absolute paths of the jars of a group (`BROKER_GROUP`, `CONNECTOR_GROUP`), whether or not the files exist."""
    folder = cache or cache_folder()
    return [jar.path(folder) for jar in read_lock() if jar.group == group]


def ensure_jars(cache: Path | None = None, jars: Sequence[Jar] | None = None, fetch: Fetch | None = None) -> int:
    """Download the jars of the lock file that are missing; returns how many those were.

    Compares sizes at each call, and hashes until all jars of this lock file have been checked once. Blocks during the downloads, and while
    another process downloads into the same cache. `fetch` downloads one jar into a folder. Raises DownloadFailed; jars that were
    downloaded before stay.
    """
    folder = cache or cache_folder()
    required = list(read_lock() if jars is None else jars)
    stamp = folder / f"checked-{_digest_of(required)}"
    if stamp.exists() and all(_has_size(jar, folder) for jar in required):
        return 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _exclusive(folder):
            missing = [jar for jar in required if not _is_complete(jar, folder)]
            if missing:
                _fetch_all(missing, folder, fetch or fetch_from_maven)
            stamp.touch()
    except OSError as error:
        raise _failed(f"cannot write to {folder}: {error}", "free space there, or set LOCAL_STACK_CACHE to another folder") from error
    return len(missing)


Fetch = Callable[[Jar, Path], Path]


def fetch_from_maven(jar: Jar, folder: Path) -> Path:
    """Download one jar into a Maven repository layout below `folder`; the library knows the address of Maven Central.

    Raises ConnectionError.
    """
    import requests  # imported here: it takes a third of a second, and is rarely needed
    from jgo.maven import MavenContext

    organisation, artifact, version = jar.coordinate.split(":")
    context = MavenContext(repo_cache=folder, timeout=_TIMEOUT_S)
    try:
        downloaded = context.resolver.download(context.project(organisation, artifact).at_version(version).artifact())
    except (requests.RequestException, RuntimeError) as error:  # RuntimeError is how jgo says "not found"
        raise ConnectionError(_first_line(error)) from error
    if downloaded is None:
        raise ConnectionError("not found on Maven Central")
    return Path(downloaded)


def _fetch_all(missing: Sequence[Jar], folder: Path, fetch: Fetch) -> None:
    """Download over a few connections. The first failure ends it; downloads that are running may finish."""
    partial = folder / ".partial"
    shutil.rmtree(partial, ignore_errors=True)  # of an interrupted download: this process holds the lock
    pool = ThreadPoolExecutor(_PARALLEL)
    try:
        with DownloadProgress(f"downloading {len(missing)} jars", sum(jar.bytes for jar in missing)) as progress:
            downloads = {pool.submit(_fetch_one, jar, folder, partial, fetch): jar for jar in missing}
            for download in as_completed(downloads):
                download.result()
                progress.add(downloads[download].bytes, downloads[download].coordinate)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        shutil.rmtree(partial, ignore_errors=True)


def _fetch_one(jar: Jar, folder: Path, partial: Path, fetch: Fetch) -> None:
    """Download, check, rename. Tries again after a network error, and after a wrong hash: a proxy may have cut the response."""
    cause = ""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(attempt)
        try:
            path = fetch(jar, partial / f"{jar.sha256[:16]}-{attempt}")
        except ConnectionError as error:
            cause = f"{jar.coordinate} cannot be downloaded: {error}"
            continue
        problem = _problem(jar, path)
        if problem is None:
            target = jar.path(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
            return
        cause = f"{jar.coordinate} does not match {LOCK_FILE.name}: {problem}"
    remedy = "check the network (HTTPS_PROXY and REQUESTS_CA_BUNDLE are honoured) and start again; jars that are complete are kept"
    raise _failed(cause, remedy)


def _problem(jar: Jar, path: Path) -> str | None:
    """How the file differs from the lock file, or None."""
    size = path.stat().st_size
    if size != jar.bytes:
        return f"{size} bytes instead of {jar.bytes}"
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return None if digest == jar.sha256 else f"sha256 {digest} instead of {jar.sha256}"


def _is_complete(jar: Jar, folder: Path) -> bool:
    path = jar.path(folder)
    return path.is_file() and _problem(jar, path) is None


def _has_size(jar: Jar, folder: Path) -> bool:
    try:
        return jar.path(folder).stat().st_size == jar.bytes
    except FileNotFoundError:
        return False


def _digest_of(jars: Sequence[Jar]) -> str:
    text = "\n".join(f"{jar.coordinate} {jar.sha256} {jar.bytes}" for jar in jars)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Hold the lock of the cache, so that two processes do not download the same jars."""
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def _failed(cause: str, remedy: str) -> DownloadFailed:
    return DownloadFailed("jars", cause, remedy)


def main() -> int:
    """Download the missing jars; returns 0, or 1 after a failure."""
    try:
        ensure_jars()
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
