"""The payload of each event type: which fields, of which form, within which limits.

A check takes the value as it came (a number, a text) and gives the plain JSON form that the log keeps: money as an exact
decimal text, whole numbers as int. What is absent or null stays out of the payload.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

MAX_SAFE_INTEGER: Final = 2**53
MAX_PRODUCTS: Final = 100
MAX_JSON_BYTES: Final = 4096
MAX_JSON_DEPTH: Final = 8
MAX_TRAITS: Final = 64

_AMOUNT: Final = re.compile(r"-?([0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20})([eE][+-]?[0-9]{1,2})?")
_UNWANTED: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class InvalidEvent(Exception):
    """An event that is not accepted: `code`, `message` with the remedy, and the `field` (a path in snake_case)."""

    def __init__(self, code: str, message: str, field: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field


def text(source: Mapping[str, Any], key: str, limit: int, path: str = "") -> str | None:
    """A text of 1 to `limit` characters, or None when absent."""
    value = source.get(key)
    if value is None:
        return None
    field = path + key
    if not isinstance(value, str):
        raise InvalidEvent("INVALID_VALUE", f"{field} must be a text", field)
    if not value or len(value) > limit:
        raise InvalidEvent("INVALID_VALUE", f"{field} must have 1 to {limit} characters, it has {len(value)}", field)
    if not value.isprintable() and _UNWANTED.search(value):
        raise InvalidEvent("INVALID_VALUE", f"{field} must not contain control characters or lone surrogates", field)
    return value


def integer(source: Mapping[str, Any], key: str, low: int, high: int, path: str = "") -> int | None:
    """A whole number within limits, given as a number or a numeric text, or None when absent."""
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
        raise InvalidEvent("INVALID_VALUE", f"{field} must be a whole number from {low} to {high}", field)
    return number


def money(source: Mapping[str, Any], key: str, path: str = "") -> str | None:
    """An exact amount from 0 to 10^12 with at most 6 decimals, given as a number or numeric text; kept as plain text."""
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
    # A short text can stand for a long number ("0E-99"): six decimals say all of it.
    return shown if len(shown.partition(".")[2]) <= 6 else format(abs(exact), "f")


def currency(source: Mapping[str, Any], key: str, path: str = "") -> str | None:
    """An ISO 4217 code, three capital letters."""
    value = source.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not re.fullmatch(r"[A-Z]{3}", value):
        raise InvalidEvent("INVALID_VALUE", f"{path + key} must be an ISO 4217 code such as EUR", path + key)
    return value


def json_value(source: Mapping[str, Any], key: str, path: str = "") -> Any:
    """Any JSON value of at most 4 KiB and 8 levels."""
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
        # Neither the log's JSON, nor the stored state, nor a condition can hold one.
        raise InvalidEvent("INVALID_VALUE", f"{field} must not hold whole numbers beyond 64 bits; send those as text", field)


Check = Callable[[Mapping[str, Any], str, str], Any]


def _text(limit: int) -> Check:
    return lambda source, key, path: text(source, key, limit, path)


def _integer(low: int, high: int) -> Check:
    return lambda source, key, path: integer(source, key, low, high, path)


def _object(fields: Mapping[str, Check], *required: str) -> Check:
    def check(source: Mapping[str, Any], key: str, path: str) -> dict[str, Any] | None:
        value = source.get(key)
        if value is None:
            return None
        field = path + key
        if not isinstance(value, Mapping):
            raise InvalidEvent("INVALID_VALUE", f"{field} must be an object", field)
        return check_fields(fields, required, value, field + ".")

    return check


def _flag(source: Mapping[str, Any], key: str, path: str) -> bool | None:
    value = source.get(key)
    if value is not None and not isinstance(value, bool):
        raise InvalidEvent("INVALID_VALUE", f"{path + key} must be true or false", path + key)
    return value


def _traits(source: Mapping[str, Any], key: str, path: str) -> dict[str, Any] | None:
    value = json_value(source, key, path)
    if value is None:
        return None
    field = path + key
    if not isinstance(value, Mapping) or len(value) > MAX_TRAITS or not all(isinstance(k, str) and 0 < len(k) <= 64 for k in value):
        raise InvalidEvent("INVALID_VALUE", f"{field} must be an object of at most {MAX_TRAITS} keys of 1 to 64 characters", field)
    return dict(value)


def check_fields(fields: Mapping[str, Check], required: tuple[str, ...], source: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Check every known field of `source`; refuse an unknown one, name a required one that is missing."""
    unknown = source.keys() - fields.keys()
    if unknown:
        # Shown, logged and sent on: so neither long nor unprintable.
        name = str(min(unknown, key=str))[:64]
        field = path + "".join(character if character.isprintable() else "?" for character in name)
        raise InvalidEvent("UNKNOWN_FIELD", f"{field} is not a field of this event", field)
    found = {key: value for key, check in fields.items() if (value := check(source, key, path)) is not None}
    for key in required:
        if key not in found:
            raise InvalidEvent("REQUIRED", f"{path + key} is required", path + key)
    return found


_PAGE: Final[dict[str, Check]] = {
    "url": _text(2048), "title": _text(512), "referrer": _text(2048), "locale": _text(35), "type": _text(64),
    "product_id": _text(128), "category": _text(128), "currency": currency,
}  # fmt: skip
_PRODUCT: Final[dict[str, Check]] = {
    "product_id": _text(128), "variant_id": _text(128), "sku": _text(128), "category": _text(128), "brand": _text(128),
    "name": _text(256), "price": money, "currency": currency, "quantity": _integer(1, 1_000_000), "url": _text(2048),
    "image_url": _text(2048), "position": _integer(0, 1_000_000), "list_id": _text(128),
}  # fmt: skip
_product = _object(_PRODUCT, "product_id")


def _products(source: Mapping[str, Any], key: str, path: str) -> list[dict[str, Any]] | None:
    value = source.get(key)
    if value is None:
        return None
    field = path + key
    if not isinstance(value, list):
        raise InvalidEvent("INVALID_VALUE", f"{field} must be a list of products", field)
    if len(value) > MAX_PRODUCTS:
        raise InvalidEvent("TOO_LARGE", f"{field} must hold at most {MAX_PRODUCTS} products, it holds {len(value)}", field)
    found = []
    for index, item in enumerate(value):
        place = f"{field}[{index}]"
        if item is None:
            raise InvalidEvent("REQUIRED", f"{place} must be a product", place)
        found.append(_product({place: item}, place, ""))
    return found


_ORDER: Final[dict[str, Check]] = {"order_id": _text(128), "value": money, "currency": currency, "products": _products}
_DECISION: Final[dict[str, Check]] = {
    "id": _text(2048), "placement": _text(128), "campaign_id": _text(128), "variant": _text(128),
    "ruleset_version": _integer(0, MAX_SAFE_INTEGER),
}  # fmt: skip
_COMMON: Final[dict[str, Check]] = {
    "page": _object(_PAGE), "product": _product, "products": _products, "category": _text(128), "name": _text(128),
    "order": _object(_ORDER, "order_id"), "search": _text(256), "properties": json_value,
    "decision": _object(_DECISION, "placement"),
}  # fmt: skip
_OWN: Final[dict[str, tuple[dict[str, Check], tuple[str, ...]]]] = {
    "IDENTIFY": ({"user_id": _text(128), "traits": _traits}, ("user_id",)),
    "CONSENT": ({"personalization": _flag, "measurement": _flag}, ("personalization",)),
    "DELETE": ({}, ()),
}
_REQUIRED: Final[dict[str, tuple[str, ...]]] = {
    "PRODUCTS_SEARCHED": ("search",), "PRODUCT_VIEWED": ("product",), "PRODUCT_CLICKED": ("product",),
    "PRODUCT_ADDED": ("product",), "PRODUCT_REMOVED": ("product",), "CART_UPDATED": ("products",),
    "ORDER_COMPLETED": ("order",), "ORDER_REFUNDED": ("order",), "BANNER_VIEWED": ("decision",),
    "BANNER_CLICKED": ("decision",), "BANNER_DISMISSED": ("decision",), "CUSTOM": ("name",),
}  # fmt: skip


def check_payload(type_name: str, payload: object) -> dict[str, Any]:
    """The payload in its plain form, or raise `InvalidEvent`. An order's value needs its currency: it would never be summed."""
    if payload is None:
        payload = {}
    if not isinstance(payload, Mapping):
        raise InvalidEvent("INVALID_VALUE", "payload must be an object", "payload")
    fields, required = _OWN.get(type_name, (_COMMON, _REQUIRED.get(type_name, ())))
    found = check_fields(fields, required, payload, "")
    order = found.get("order")
    if order and "value" in order and "currency" not in order and "currency" not in found.get("page", {}):
        raise InvalidEvent("REQUIRED", "order.currency (or page.currency) is required beside order.value", "order.currency")
    return found
