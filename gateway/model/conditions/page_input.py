"""A page that somebody gives on a command line: JSON, or a field as NAME=VALUE; names as in the API or as in conditions."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from gateway.model.conditions.condition import PAGE_FIELDS


class InvalidPage(ValueError):
    """No page; the text says what one looks like."""


def page_of(given: Sequence[str]) -> dict[str, str]:
    """The page, in the names of conditions: `product_id`. Raises `InvalidPage`."""
    page: dict[str, str] = {}
    for one in given:
        fields = _fields(one)
        for name, value in fields.items():
            known = re.sub(r"(?<=[a-z])([A-Z])", lambda match: f"_{match[1].lower()}", name)
            if known not in PAGE_FIELDS or not isinstance(value, str):
                raise InvalidPage(f"a page has the texts {', '.join(PAGE_FIELDS)}; {name} = {value!r} is none of them")
            page[known] = value
    return page


def _fields(given: str) -> dict[str, object]:
    name, sign, value = given.partition("=")
    if sign and re.fullmatch(r"\w+", name):
        return {name: value}
    try:
        found = json.loads(given)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InvalidPage(f'a page is a JSON object such as {{"type": "home"}}, or type=home; not {given!r}')
    return found
