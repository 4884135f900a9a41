"""The data folder (`.local`): where things lie in it, the keys made for it, and whether its data belongs together.

Kafka, Valkey and Spark's checkpoints describe one history. Each is marked with the same id: Kafka's storage by its cluster
id, Valkey by a file and a key, the checkpoints by a file. `data.json` holds the id, the epoch of the log, and the stores
that were made. A store that is there without its mark, has another mark, or was made and is gone: refused.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from base64 import urlsafe_b64encode
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from local_stack.errors import DataMismatch

DATA_ID_KEY: Final = "local_stack:data_id"
"""Redis key that holds the id of the data."""

KAFKA: Final = "kafka"
VALKEY: Final = "valkey"
CHECKPOINTS: Final = "checkpoints"
_STORES: Final = (KAFKA, VALKEY, CHECKPOINTS)
_MARK: Final = "data_id"
_REMEDY: Final = "scripts/demo --reset deletes this data and starts anew"


@dataclass(frozen=True)
class Keys:
    """Credentials made once for a data folder; for development only."""

    publishable: str
    secret: str
    token_secret: str


@dataclass(frozen=True)
class Identity:
    """What the stores of a data folder have in common.

    `log_epoch` is the unix second at which the broker's storage was formatted, `stores` names what was made so far.
    """

    data_id: str
    cluster_id: str
    log_epoch: int
    stores: tuple[str, ...] = ()


class DataFolder:
    """Paths within the data folder. Making one touches nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.log = self.root / "log"
        self.kafka = self.root / KAFKA
        self.valkey = self.root / VALKEY
        self.checkpoints = self.root / CHECKPOINTS
        self.scratch = self.root / "tmp"
        self.java_home = self.root / "java"
        self.stack_file = self.root / "stack.json"
        self.data_file = self.root / "data.json"
        self.keys_file = self.root / "keys.json"
        self.documents_file = self.root / "documents.json"
        self.lock_file = self.root / "supervisor.lock"

    @property
    def kafka_storage(self) -> Path:
        """The broker's log directory."""
        return self.kafka / "storage"

    def make(self) -> None:
        """Make the folder and what every part needs in it."""
        for folder in (self.root, self.log, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)

    def reset(self) -> list[str]:
        """Delete the data of all stores; keys and logs stay. Returns the names of what was deleted.

        The caller sees to it that no stack runs here. A folder is deleted only where it bears a mark of ours, so that a
        wrong `--data-dir` costs nobody a file.
        """
        ours = self.data_file.exists() or self.keys_file.exists()
        gone = [name for name in _STORES if ours and (self.root / name).exists()]
        for name in gone:
            shutil.rmtree(self.root / name)
        self.data_file.unlink(missing_ok=True)
        return gone


def load_keys(folder: DataFolder) -> Keys:
    """The keys of the folder, made at the first call (mode 600). Raises DataMismatch when the file cannot be read."""
    try:
        return Keys(**json.loads(folder.keys_file.read_text()))
    except FileNotFoundError:
        keys = Keys(f"pk_dev_{secrets.token_urlsafe(24)}", f"sk_dev_{secrets.token_urlsafe(24)}", secrets.token_urlsafe(48))
        write_json(folder.keys_file, asdict(keys), mode=0o600)
        return keys
    except (ValueError, TypeError) as error:
        raise DataMismatch("keys", f"{folder.keys_file} cannot be read: {error}", f"delete {folder.keys_file}") from error


def open_identity(folder: DataFolder) -> Identity:
    """The identity of the folder's data, made new when there is no data. Raises DataMismatch when the data does not fit."""
    try:
        found = json.loads(folder.data_file.read_text())
        identity = Identity(found["data_id"], found["cluster_id"], int(found["log_epoch"]), tuple(found["stores"]))
    except FileNotFoundError:
        left = [name for name in _STORES if _has_content(folder.root / name)]
        if left:
            raise DataMismatch("data", f"{', '.join(left)} hold data, but {folder.data_file} is missing", _REMEDY) from None
        identity = Identity(secrets.token_hex(16), new_cluster_id(), int(time.time()))
        _save(folder, identity)
    except (ValueError, KeyError, TypeError) as error:
        raise DataMismatch("data", f"{folder.data_file} cannot be read: {error!r}", _REMEDY) from error
    for store in _STORES:
        _check_store(folder, identity, store)
    return identity


def mark(folder: DataFolder, identity: Identity, store: str) -> None:
    """Put the id beside the data of a store, before the store is first used."""
    place = folder.root / store
    place.mkdir(parents=True, exist_ok=True)
    (place / _MARK).write_text(identity.data_id + "\n")


def made(folder: DataFolder, identity: Identity, store: str) -> Identity:
    """Record that a store holds data now; from here on it must be there. Returns the new identity."""
    if store in identity.stores:
        return identity
    known = replace(identity, stores=(*identity.stores, store))
    _save(folder, known)
    return known


def new_cluster_id() -> str:
    """A Kafka cluster id: a random UUID as 22 characters of URL-safe base 64."""
    while True:
        text = urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        if not text.startswith("-"):  # Kafka's command line would take it for an option
            return text


def write_json(path: Path, value: object, mode: int = 0o644) -> None:
    """Replace the file at once: a reader sees the old text or the new one, and it survives a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(json.dumps(value, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _check_store(folder: DataFolder, identity: Identity, store: str) -> None:
    place = folder.root / store
    present = _has_content(place)
    # A deleted checkpoint costs only time: the stream reads the log again from its start, and absorbing twice is harmless.
    if store in identity.stores and store != CHECKPOINTS and not present:
        raise DataMismatch(store, f"its data in {place} is gone, the other parts still have theirs", _REMEDY)
    if present and _mark_of(folder, store) != identity.data_id:
        raise DataMismatch(store, f"its data in {place} belongs to another run than {folder.data_file} tells of", _REMEDY)


def _mark_of(folder: DataFolder, store: str) -> str | None:
    try:
        return (folder.root / store / _MARK).read_text().strip()
    except FileNotFoundError:
        return None


def _has_content(place: Path) -> bool:
    return place.is_dir() and any(place.iterdir())


def _save(folder: DataFolder, identity: Identity) -> None:
    write_json(folder.data_file, asdict(identity))
