"""The jars: what the lock file says, and that nothing else gets into the cache."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from local_stack.artifacts.jars import BROKER_GROUP, CONNECTOR_GROUP, Jar, cache_folder, ensure_jars, jar_paths, read_lock
from local_stack.errors import DownloadFailed

CONTENTS = {"org.example:one:1.0": b"first jar", "org.example:two:2.0": b"second jar, a little longer"}
JARS = [Jar("g", name, hashlib.sha256(data).hexdigest(), len(data)) for name, data in CONTENTS.items()]


class Source:
    """A place to fetch from, on disk; counts what was fetched and may give wrong bytes."""

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self.contents = dict(CONTENTS)

    def fetch(self, jar: Jar, folder: Path) -> Path:
        self.fetched.append(jar.coordinate)
        if jar.coordinate not in self.contents:
            raise ConnectionError("no route to host")
        folder.mkdir(parents=True)
        path = folder / "jar"
        path.write_bytes(self.contents[jar.coordinate])
        return path


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once."""
    monkeypatch.setattr("local_stack.artifacts.jars.time.sleep", lambda _: None)


def test_lock_file_names_every_jar_once_with_hash_and_size() -> None:
    """The lock file holds the broker's and the connector's jars, each once within its group."""
    jars = read_lock()
    assert {jar.group for jar in jars} == {BROKER_GROUP, CONNECTOR_GROUP}
    assert len({(jar.group, jar.coordinate) for jar in jars}) == len(jars)
    assert all(jar.bytes > 0 and len(jar.sha256) == 64 for jar in jars)
    assert any("kafka_2.13" in path.name for path in jar_paths(BROKER_GROUP))
    assert any("spark-sql-kafka" in path.name for path in jar_paths(CONNECTOR_GROUP))


def test_bad_line_in_lock_file_is_named(tmp_path: Path) -> None:
    """A line that cannot be read is reported with its number."""
    lock = tmp_path / "jars.lock"
    lock.write_text("[g]\norg.example:one 12 x\n")
    with pytest.raises(ValueError, match="line 2"):
        read_lock(lock)


def test_fetches_once_and_then_nothing(tmp_path: Path) -> None:
    """What is there and whole is not fetched again."""
    source = Source()
    assert ensure_jars(tmp_path, JARS, source.fetch) == 2
    assert JARS[0].path(tmp_path).read_bytes() == CONTENTS[JARS[0].coordinate]
    assert ensure_jars(tmp_path, JARS, source.fetch) == 0
    assert len(source.fetched) == 2


def test_goes_on_after_a_broken_download(tmp_path: Path) -> None:
    """After a failure the jars that were fetched stay, and the next call fetches only the rest."""
    source = Source()
    del source.contents["org.example:two:2.0"]
    with pytest.raises(DownloadFailed, match="no route to host"):
        ensure_jars(tmp_path, JARS, source.fetch)
    source.contents = dict(CONTENTS)
    source.fetched.clear()
    ensure_jars(tmp_path, JARS, source.fetch)
    assert source.fetched == ["org.example:two:2.0"]
    assert not (tmp_path / ".partial").exists()


@pytest.mark.parametrize("wrong", [b"short", b"first jaR"])
def test_wrong_bytes_never_get_into_the_cache(tmp_path: Path, wrong: bytes) -> None:
    """A jar of another size or hash is refused, with its name, and leaves nothing behind."""
    source = Source()
    source.contents["org.example:one:1.0"] = wrong
    with pytest.raises(DownloadFailed, match=r"org\.example:one:1\.0 does not match jars\.lock") as caught:
        ensure_jars(tmp_path, JARS, source.fetch)
    assert caught.value.part == "jars"
    assert caught.value.remedy
    assert not JARS[0].path(tmp_path).exists()


def test_damaged_cache_is_repaired(tmp_path: Path) -> None:
    """A cached jar of the wrong size is fetched again."""
    source = Source()
    ensure_jars(tmp_path, JARS, source.fetch)
    JARS[1].path(tmp_path).write_bytes(b"cut")
    assert ensure_jars(tmp_path, JARS, source.fetch) == 1
    assert JARS[1].path(tmp_path).read_bytes() == CONTENTS[JARS[1].coordinate]


def test_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A cache folder that cannot be made is an error with a remedy, not a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadFailed, match="cannot write"):
        ensure_jars(tmp_path / "file" / "cache", JARS, Source().fetch)


def test_cache_place_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """LOCAL_STACK_CACHE comes before XDG_CACHE_HOME, which comes before ~/.cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("LOCAL_STACK_CACHE", raising=False)
    assert cache_folder() == tmp_path / "personalization-gateway" / "jars"
    monkeypatch.setenv("LOCAL_STACK_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
