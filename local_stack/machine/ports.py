"""Ports: which part listens where, and whether another process does already."""

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
    """Where each part listens, on the loopback interface only."""

    gateway: int = 8000
    storefront: int = 8080
    kafka: int = 9092
    controller: int = 9093
    valkey: int = 6379

    @classmethod
    def starting_at(cls, base: int | None) -> Ports:
        """The defaults, or five ports in a row from `base`. Raises ValueError when they do not fit in 1024-65535."""
        if base is None:
            return cls()
        if not 1024 <= base <= 65531:
            raise ValueError(f"port base {base} is outside 1024-65531")
        return cls(*range(base, base + 5))


def check_ports(wanted: Mapping[int, str]) -> None:
    """Raise PortInUse for the first port (with the name of its part) that another process listens on."""
    for port, part in wanted.items():
        if _is_in_use(port):
            raise PortInUse(
                part,
                f"port {port} is in use{_listener(port)}",
                "end that process, or move all ports: --port-base 20000",
            )


def _is_in_use(port: int) -> bool:
    """Whether a listener exists; what lingers in TIME_WAIT does not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return accepts_connections(port)  # a listener on all addresses does not forbid this bind everywhere


def accepts_connections(port: int) -> bool:
    """Whether something accepts a TCP connection on the port; waits half a second at most."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0


def _listener(port: int) -> str:
    """The listening process in words, where the system lets us see it."""
    with suppress(psutil.Error):
        for connection in psutil.net_connections("inet"):
            here = connection.laddr and connection.laddr.port == port
            if here and connection.status == psutil.CONN_LISTEN and connection.pid:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return ""
