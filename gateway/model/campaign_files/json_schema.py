"""The JSON Schema of campaigns.yaml, for editors. It cannot check conditions, links and time zones; `gateway rules check` does."""

from __future__ import annotations

from typing import Any, Final

from gateway.model.campaign_files.banner import BANNER_KEYS, EXCLUDABLE, IMAGE_KEYS, LANGUAGE_KEYS, MAX_PIXELS, MAX_PRODUCTS, PRODUCT_KEYS
from gateway.model.campaign_files.campaign import (
    CAMPAIGN_KEYS,
    CAPS_KEYS,
    EXAMPLE_KEYS,
    EXPECT_KEYS,
    MAX_PRIORITY,
    MAX_VARIANTS,
    MAX_VIEWS_SINCE_CLICK,
    PERIOD,
    SCHEDULE_KEYS,
    VARIANT_KEYS,
    VIEW_CAP_KEYS,
)
from gateway.model.campaign_files.reader import ID_PATTERN
from gateway.model.campaign_files.ruleset import FORMAT, PLACEMENT_KEYS, RULESET_KEYS
from gateway.model.conditions.condition import PAGE_FIELDS
from gateway.model.decisions.assignment import MAX_TOTAL_WEIGHT
from gateway.model.rulesets.caps import MAX_VIEWS
from gateway.model.rulesets.ruleset import ProductSource
from gateway.model.rulesets.schedule import DAYS

Schema = dict[str, Any]

_STRING: Final[Schema] = {"type": "string", "minLength": 1}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}
_SHARE: Final[Schema] = {"type": "number", "minimum": 0, "maximum": 1}
_ID: Final[Schema] = {"type": "string", "pattern": f"^{ID_PATTERN}$"}
_ANY: Final[Schema] = {}


def _integer(low: int, high: int) -> Schema:
    return {"type": "integer", "minimum": low, "maximum": high}


def _list(item: Schema, **limits: int) -> Schema:
    return {"type": "array", "items": item, **limits}


def _object(keys: tuple[str, ...], required: tuple[str, ...] = (), **special: Schema) -> Schema:
    """An object with these keys and no others. Keys are strings unless `special` has their schema."""
    schemas = {key.rstrip("_"): schema for key, schema in special.items()}
    if unknown := set(schemas) - set(keys):
        raise ValueError(f"unknown keys {unknown}")
    properties = {key: schemas.get(key, _STRING) for key in keys}
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | ({"required": list(required)} if required else {})


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _campaign() -> Schema:
    cap = _object(VIEW_CAP_KEYS, ("max",), max=_integer(1, MAX_VIEWS), per={"type": "string", "pattern": f"^{PERIOD}$"})
    since_click = _integer(1, MAX_VIEWS_SINCE_CLICK)
    days = _list({"enum": list(DAYS)}, minItems=1)
    hours = {"type": "string", "pattern": r"^\d{2}:\d{2}-\d{2}:\d{2}$"}
    variant = _object(VARIANT_KEYS, ("variant", "banner"), variant=_ID, weight=_integer(1, MAX_TOTAL_WEIGHT), banner=_ref("bannerOrNone"))
    return _object(
        CAMPAIGN_KEYS,
        ("id", "placement", "when"),
        id=_ID,
        placement=_ID,
        priority=_integer(-MAX_PRIORITY, MAX_PRIORITY),
        schedule=_object(SCHEDULE_KEYS, (), from_=_TIME, until=_TIME, days=days, hours=hours),
        caps=_object(CAPS_KEYS, (), views=_list(cap), views_since_click=since_click, stop_after_dismiss={"type": "boolean"}),
        split=_list(variant, minItems=1, maxItems=MAX_VARIANTS),
        holdout=_SHARE,
        banner=_ref("bannerOrNone"),
        examples=_list(_ref("example")),
    )


def _definitions() -> dict[str, Schema]:
    size = _integer(1, MAX_PIXELS)
    language = {"image": _ref("image")}
    return {
        "image": _object(IMAGE_KEYS, ("url", "alt"), width=size, height=size),
        "products": _object(
            PRODUCT_KEYS,
            ("rule",),
            rule={"enum": [source.value for source in ProductSource]},
            count=_integer(1, MAX_PRODUCTS),
            exclude=_list({"enum": list(EXCLUDABLE)}),
        ),
        "banner": _object(
            BANNER_KEYS,
            ("headline",),
            **language,
            data=_ANY,
            products=_ref("products"),
            locales={"type": "object", "additionalProperties": _object(LANGUAGE_KEYS, (), **language)},
        ),
        "bannerOrNone": {"anyOf": [{"const": "none"}, _ref("banner")]},
        "placement": _object(PLACEMENT_KEYS, (), fallback={"anyOf": [{"type": "null"}, _ref("banner")]}),
        "campaign": _campaign(),
        "example": _object(
            EXAMPLE_KEYS,
            ("expect",),
            context={"type": "object"},
            page=_object(PAGE_FIELDS),
            at=_TIME,
            expect=_object(EXPECT_KEYS),
        ),
    }


def json_schema() -> Schema:
    """The schema, in JSON Schema 2020-12."""
    placements = {"type": "object", "propertyNames": _ID, "additionalProperties": _ref("placement")}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Placements and campaigns of the personalization gateway",
        **_object(
            RULESET_KEYS,
            ("version", "placements"),
            version={"const": FORMAT},
            placements=placements,
            campaigns=_list(_ref("campaign")),
            holdout=_SHARE,
            public_traits=_list(_STRING),
        ),
        "$defs": _definitions(),
    }
