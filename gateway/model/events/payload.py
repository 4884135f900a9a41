"""The payload of each event type: which fields it has and which are required. Absent fields and nulls are left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.model.events.event_kinds import EVENT_KINDS, EventType
from gateway.model.events.fields import (
    MAX_ID_CHARACTERS,
    MAX_SAFE_INTEGER,
    InvalidEvent,
    currency,
    integer,
    json_value,
    money,
    string,
)

MAX_PRODUCTS: Final = 100
MAX_TRAITS: Final = 64
MAX_URL_CHARACTERS: Final = 2048

FieldCheck = Callable[[Mapping[str, Any], str, str], Any]
"""Takes the object, the name of the field and the path of the object; returns the plain value, or None when absent."""


def _string(limit: int) -> FieldCheck:
    return lambda source, key, path: string(source, key, limit, path)


def _integer(low: int, high: int) -> FieldCheck:
    return lambda source, key, path: integer(source, key, low, high, path)


def _object(fields: Mapping[str, FieldCheck], *required: str) -> FieldCheck:
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


def check_fields(fields: Mapping[str, FieldCheck], required: tuple[str, ...], source: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The checked fields of `source`. Raises `InvalidEvent` for an unknown field, an invalid value or a missing required field."""
    unknown = source.keys() - fields.keys()
    if unknown:
        # The name is shown, logged and sent on, so it must be neither long nor unprintable.
        name = str(min(unknown, key=str))[:64]
        field = path + "".join(character if character.isprintable() else "?" for character in name)
        raise InvalidEvent("UNKNOWN_FIELD", f"{field} is not a field of this event", field)
    checked = {key: value for key, check in fields.items() if (value := check(source, key, path)) is not None}
    for key in required:
        if key not in checked:
            raise InvalidEvent("REQUIRED", f"{path + key} is required", path + key)
    return checked


_ID: Final = _string(MAX_ID_CHARACTERS)
_URL: Final = _string(MAX_URL_CHARACTERS)
_PAGE: Final[dict[str, FieldCheck]] = {
    "url": _URL, "title": _string(512), "referrer": _URL, "locale": _string(35), "type": _string(64),
    "product_id": _ID, "category": _ID, "currency": currency,
}  # fmt: skip
_PRODUCT: Final[dict[str, FieldCheck]] = {
    "product_id": _ID, "variant_id": _ID, "sku": _ID, "category": _ID, "brand": _ID,
    "name": _string(256), "price": money, "currency": currency, "quantity": _integer(1, 1_000_000), "url": _URL,
    "image_url": _URL, "position": _integer(0, 1_000_000), "list_id": _ID,
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
    products = []
    for index, item in enumerate(value):
        item_field = f"{field}[{index}]"
        if item is None:
            raise InvalidEvent("REQUIRED", f"{item_field} must be a product", item_field)
        products.append(_product({item_field: item}, item_field, ""))
    return products


_ORDER: Final[dict[str, FieldCheck]] = {"order_id": _ID, "value": money, "currency": currency, "products": _products}
_DECISION: Final[dict[str, FieldCheck]] = {
    "id": _string(2048), "placement": _ID, "campaign_id": _ID, "variant": _ID,
    "ruleset_version": _integer(0, MAX_SAFE_INTEGER),
}  # fmt: skip
_FIELDS: Final[dict[str, FieldCheck]] = {
    "page": _object(_PAGE), "product": _product, "products": _products, "category": _ID, "name": _ID,
    "order": _object(_ORDER, "order_id"), "search": _string(256), "properties": json_value,
    "decision": _object(_DECISION, "placement"), "user_id": _ID, "traits": _traits, "personalization": _flag, "measurement": _flag,
}  # fmt: skip
"""The check of every payload field, whichever kinds of events have it."""
_CHECKS: Final = {event_type: {name: _FIELDS[name] for name in kind.fields} for event_type, kind in EVENT_KINDS.items()}


def check_payload(event_type: EventType, payload: object) -> dict[str, Any]:
    """The payload in its plain form. Raises `InvalidEvent`. An order with a value needs a currency: otherwise it is never summed."""
    if payload is None:
        payload = {}
    if not isinstance(payload, Mapping):
        raise InvalidEvent("INVALID_VALUE", "payload must be an object", "payload")
    checked = check_fields(_CHECKS[event_type], EVENT_KINDS[event_type].required, payload, "")
    order = checked.get("order")
    if order and "value" in order and "currency" not in order and "currency" not in checked.get("page", {}):
        raise InvalidEvent("REQUIRED", "order.currency (or page.currency) is required with order.value", "order.currency")
    return checked
