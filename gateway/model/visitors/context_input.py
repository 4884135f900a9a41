"""A context that somebody wrote by hand (an example, a preview): checked, and completed to the form of docs/context.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final


class InvalidContext(ValueError):
    """A context that no visitor could have; the text names the field."""


FieldCheck = Callable[[Any, str], Any]
Fields = Mapping[str, tuple[FieldCheck, Any]]


def complete_context(given: object) -> dict[str, Any]:
    """The whole context, what was left out being empty; or raise `InvalidContext`."""
    found: dict[str, Any] = _object(_FIELDS)(given, "context")
    return found


def _object(fields: Fields) -> FieldCheck:
    """An object of known fields, each with its check and what holds without it (`...`: it is required)."""

    def check(value: Any, name: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise InvalidContext(f"{name} must be an object")
        for key in value:
            if key not in fields:
                raise InvalidContext(f"{name} has no field {key}; known are {', '.join(fields)}")
        found = {}
        for key, (one, default) in fields.items():
            if key not in value and default is ...:
                raise InvalidContext(f"{name} needs the field {key}")
            found[key] = one(value.get(key, default), f"{name}.{key}")
        return found

    return check


def _list(item: FieldCheck) -> FieldCheck:
    def check(value: Any, name: str) -> list[Any]:
        if not isinstance(value, list):
            raise InvalidContext(f"{name} must be a list")
        return [item(one, f"{name}[{index}]") for index, one in enumerate(value)]

    return check


def _map(item: FieldCheck) -> FieldCheck:
    def check(value: Any, name: str) -> dict[str, Any]:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise InvalidContext(f"{name} must be an object")
        return {key: item(one, f"{name}.{key}") for key, one in value.items()}

    return check


def _optional(item: FieldCheck) -> FieldCheck:
    return lambda value, name: None if value is None else item(value, name)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise InvalidContext(f"{name} must be a text")
    return value


def _whole(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 2**53:
        raise InvalidContext(f"{name} must be a whole number from 0")
    return value


def _score(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
        raise InvalidContext(f"{name} must be a number from 0")
    return float(value)


def _amount(value: Any, name: str) -> str:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str) or not abs(Decimal(str(value))) < 10**15:
            raise InvalidContext(f"{name} must be a decimal number")
    except InvalidOperation as problem:
        raise InvalidContext(f"{name} must be a decimal number") from problem
    return str(value)


def _truth(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidContext(f"{name} must be true, false or null")
    return value


def _any(value: Any, _name: str) -> Any:
    return value


_LINE: Final[Fields] = {
    "product_id": (_text, ...),
    "variant_id": (_optional(_text), None),
    "category": (_optional(_text), None),
    "quantity": (_whole, 1),
    "price": (_optional(_amount), None),
    "currency": (_optional(_text), None),
}
_COUNTS: Final[Fields] = {
    "views": (_whole, 0),
    "clicks": (_whole, 0),
    "dismissals": (_whole, 0),
    "views_since_click": (_whole, 0),
    "last_viewed_at": (_optional(_text), None),
    "recent_views_ms": (_list(_whole), []),
}
_PURCHASES: Final[Fields] = {
    "count": (_whole, 0),
    "totals": (_map(_amount), {}),
    "last_at": (_optional(_text), None),
    "products": (_list(_text), []),
}
_CONSENT: Final[Fields] = {"personalization": (_optional(_truth), None), "measurement": (_optional(_truth), None)}
_FIELDS: Final[Fields] = {
    "user_id": (_text, ""),
    "interested_category": (_optional(_text), None),
    "interests": (_map(_score), {}),
    "cart": (_list(_object(_LINE)), []),
    "recent_products": (_list(_text), []),
    "last_search": (_optional(_text), None),
    "purchases": (_object(_PURCHASES), {}),
    "banners": (_map(_object(_COUNTS)), {}),
    "traits": (_map(_any), {}),
    "consent": (_object(_CONSENT), {}),
    "stable_id": (_optional(_text), None),
    "anonymous_ids": (_list(_text), []),
    "updated_at": (_optional(_text), None),
    "version": (_whole, 0),
    "positions": (_map(_whole), {}),
    "log_epoch": (_whole, 0),
}
