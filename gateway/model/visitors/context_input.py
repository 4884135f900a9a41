"""A context that was written by hand, for an example of a campaign: checked, and completed to the form of docs/context.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from gateway.model.context_fields import CONTEXT_FIELDS, REQUIRED, ContextField, Entries, Fields, Items, Nullable, Plain, Shape
from gateway.model.events.fields import MAX_SAFE_INTEGER


class InvalidContext(ValueError):
    """A context that no visitor could have; the message names the field."""


def complete_context(context: object) -> dict[str, Any]:
    """The context with every field; those that were left out are empty. Raises `InvalidContext`."""
    return _fields(context, "context", CONTEXT_FIELDS)


def _value(value: Any, name: str, shape: Shape) -> Any:
    match shape:
        case Nullable(inner):
            return None if value is None else _value(value, name, inner)
        case Items(inner):
            if not isinstance(value, list):
                raise InvalidContext(f"{name} must be a list")
            return [_value(item, f"{name}[{index}]", inner) for index, item in enumerate(value)]
        case Entries(inner):
            if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
                raise InvalidContext(f"{name} must be an object")
            return {key: _value(item, f"{name}.{key}", inner) for key, item in value.items()}
        case Fields(fields):
            return _fields(value, name, fields)
        case Plain():
            return _CHECKS[shape](value, name)


def _fields(value: Any, name: str, fields: Mapping[str, ContextField]) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidContext(f"{name} must be an object")
    for key in value:
        if key not in fields:
            raise InvalidContext(f"{name} has no field {key}; known fields: {', '.join(fields)}")
    complete = {}
    for key, field in fields.items():
        if key not in value and field.default is REQUIRED:
            raise InvalidContext(f"{name} needs the field {key}")
        complete[key] = _value(value.get(key, field.default), f"{name}.{key}", field.shape)
    return complete


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


_CHECKS: Final[Mapping[Plain, Callable[[Any, str], Any]]] = {
    Plain.STRING: _string,
    Plain.TIME: _string,
    Plain.INTEGER: _integer,
    Plain.SCORE: _score,
    Plain.AMOUNT: _amount,
    Plain.BOOLEAN: _boolean,
    Plain.ANY: _any,
}
