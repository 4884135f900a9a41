"""A context that was written by hand, for an example of a campaign: checked, and completed to the form of docs/context.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from gateway.model.events.fields import MAX_SAFE_INTEGER


class InvalidContext(ValueError):
    """A context that no visitor could have; the message names the field."""


FieldCheck = Callable[[Any, str], Any]
"""Takes the value and its name, and returns the value in the form of a context."""
Fields = Mapping[str, tuple[FieldCheck, Any]]
"""Fields of an object, each with its check and its default (`...`: it is required)."""


def complete_context(context: object) -> dict[str, Any]:
    """The context with every field; those that were left out are empty. Raises `InvalidContext`."""
    complete: dict[str, Any] = _object(_FIELDS)(context, "context")
    return complete


def _object(fields: Fields) -> FieldCheck:

    def check(value: Any, name: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise InvalidContext(f"{name} must be an object")
        for key in value:
            if key not in fields:
                raise InvalidContext(f"{name} has no field {key}; known fields: {', '.join(fields)}")
        complete = {}
        for key, (check_field, default) in fields.items():
            if key not in value and default is ...:
                raise InvalidContext(f"{name} needs the field {key}")
            complete[key] = check_field(value.get(key, default), f"{name}.{key}")
        return complete

    return check


def _list(check_item: FieldCheck) -> FieldCheck:
    def check(value: Any, name: str) -> list[Any]:
        if not isinstance(value, list):
            raise InvalidContext(f"{name} must be a list")
        return [check_item(item, f"{name}[{index}]") for index, item in enumerate(value)]

    return check


def _map(check_item: FieldCheck) -> FieldCheck:
    def check(value: Any, name: str) -> dict[str, Any]:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise InvalidContext(f"{name} must be an object")
        return {key: check_item(item, f"{name}.{key}") for key, item in value.items()}

    return check


def _optional(check_value: FieldCheck) -> FieldCheck:
    return lambda value, name: None if value is None else check_value(value, name)


def _string(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise InvalidContext(f"{name} must be a string")
    return value


def _integer(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SAFE_INTEGER:
        raise InvalidContext(f"{name} must be an integer from 0 to {MAX_SAFE_INTEGER}")
    return value


def _score(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
        raise InvalidContext(f"{name} must be a number from 0 to 10^15")
    return float(value)


def _amount(value: Any, name: str) -> str:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str) or not abs(Decimal(str(value))) < 10**15:
            raise InvalidContext(f"{name} must be a decimal number")
    except InvalidOperation as problem:
        raise InvalidContext(f"{name} must be a decimal number") from problem
    return str(value)


def _boolean(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidContext(f"{name} must be true, false or null")
    return value


def _any(value: Any, _name: str) -> Any:
    return value


_LINE: Final[Fields] = {
    "product_id": (_string, ...),
    "variant_id": (_optional(_string), None),
    "category": (_optional(_string), None),
    "quantity": (_integer, 1),
    "price": (_optional(_amount), None),
    "currency": (_optional(_string), None),
}
_COUNTS: Final[Fields] = {
    "views": (_integer, 0),
    "clicks": (_integer, 0),
    "dismissals": (_integer, 0),
    "views_since_click": (_integer, 0),
    "last_viewed_at": (_optional(_string), None),
    "recent_views_ms": (_list(_integer), []),
}
_PURCHASES: Final[Fields] = {
    "count": (_integer, 0),
    "totals": (_map(_amount), {}),
    "last_at": (_optional(_string), None),
    "products": (_list(_string), []),
}
_CONSENT: Final[Fields] = {"personalization": (_optional(_boolean), None), "measurement": (_optional(_boolean), None)}
_FIELDS: Final[Fields] = {
    "user_id": (_string, ""),
    "interested_category": (_optional(_string), None),
    "interests": (_map(_score), {}),
    "cart": (_list(_object(_LINE)), []),
    "recent_products": (_list(_string), []),
    "last_search": (_optional(_string), None),
    "purchases": (_object(_PURCHASES), {}),
    "banners": (_map(_object(_COUNTS)), {}),
    "traits": (_map(_any), {}),
    "consent": (_object(_CONSENT), {}),
    "stable_id": (_optional(_string), None),
    "anonymous_ids": (_list(_string), []),
    "updated_at": (_optional(_string), None),
    "version": (_integer, 0),
    "positions": (_map(_integer), {}),
    "log_epoch": (_integer, 0),
}
