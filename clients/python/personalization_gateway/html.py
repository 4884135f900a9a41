"""HTML as values: `element("a", {"href": link}, text)` escapes everything that is not already `Html`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Final

VOID_ELEMENTS: Final = frozenset({"br", "img", "input", "link", "meta"})


class Html(str):
    """A string that is HTML: it is not escaped again, here or by templates that support `__html__` (Jinja, Django, Mako)."""

    __slots__ = ()

    def __html__(self) -> str:
        """The string itself."""
        return self


Child = Html | str | int | None | Iterable["Child"]
Attributes = Mapping[str, str | int | bool | None]


def element(name: str, attributes: Attributes | None = None, *children: Child) -> Html:
    """One element. Attributes that are None or False are left out, those that are True have no value; nested children are flattened."""
    head = name + "".join(_attribute(key, value) for key, value in (attributes or {}).items())
    if name in VOID_ELEMENTS:
        return Html(f"<{head}>")
    return Html(f"<{head}>{fragment(*children)}</{name}>")


def fragment(*children: Child) -> Html:
    """Children one after another, without an element around them."""
    return Html("".join(_render(child) for child in children))


def document(language: str, *children: Child) -> Html:
    """A whole page: the doctype and the `html` element."""
    return Html("<!doctype html>\n" + element("html", {"lang": language}, *children))


def _attribute(name: str, value: str | int | bool | None) -> str:
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


def _render(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, str | int):
        return escape(str(child))
    return "".join(_render(part) for part in child)
