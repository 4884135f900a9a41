"""The jars of the Kafka broker and of Spark's Kafka connector: fetched once, checked against `jars.lock`, kept in a cache.

`python -m local_stack.artifacts.jars` fetches what is missing. A jar gets its final name only after its size and hash were
checked, so whatever has a final name is whole, and a download that was broken off goes on where it stopped.
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
    """One line of the lock file. `bytes` is the size of the file, `sha256` its hash in lower-case hex."""

    group: str
    coordinate: str
    sha256: str
    bytes: int

    def path(self, cache: Path) -> Path:
        """Where the jar is kept below `cache`."""
        organisation, artifact, version = self.coordinate.split(":")
        return cache / organisation / f"{artifact}-{version}.jar"


def read_lock(lock_file: Path = LOCK_FILE) -> list[Jar]:
    """All jars of the lock file, in its order. Raises ValueError with the line number of a line it cannot read."""
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
    """Where jars are kept: `LOCAL_STACK_CACHE`, else the user's cache folder (XDG base directory specification)."""
    override = os.environ.get("LOCAL_STACK_CACHE")
    if override:
        return Path(override).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "personalization-gateway" / "jars"


def jar_paths(group: str, cache: Path | None = None) -> list[Path]:
    """The jars of one group (`BROKER_GROUP`, `CONNECTOR_GROUP`), as absolute paths, whether they are there or not."""
    folder = cache or cache_folder()
    return [jar.path(folder) for jar in read_lock() if jar.group == group]


def ensure_jars(cache: Path | None = None, jars: Sequence[Jar] | None = None, fetch: Fetch | None = None) -> int:
    """Make every jar of the lock present and checked; return how many were fetched.

    Sizes are compared at each call, hashes when the stamp of this very lock is missing. Blocks for as long as the
    downloads take, and while another process fetches into the same cache. Raises DownloadFailed; what was fetched until
    then stays. `fetch` is how one jar is brought into a folder.
    """
    folder = cache or cache_folder()
    wanted = list(read_lock() if jars is None else jars)
    stamp = folder / f"checked-{_digest_of(wanted)}"
    if stamp.exists() and all(_has_size(jar, folder) for jar in wanted):
        return 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _exclusive(folder):
            missing = [jar for jar in wanted if not _is_whole(jar, folder)]
            if missing:
                _fetch_all(missing, folder, fetch or fetch_from_maven)
            stamp.touch()
    except OSError as error:
        raise _failed(f"cannot write to {folder}: {error}", "free space there, or set LOCAL_STACK_CACHE to another folder") from error
    return len(missing)


Fetch = Callable[[Jar, Path], Path]


def fetch_from_maven(jar: Jar, folder: Path) -> Path:
    """Fetch one jar into a Maven repository layout below `folder`. The library knows Maven Central's address.

    Raises ConnectionError when it cannot be had.
    """
    import requests  # imported here: this takes a third of a second, and is needed only once
    from jgo.maven import MavenContext

    organisation, artifact, version = jar.coordinate.split(":")
    context = MavenContext(repo_cache=folder, timeout=_TIMEOUT_S)
    try:
        found = context.resolver.download(context.project(organisation, artifact).at_version(version).artifact())
    except (requests.RequestException, RuntimeError) as error:  # RuntimeError is how jgo says "not found"
        raise ConnectionError(_first_line(error)) from error
    if found is None:
        raise ConnectionError("not found on Maven Central")
    return Path(found)


def _fetch_all(missing: Sequence[Jar], folder: Path, fetch: Fetch) -> None:
    """Fetch with a few connections; the first failure ends it, what is under way may finish."""
    partial = folder / ".partial"
    shutil.rmtree(partial, ignore_errors=True)  # left by a download that was broken off; we hold the lock
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
    """Fetch, check, rename. A network fault is tried again; a wrong hash too, since a proxy may have cut the answer."""
    cause = ""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(attempt)
        try:
            found = fetch(jar, partial / f"{jar.sha256[:16]}-{attempt}")
        except ConnectionError as error:
            cause = f"{jar.coordinate} cannot be fetched: {error}"
            continue
        problem = _problem(jar, found)
        if problem is None:
            target = jar.path(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            found.replace(target)
            return
        cause = f"{jar.coordinate} is not what {LOCK_FILE.name} says: {problem}"
    remedy = "check the network (HTTPS_PROXY and REQUESTS_CA_BUNDLE are honoured) and start again; what is there is kept"
    raise _failed(cause, remedy)


def _problem(jar: Jar, path: Path) -> str | None:
    """Why the file is not the jar of the lock, or None."""
    size = path.stat().st_size
    if size != jar.bytes:
        return f"{size} bytes instead of {jar.bytes}"
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    return None if found == jar.sha256 else f"sha256 {found} instead of {jar.sha256}"


def _is_whole(jar: Jar, folder: Path) -> bool:
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
    """Hold the cache's lock, so that two set-ups at once do not fetch everything twice."""
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def _failed(cause: str, remedy: str) -> DownloadFailed:
    return DownloadFailed("jars", cause, remedy)


def main() -> int:
    """Fetch what is missing; 0 when everything is there."""
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
