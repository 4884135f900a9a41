"""Ports: which part listens where, and whether another process already does."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import psutil

from local_stack.errors import PortInUse

HOST: Final = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """The port of each part, on the loopback interface only."""

    gateway: int = 8000
    storefront: int = 8080
    kafka: int = 9092
    controller: int = 9093
    valkey: int = 6379

    @classmethod
    def starting_at(cls, base: int | None) -> Ports:
        """The defaults, or five consecutive ports from `base` on. Raises ValueError if they are not within 1024-65535."""
        if base is None:
            return cls()
        if not 1024 <= base <= 65531:
            raise ValueError(f"port base {base} is outside 1024-65531")
        return cls(*range(base, base + 5))


def check_ports(owners: Mapping[int, str]) -> None:
    """Raise PortInUse for the first port that another process listens on. `owners` has the name of the part for each port."""
    for port, part in owners.items():
        if _is_in_use(port):
            raise PortInUse(
                part,
                f"port {port} is in use{_listener(port)}",
                "end that process, or use other ports: --port-base 20000",
            )


def _is_in_use(port: int) -> bool:
    """Whether a process listens on the port; connections in TIME_WAIT do not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return accepts_connections(port)  # not every system refuses to bind when another process listens on all addresses


def accepts_connections(port: int) -> bool:
    """Whether a process accepts TCP connections on the port; waits half a second at most."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0


def _listener(port: int) -> str:
    """The listening process in words, empty if the system does not show it."""
    with suppress(psutil.Error):
        for connection in psutil.net_connections("inet"):
            here = connection.laddr and connection.laddr.port == port
            if here and connection.status == psutil.CONN_LISTEN and connection.pid:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return ""
