"""The data folder (`.local`): where things lie in it, the keys made for it, and whether its data belongs together.

Kafka, Valkey and Spark's checkpoints describe one history. Each is marked with the same id: Kafka's storage by its cluster
id, Valkey by a file and a key, the checkpoints by a file. `data.json` holds the id, the epoch of the log, and the stores
that were made. A store that is there without its mark, has another mark, or was made and is gone: refused.
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

    `log_epoch` is the unix second at which the broker's storage was formatted, `stores` names what was made so far.
    """

    data_id: str
    cluster_id: str
    log_epoch: int
    stores: tuple[str, ...] = ()


def open_identity(folder: DataFolder) -> Identity:
    """The identity of the folder's data, made new when there is no data. Raises DataMismatch when the data does not fit."""
    try:
        found = json.loads(folder.data_file.read_text())
        identity = Identity(found["data_id"], found["cluster_id"], int(found["log_epoch"]), tuple(found["stores"]))
    except FileNotFoundError:
        left = [name for name in STORES if _has_content(folder.root / name)]
        if left:
            raise DataMismatch("data", f"{', '.join(left)} hold data, but {folder.data_file} is missing", _REMEDY) from None
        identity = Identity(secrets.token_hex(16), new_cluster_id(), int(time.time()))
        _save(folder, identity)
    except (ValueError, KeyError, TypeError) as error:
        raise DataMismatch("data", f"{folder.data_file} cannot be read: {error!r}", _REMEDY) from error
    for store in STORES:
        _check_store(folder, identity, store)
    return identity


def write_mark(folder: DataFolder, identity: Identity, store: str) -> None:
    """Put the id beside the data of a store, before the store is first used."""
    place = folder.root / store
    place.mkdir(parents=True, exist_ok=True)
    (place / _MARK).write_text(identity.data_id + "\n")


def record_store(folder: DataFolder, identity: Identity, store: str) -> Identity:
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


def _check_store(folder: DataFolder, identity: Identity, store: str) -> None:
    place = folder.root / store
    present = _has_content(place)
    # A deleted checkpoint costs only time: the stream reads the log again from its start, and absorbing twice is harmless.
    if store in identity.stores and store != CHECKPOINTS and not present:
        raise DataMismatch(store, f"its data in {place} is gone, the other parts still have theirs", _REMEDY)
    if present and _mark_of(folder, store) != identity.data_id:
        raise DataMismatch(store, f"its data in {place} belongs to another run than {folder.data_file} names", _REMEDY)


def _mark_of(folder: DataFolder, store: str) -> str | None:
    try:
        return (folder.root / store / _MARK).read_text().strip()
    except FileNotFoundError:
        return None


def _has_content(place: Path) -> bool:
    return place.is_dir() and any(place.iterdir())


def _save(folder: DataFolder, identity: Identity) -> None:
    write_json(folder.data_file, asdict(identity))
