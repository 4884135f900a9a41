"""Links of the shop: they keep the visitor's choice of technique."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlencode


class Render(StrEnum):
    """Who puts the banner into the page."""

    SERVER = "server"
    """The server, into the HTML, and no script at all; it changes with the next page."""
    CLIENT = "client"
    """The snippet, in place of the shop's own content; it changes while the page is open."""
    HYBRID = "hybrid"
    """The server, then the snippet changes it while the page is open."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What the visitor chose in the address."""

    render: Render = Render.HYBRID
    panel: bool = False

    def query(self) -> str:
        """The choices that differ from the defaults, as a query string without `?`."""
        chosen = {}
        if self.render is not Render.HYBRID:
            chosen["render"] = self.render.value
        if self.panel:
            chosen["panel"] = "1"
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
    render = parameters.get("render")
    return Choices(Render(render) if render in list(Render) else Render.HYBRID, "panel" in parameters)
