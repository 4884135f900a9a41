"""The checks of a single field of an event: strings, integers, money, currencies and JSON, each within its limits.

A check takes the value as it was sent (a number, a string) and returns the plain JSON form that the log keeps: money as an exact
decimal string, integers as int; None when the field is absent or null. It raises `InvalidEvent`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

MAX_ID_CHARACTERS: Final = 128
"""The longest id, and the longest name of a category, a brand or a custom event."""
MAX_SAFE_INTEGER: Final = 2**53
MAX_JSON_BYTES: Final = 4096
MAX_JSON_DEPTH: Final = 8
_AMOUNT: Final = re.compile(r"-?([0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20})([eE][+-]?[0-9]{1,2})?")

_UNWANTED: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class InvalidEvent(Exception):
    """An event that is not accepted: a `code`, a `message` with the remedy, and the `field` (a path in snake_case)."""

    def __init__(self, code: str, message: str, field: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field


def string(source: Mapping[str, Any], key: str, limit: int, path: str = "") -> str | None:
    """A string of 1 to `limit` characters without control characters; None when absent."""
    value = source.get(key)
    if value is None:
        return None
    field = path + key
    if not isinstance(value, str):
        raise InvalidEvent("INVALID_VALUE", f"{field} must be a string", field)
    if not value or len(value) > limit:
        raise InvalidEvent("INVALID_VALUE", f"{field} must have 1 to {limit} characters, it has {len(value)}", field)
    if not value.isprintable() and _UNWANTED.search(value):
        raise InvalidEvent("INVALID_VALUE", f"{field} must not contain control characters or lone surrogates", field)
    return value


def integer(source: Mapping[str, Any], key: str, low: int, high: int, path: str = "") -> int | None:
    """An integer from `low` to `high`, sent as a number or a numeric string; None when absent."""
    value = source.get(key)
    if value is None:
        return None
    field = path + key
    number: int | None = None
    if isinstance(value, bool):
        pass
    elif isinstance(value, int):
        number = value
    elif (isinstance(value, float) and value.is_integer()) or (isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,17}", value)):
        number = int(value)
    if number is None or not low <= number <= high:
        raise InvalidEvent("INVALID_VALUE", f"{field} must be an integer from {low} to {high}", field)
    return number


def money(source: Mapping[str, Any], key: str, path: str = "") -> str | None:
    """An exact amount from 0 to 10^12 with at most 6 decimals, sent as a number or a numeric string; returned as a decimal string."""
    value = source.get(key)
    if value is None:
        return None
    field = path + key
    amount: Decimal | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        amount = Decimal(value)
    elif isinstance(value, float | str) and _AMOUNT.fullmatch(str(value)):
        amount = Decimal(str(value))
    if amount is None or not 0 <= amount <= 10**12 or amount != (exact := round(amount, 6)):
        raise InvalidEvent("INVALID_VALUE", f"{field} must be an amount such as 19.90, from 0 to 10^12 with at most 6 decimals", field)
    shown = format(abs(amount), "f")
    # A short string can stand for a long number ("0E-99"): six decimals are all of it.
    return shown if len(shown.partition(".")[2]) <= 6 else format(abs(exact), "f")


def currency(source: Mapping[str, Any], key: str, path: str = "") -> str | None:
    """An ISO 4217 code, three capital letters; None when absent."""
    value = source.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not re.fullmatch(r"[A-Z]{3}", value):
        raise InvalidEvent("INVALID_VALUE", f"{path + key} must be an ISO 4217 code such as EUR", path + key)
    return value


def json_value(source: Mapping[str, Any], key: str, path: str = "") -> Any:
    """Any JSON value of at most `MAX_JSON_BYTES` and `MAX_JSON_DEPTH` levels; None when absent."""
    value = source.get(key)
    if value is None:
        return None
    field = path + key
    try:
        _check_json(value, field, 1)
        size = len(json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode())
    except (TypeError, ValueError) as problem:
        raise InvalidEvent("INVALID_VALUE", f"{field} must be JSON: {problem}", field) from None
    if size > MAX_JSON_BYTES:
        raise InvalidEvent("TOO_LARGE", f"{field} must have at most {MAX_JSON_BYTES} bytes of JSON, it has {size}", field)
    return value


def _check_json(value: Any, field: str, level: int) -> None:
    if level > MAX_JSON_DEPTH:
        raise InvalidEvent("TOO_LARGE", f"{field} must have at most {MAX_JSON_DEPTH} levels", field)
    if isinstance(value, Mapping):
        for item in value.values():
            _check_json(item, field, level + 1)
    elif isinstance(value, list):
        for item in value:
            _check_json(item, field, level + 1)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        # The log's JSON, the stored state and conditions cannot hold such a number.
        raise InvalidEvent("INVALID_VALUE", f"{field} must not hold integers beyond 64 bits; send those as strings", field)
