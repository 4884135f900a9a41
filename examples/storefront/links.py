"""Links of the shop: they keep the visitor's choice of technique, and none leads to a script."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import urlencode

# http(s) with a host, or relative: a path, a query, a fragment, a first segment without a colon (it would be a scheme).
# `//host` and `/\\host` would lead to another site, so they are no paths.
_SAFE: Final = re.compile(r"(?:https?://[^\s\\/?#]|/(?![/\\])|[?#]|[\w.-]+(?:[/?#]|$))[^\s\\\x00-\x1f\x7f]*", re.IGNORECASE)


class Render(StrEnum):
    """Who puts the banner into the page."""

    SERVER = "server"
    """The server, into the HTML; it changes with the next page."""
    CLIENT = "client"
    """The page script, into reserved space; it changes while the page is open."""
    HYBRID = "hybrid"
    """The server, then the page script changes it while the page is open."""


class Transport(StrEnum):
    """How an open page hears of changes."""

    SSE = "sse"
    WEBSOCKET = "ws"


@dataclass(frozen=True, slots=True)
class Choices:
    """What the visitor chose in the address."""

    render: Render = Render.HYBRID
    transport: Transport = Transport.SSE

    def query(self) -> str:
        """The choices that differ from the defaults, as a query string without `?`."""
        chosen = {}
        if self.render is not Render.HYBRID:
            chosen["render"] = self.render.value
        if self.transport is not Transport.SSE:
            chosen["transport"] = self.transport.value
        return urlencode(chosen)

    def link(self, url: str) -> str:
        """`url` with the choices when it is a path of this shop; any other URL as it is."""
        query = self.query()
        if not query or not url.startswith("/") or url.startswith("/static/"):
            return url
        path, hash_mark, fragment = url.partition("#")
        return f"{path}{'&' if '?' in path else '?'}{query}{hash_mark}{fragment}"


def read_choices(parameters: Mapping[str, str]) -> Choices:
    """The choices of an address; what is unknown is the default."""
    render, transport = parameters.get("render"), parameters.get("transport")
    return Choices(
        Render(render) if render in list(Render) else Render.HYBRID,
        Transport(transport) if transport in list(Transport) else Transport.SSE,
    )


def safe_link(url: str | None) -> str | None:
    """`url` when it is http, https or relative, else None (`javascript:` and the like)."""
    return url if url and _SAFE.fullmatch(url) else None
