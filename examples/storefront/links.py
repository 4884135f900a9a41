"""Links of the shop, which keep the visitor's choices in the address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlencode


class Render(StrEnum):
    """What puts the banner into the page."""

    SERVER = "server"
    """The server, in the HTML, without any script; it changes with the next page."""
    CLIENT = "client"
    """The snippet, in place of the shop's own content; it changes while the page is open."""
    HYBRID = "hybrid"
    """The server; then the snippet changes it while the page is open."""


@dataclass(frozen=True, slots=True)
class Choices:
    """The visitor's choices in the address."""

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
        """`url` with the choices if it is a path of this shop; any other URL unchanged."""
        query = self.query()
        if not query or not url.startswith("/") or url.startswith("/static/"):
            return url
        path, hash_mark, fragment = url.partition("#")
        return f"{path}{'&' if '?' in path else '?'}{query}{hash_mark}{fragment}"


def read_choices(parameters: Mapping[str, str]) -> Choices:
    """The choices in an address; an unknown value is the default."""
    render = parameters.get("render")
    return Choices(Render(render) if render in list(Render) else Render.HYBRID, "panel" in parameters)
