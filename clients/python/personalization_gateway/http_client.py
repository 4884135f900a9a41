"""The HTTP client under this one: httpx2 or httpx, whichever is installed; httpx2 if both are.

They have the same classes under the same names. Nothing else in this package imports either.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import httpx
    import httpx2

    AsyncTransport = httpx.AsyncBaseTransport | httpx2.AsyncBaseTransport

LIBRARIES: Final = ("httpx2", "httpx")
"""The best first: httpx has had no release since December 2024."""
IDLE_S: Final = 30.0
"""How long an idle connection is kept."""


@dataclass(frozen=True, slots=True)
class HttpClient:
    """A connection pool, and the exceptions that its calls raise."""

    pool: httpx.AsyncClient | httpx2.AsyncClient
    failures: tuple[type[Exception], ...]
    """Everything that an exchange may raise."""
    closed_while_idle: tuple[type[Exception], ...]
    """What a pooled connection raises that the gateway closed while it was idle, for example by a restart."""


def open_http_client(max_connections: int, transport: AsyncTransport | None) -> HttpClient:
    """A connection pool of the library that is installed, or of the one that `transport` belongs to.

    It has no timeout: its caller limits each exchange as a whole. Raises ImportError if neither library is installed.
    """
    library = _library_of(transport) or _installed()
    pool = library.AsyncClient(
        transport=transport,
        trust_env=False,  # the gateway is nearby, never behind the machine's web proxy
        timeout=None,
        limits=library.Limits(max_connections=max_connections, max_keepalive_connections=max_connections, keepalive_expiry=IDLE_S),
    )
    closed_while_idle = (library.RemoteProtocolError, library.ReadError, library.WriteError)
    return HttpClient(pool, (library.HTTPError, library.InvalidURL), closed_while_idle)


def _library_of(transport: AsyncTransport | None) -> Any:
    """The library whose class `transport` is; None if it is of neither."""
    loaded = [library for name in LIBRARIES if (library := sys.modules.get(name)) is not None]
    return next((library for library in loaded if isinstance(transport, library.AsyncBaseTransport)), None)


def _installed() -> Any:
    for name in LIBRARIES:
        try:
            return import_module(name)
        except ModuleNotFoundError as missing:
            if missing.name != name:  # it is installed, but not what it needs
                raise
    raise ImportError("personalization_gateway needs an HTTP client, httpx2 or httpx, and neither is installed: pip install httpx2")
