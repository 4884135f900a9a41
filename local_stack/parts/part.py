"""A part of the stack: what it needs, how it is run, and when it is ready."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from local_stack.data.folder import DataFolder
from local_stack.data.identity import Identity
from local_stack.data.keys import Keys
from local_stack.machine.java import Java
from local_stack.machine.ports import HOST, Ports
from local_stack.machine.processes import Child


@dataclass(frozen=True)
class Wiring:
    """What the parts of one stack have in common."""

    folder: DataFolder
    ports: Ports
    keys: Keys
    identity: Identity
    java: Java

    @property
    def bootstrap(self) -> str:
        """`host:port` of the broker."""
        return f"{HOST}:{self.ports.kafka}"

    @property
    def redis_url(self) -> str:
        """Address of Valkey, database 0."""
        return f"redis://{HOST}:{self.ports.valkey}/0"

    @property
    def gateway_url(self) -> str:
        """Address of the gateway, without a path."""
        return f"http://{HOST}:{self.ports.gateway}"

    @property
    def storefront_url(self) -> str:
        """Address of the storefront, without a path."""
        return f"http://{HOST}:{self.ports.storefront}"


class Readiness(Protocol):
    """A check that is repeated until it returns True; it must return within a few seconds and raise nothing."""

    def __call__(self, wiring: Wiring, child: Child) -> bool: ...


def _nothing(_: Wiring) -> None:
    """For a part that needs no such step."""


@dataclass(frozen=True)
class Part:
    """One process of the stack.

    `needs`: parts that must be ready before. `ports`: the fields of `Ports` that it listens on. `memory_mib`: memory it uses. `prepare`
    runs before each start, `once_ready` after the first one. `store`: the store of the data folder that it writes.
    """

    name: str
    command: Callable[[Wiring], list[str]]
    ready: Readiness
    memory_mib: int
    needs: Sequence[str] = ()
    ports: Sequence[str] = ()
    environment: Callable[[Wiring], Mapping[str, str]] = lambda _: {}
    prepare: Callable[[Wiring], None] = _nothing
    once_ready: Callable[[Wiring], None] = _nothing
    store: str | None = None
    ready_within_s: float = 60.0
    stop_within_s: float = 10.0


@dataclass(frozen=True)
class LogContains:
    """Ready as soon as the log has contained this text since the start of the part."""

    text: str

    def __call__(self, wiring: Wiring, child: Child) -> bool:
        return self.text in child.output()


@dataclass(frozen=True)
class AnswersHttp:
    """Ready as soon as GET `path` returns 200. `port` is a field of `Ports`."""

    port: str
    path: str

    def __call__(self, wiring: Wiring, child: Child) -> bool:
        connection = http.client.HTTPConnection(HOST, getattr(wiring.ports, self.port), timeout=2)
        try:
            connection.request("GET", self.path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
