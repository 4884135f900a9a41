"""The data folder (`.local`): where things lie in it, the keys made for it, and whether its data belongs together.

Kafka, Valkey and Spark's checkpoints describe one history. All are marked with the same id: Kafka's storage by its cluster id, Valkey by
a file and a key, the checkpoints by a file. `data.json` holds the id, the epoch of the log, and the names of the stores that were created.
A start is refused if a store has no mark or another one, or if a store that was created is missing.
"""

from __future__ import annotations

import json
import secrets
import time
from base64 import urlsafe_b64encode
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from local_stack.data.folder import CHECKPOINTS, STORES, DataFolder, write_json
from local_stack.errors import DataMismatch

DATA_ID_KEY: Final = "local_stack:data_id"
"""Redis key that holds the id of the data."""

_MARK: Final = "data_id"
_REMEDY: Final = "scripts/demo --reset deletes this data and starts over"


@dataclass(frozen=True)
class Identity:
    """What the stores of a data folder have in common.

    `log_epoch` is the Unix time in seconds at which the identity was created, `stores` are the names of the stores created so far.
    """

    data_id: str
    cluster_id: str
    log_epoch: int
    stores: tuple[str, ...] = ()


def open_identity(folder: DataFolder) -> Identity:
    """The identity of the data in the folder; a new one if there is no data. Raises DataMismatch if the data does not belong together."""
    try:
        record = json.loads(folder.data_file.read_text())
        identity = Identity(record["data_id"], record["cluster_id"], int(record["log_epoch"]), tuple(record["stores"]))
    except FileNotFoundError:
        stores = [name for name in STORES if _has_content(folder.root / name)]
        if stores:
            raise DataMismatch("data", f"{', '.join(stores)} hold data, but {folder.data_file} is missing", _REMEDY) from None
        identity = Identity(secrets.token_hex(16), new_cluster_id(), int(time.time()))
        _save(folder, identity)
    except (ValueError, KeyError, TypeError) as error:
        raise DataMismatch("data", f"{folder.data_file} cannot be read: {error!r}", _REMEDY) from error
    for store in STORES:
        _check_store(folder, identity, store)
    return identity


def write_mark(folder: DataFolder, identity: Identity, store: str) -> None:
    """Write the id next to the data of a store, before the store is used for the first time."""
    place = folder.root / store
    place.mkdir(parents=True, exist_ok=True)
    (place / _MARK).write_text(identity.data_id + "\n")


def record_store(folder: DataFolder, identity: Identity, store: str) -> Identity:
    """Record that a store was created: from now on it must exist. Returns the new identity."""
    if store in identity.stores:
        return identity
    extended = replace(identity, stores=(*identity.stores, store))
    _save(folder, extended)
    return extended


def new_cluster_id() -> str:
    """A Kafka cluster id: a random UUID as 22 characters of URL-safe base 64."""
    while True:
        text = urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        if not text.startswith("-"):  # Kafka's command line would read it as an option
            return text


def _check_store(folder: DataFolder, identity: Identity, store: str) -> None:
    place = folder.root / store
    present = _has_content(place)
    # A missing checkpoint costs only time: the stream reads the log again from its start, and applying an event twice changes nothing.
    if store in identity.stores and store != CHECKPOINTS and not present:
        raise DataMismatch(store, f"its data in {place} is missing, while the other parts still have theirs", _REMEDY)
    if present and _mark_of(folder, store) != identity.data_id:
        raise DataMismatch(store, f"its data in {place} belongs to another run than {folder.data_file}", _REMEDY)


def _mark_of(folder: DataFolder, store: str) -> str | None:
    try:
        return (folder.root / store / _MARK).read_text().strip()
    except FileNotFoundError:
        return None


def _has_content(place: Path) -> bool:
    return place.is_dir() and any(place.iterdir())


def _save(folder: DataFolder, identity: Identity) -> None:
    write_json(folder.data_file, asdict(identity))
