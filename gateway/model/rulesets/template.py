"""Templates of banners: text with placeholders such as `{interested_category}` or, with a default, `{interested_category|our best}`.

`{{` stands for a brace. A placeholder without data and without a default makes the banner unusable for a visitor: `render` returns None,
and the next campaign is considered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

FIELDS = ("interested_category", "last_search")
_PART = re.compile(r"\{\{|\}\}|\{([^{}|]*)(?:\|([^{}]*))?\}|[{}]")
# Relative, or with a scheme and a host; the host must end before the first placeholder.
_SAFE_LINK = re.compile(r"(https?://[^/?#]+(?P<host_ends>[/?#])?|/(?!/)|#|\?|[\w.-]+(?:[/?#]|$)|$)", re.IGNORECASE)
# Browsers read a backslash as a slash, and ignore white space and control characters.
_UNSAFE_IN_LINK = re.compile(r"[\x00-\x20\x7f\\]")


class InvalidTemplate(ValueError):
    """A template that cannot be used. `column`: where the mistake is, from 0 within the text."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(message)
        self.column = column


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: literal strings and (field, default) placeholders, in order."""

    parts: tuple[str | tuple[str, str | None], ...]
    is_link: bool = False

    def render(self, values: Mapping[str, Any]) -> str | None:
        """The text for a visitor; None: a placeholder has neither data nor a default. Values in links are percent-encoded."""
        if len(self.parts) == 1 and isinstance(self.parts[0], str):
            return self.parts[0]
        pieces = []
        for part in self.parts:
            if isinstance(part, str):
                pieces.append(part)
                continue
            name, default = part
            value = _value(values, name)
            if value is None:
                value = default
            if value is None:
                return None
            pieces.append(quote(value, safe="") if self.is_link else value)
        return "".join(pieces)


def _value(values: Mapping[str, Any], name: str) -> str | None:
    value: Any = values
    for key in name.split(".", 1):
        value = value.get(key) if isinstance(value, Mapping) else None
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) and value != "" else None


def parse_template(text: str, *, is_link: bool = False) -> Template:
    """Parse a template. A link must be http, https or relative whatever the values are. Raises `InvalidTemplate`."""
    parts: list[str | tuple[str, str | None]] = []
    literal, end = "", 0
    for match in _PART.finditer(text):
        literal += text[end : match.start()]
        end = match.end()
        if match[0] in ("{{", "}}"):
            literal += match[0][0]
            continue
        if match[1] is None:
            raise InvalidTemplate(f"a single '{match[0]}' is not a placeholder; write '{match[0] * 2}' for the character", match.start())
        name = match[1].strip()
        if name not in FIELDS and not re.fullmatch(r"traits\.[\w-]{1,64}", name):
            known = ", ".join(f"{{{field}}}" for field in FIELDS)
            raise InvalidTemplate(f"unknown placeholder {{{name}}}; known placeholders: {known} and {{traits.<name>}}", match.start())
        if literal:
            parts.append(literal)
            literal = ""
        parts.append((name, match[2]))
    literal += text[end:]
    if literal or not parts:
        parts.append(literal)
    if is_link:
        _check_link(parts, text)
    return Template(tuple(parts), is_link)


def _check_link(parts: list[str | tuple[str, str | None]], text: str) -> None:
    start = parts[0] if isinstance(parts[0], str) else ""
    match = _SAFE_LINK.match(start)
    is_absolute = match is not None and "://" in match[0]
    if match is None or (not start and text) or (is_absolute and len(parts) > 1 and not match["host_ends"]):
        raise InvalidTemplate("a link must start with https://, http:// (and a complete host) or /, before any placeholder", 0)
    if any(isinstance(part, str) and _UNSAFE_IN_LINK.search(part) for part in parts):
        raise InvalidTemplate("a link must not contain spaces, control characters or backslashes", 0)
    if not is_absolute and _could_leave_site(parts):
        raise InvalidTemplate("a link must stay on its site whatever the values are: no ':' before its first '/', and no '//' there", 0)


def _could_leave_site(parts: list[str | tuple[str, str | None]]) -> bool:
    """Whether a relative link could get a scheme or a host: by a ':' before the first of "/?#", or by starting with "//".

    Values are percent-encoded, so they contain none of these characters; but a value may be empty if the default is.
    """
    shortest = "".join(part if isinstance(part, str) else "" if part[1] == "" else "x" for part in parts)
    return shortest.startswith("//") or ":" in re.split("[/?#]", shortest, maxsplit=1)[0]
