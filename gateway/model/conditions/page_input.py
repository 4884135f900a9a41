"""A page as an option of a command: a JSON object, or one field as NAME=VALUE, with the names of the API or of conditions."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from gateway.model.conditions.condition import PAGE_FIELDS


class InvalidPage(ValueError):
    """A value that is not a page. The message shows the expected form."""


def page_of(options: Sequence[str]) -> dict[str, str]:
    """The page, with the names of conditions: `product_id`. Raises `InvalidPage`."""
    page: dict[str, str] = {}
    for option in options:
        for name, value in _fields(option).items():
            field = re.sub(r"(?<=[a-z])([A-Z])", lambda match: f"_{match[1].lower()}", name)
            if field not in PAGE_FIELDS or not isinstance(value, str):
                raise InvalidPage(f"{name} = {value!r} is not a field of a page; known fields, all strings: {', '.join(PAGE_FIELDS)}")
            page[field] = value
    return page


def _fields(option: str) -> dict[str, object]:
    name, sign, value = option.partition("=")
    if sign and re.fullmatch(r"\w+", name):
        return {name: value}
    try:
        page = json.loads(option)
    except ValueError:
        page = None
    if not isinstance(page, dict):
        raise InvalidPage(f'a page is a JSON object such as {{"type": "home"}}, or type=home; not {option!r}')
    return page
