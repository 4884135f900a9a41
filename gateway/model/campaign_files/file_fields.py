"""One table of the fields of a campaign file: the reader, the JSON Schema for editors and the table in docs/campaigns.md use it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from gateway.model.conditions.condition import PAGE_FIELDS
from gateway.model.decisions.assignment import MAX_TOTAL_WEIGHT
from gateway.model.events.fields import MAX_ID_CHARACTERS
from gateway.model.rulesets.caps import MAX_VIEWS
from gateway.model.rulesets.ruleset import ProductSource
from gateway.model.rulesets.schedule import DAYS

Schema = dict[str, Any]

FORMAT: Final = 1
"""The format of the file; the field `version`."""
MAX_PIXELS: Final = 100_000
MAX_PRIORITY: Final = 1_000_000
MAX_PRODUCTS: Final = 20
MAX_VARIANTS: Final = 50
MAX_VIEWS_SINCE_CLICK: Final = 1_000_000
DEFAULT_PRODUCTS: Final = 4
EXCLUDABLE: Final = ("cart", "bought")
ID_PATTERN: Final = rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_ID_CHARACTERS - 1}}}"
PERIOD: Final = r"(\d{1,4}) (minute|hour|day|week)s?"


class ValueType(NamedTuple):
    """What a field may hold: as JSON Schema (2020-12), and as the documentation says it."""

    schema: Schema
    text: str


class FileField(NamedTuple):
    """A field of an object of the file."""

    value: ValueType
    meaning: str
    required: bool = False


FileFields = Mapping[str, FileField]


def object_schema(fields: FileFields) -> Schema:
    """An object with these fields and no others."""
    properties = {name: field.value.schema for name, field in fields.items()}
    required = [name for name, field in fields.items() if field.required]
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | ({"required": required} if required else {})


def _ref(name: str, text: str) -> ValueType:
    """An object that `gateway.model.campaign_files.json_schema` defines."""
    return ValueType({"$ref": f"#/$defs/{name}"}, text)


def _object(fields: FileFields, text: str) -> ValueType:
    return ValueType(object_schema(fields), text)


def _integer(low: int, high: int) -> ValueType:
    return ValueType({"type": "integer", "minimum": low, "maximum": high}, f"integer from {low:,} to {high:,}")


def _choice(names: tuple[str, ...]) -> ValueType:
    return ValueType({"enum": list(names)}, " or ".join(f"`{name}`" for name in names))


def _list(item: ValueType, text: str, **limits: int) -> ValueType:
    return ValueType({"type": "array", "items": item.schema, **limits}, text)


STRING: Final = ValueType({"type": "string", "minLength": 1}, "string")
_TEMPLATE: Final = ValueType(STRING.schema, "string with placeholders")
_LINK: Final = ValueType(STRING.schema, "link with placeholders")
_ID: Final = ValueType({"type": "string", "pattern": f"^{ID_PATTERN}$"}, "id")
_TIME: Final = ValueType({"type": "string", "format": "date-time"}, "RFC 3339 time")
_SHARE: Final = ValueType({"type": "number", "minimum": 0, "maximum": 1}, "share from 0 to 1, at most four decimals")
_BOOLEAN: Final = ValueType({"type": "boolean"}, "`true` or `false`")
_PERIOD: Final = ValueType({"type": "string", "pattern": f"^{PERIOD}$"}, "period, such as `12 hours`")
_HOURS: Final = ValueType({"type": "string", "pattern": r"^\d{2}:\d{2}-\d{2}:\d{2}$"}, "span, such as `09:00-18:00`")
_BANNER_OR_NONE: Final = _ref("bannerOrNone", "banner or `none`")

IMAGE: Final[FileFields] = {
    "url": FileField(_LINK, "address of the image", required=True),
    "alt": FileField(_TEMPLATE, "what it shows, in words", required=True),
    "width": FileField(_integer(1, MAX_PIXELS), "CSS pixels to reserve on the page"),
    "height": FileField(_integer(1, MAX_PIXELS), "CSS pixels to reserve on the page"),
}
PRODUCTS: Final[FileFields] = {
    "rule": FileField(_choice(tuple(source.value for source in ProductSource)), "where the products come from", required=True),
    "count": FileField(_integer(1, MAX_PRODUCTS), f"how many; default {DEFAULT_PRODUCTS}"),
    "exclude": FileField(
        _list(_choice(EXCLUDABLE), f"list of {' or '.join(f'`{name}`' for name in EXCLUDABLE)}"), "products to leave out; default both"
    ),
}
TRANSLATION: Final[FileFields] = {
    "headline": FileField(_TEMPLATE, "the main words"),
    "body": FileField(_TEMPLATE, "more words"),
    "link_url": FileField(_LINK, "where a click leads"),
    "cta_label": FileField(_TEMPLATE, "words of the button"),
    "image": FileField(_ref("image", "image"), "an image"),
}
BANNER: Final[FileFields] = {
    **TRANSLATION,
    "headline": TRANSLATION["headline"]._replace(required=True),
    "locale": FileField(STRING, "language of the banner itself, as a BCP 47 tag"),
    "data": FileField(ValueType({}, "any JSON"), "for the page's own use"),
    "products": FileField(_ref("products", "products"), "related products"),
    "locales": FileField(
        ValueType({"type": "object", "additionalProperties": object_schema(TRANSLATION)}, "translations by BCP 47 tag"),
        "the banner in other languages",
    ),
}
SCHEDULE: Final[FileFields] = {
    "from": FileField(_TIME, "start, inclusive"),
    "until": FileField(_TIME, "end, exclusive"),
    "days": FileField(_list(_choice(DAYS), "list of days, `mon` to `sun`", minItems=1), "days of the week; default all"),
    "hours": FileField(_HOURS, "span within one day; default the whole day"),
    "zone": FileField(STRING, "IANA time zone of days and hours; default UTC"),
}
VIEW_CAP: Final[FileFields] = {
    "max": FileField(_integer(1, MAX_VIEWS), "views that are allowed", required=True),
    "per": FileField(_PERIOD, "sliding period; default in total"),
}
CAPS: Final[FileFields] = {
    "views": FileField(_list(_object(VIEW_CAP, "cap of views"), "list of caps of views"), "limits of views"),
    "views_since_click": FileField(_integer(1, MAX_VIEWS_SINCE_CLICK), "views without a click after which the campaign stops"),
    "stop_after_dismiss": FileField(_BOOLEAN, "whether a dismissal stops the campaign; default `false`"),
}
VARIANT: Final[FileFields] = {
    "variant": FileField(_ID, "name of the variant", required=True),
    "weight": FileField(_integer(1, MAX_TOTAL_WEIGHT), "its part of all weights; default 1"),
    "banner": FileField(_BANNER_OR_NONE, "what its visitors see", required=True),
}
EXPECT: Final[FileFields] = {
    "campaign": FileField(STRING, "id of the campaign that wins, or `none`"),
    "headline": FileField(STRING, "headline that is shown"),
}
PAGE: Final[FileFields] = {name: FileField(STRING, "see Conditions") for name in PAGE_FIELDS}
EXAMPLE: Final[FileFields] = {
    "context": FileField(ValueType({"type": "object"}, "context"), "the visitor; fields that are left out are empty"),
    "page": FileField(_object(PAGE, f"object with {', '.join(f'`{name}`' for name in PAGE_FIELDS)}"), "the page"),
    "at": FileField(_TIME, "time of the decision; default now"),
    "expect": FileField(_object(EXPECT, "expect"), "the outcome", required=True),
}
CAMPAIGN: Final[FileFields] = {
    "id": FileField(_ID, "its identity in caps and statistics", required=True),
    "placement": FileField(_ID, "a placement of this file", required=True),
    "priority": FileField(_integer(-MAX_PRIORITY, MAX_PRIORITY), "the highest wins; default 0"),
    "when": FileField(STRING._replace(text="CEL expression"), "condition", required=True),
    "schedule": FileField(_object(SCHEDULE, "schedule"), "when it runs; default always"),
    "caps": FileField(_object(CAPS, "caps"), "how often a visitor sees it; default without limit"),
    "split": FileField(
        _list(_object(VARIANT, "variant"), f"list of 1 to {MAX_VARIANTS} variants", minItems=1, maxItems=MAX_VARIANTS),
        "variants, instead of `banner`",
    ),
    "salt": FileField(STRING, "a new one assigns all visitors again; default the id"),
    "holdout": FileField(_SHARE, "share of visitors who get the fallback instead; default 0"),
    "group": FileField(STRING, "campaigns of one group exclude each other"),
    "banner": FileField(_BANNER_OR_NONE, "what visitors see; required without a `split`"),
    "description": FileField(STRING, "for readers of the file"),
    "examples": FileField(_list(_ref("example", "example"), "list of examples"), "tests of the campaign"),
}
PLACEMENT: Final[FileFields] = {
    "description": FileField(STRING, "for readers of the file"),
    "fallback": FileField(
        ValueType({"anyOf": [{"type": "null"}, {"$ref": "#/$defs/banner"}]}, "banner or null"), "for visitors without a matching campaign"
    ),
}
RULESET: Final[FileFields] = {
    "version": FileField(ValueType({"const": FORMAT}, f"`{FORMAT}`"), "format of the file", required=True),
    "placements": FileField(
        ValueType(
            {"type": "object", "propertyNames": _ID.schema, "additionalProperties": {"$ref": "#/$defs/placement"}}, "placements by id"
        ),
        "the placements of the pages",
        required=True,
    ),
    "campaigns": FileField(_list(_ref("campaign", "campaign"), "list of campaigns"), "the campaigns"),
    "holdout": FileField(_SHARE, "share of visitors who see no campaign at all; default 0"),
    "holdout_salt": FileField(STRING, "a new one selects other visitors; default `global`"),
    "public_traits": FileField(_list(STRING, "list of strings"), "traits that `identify` may set with a visitor token"),
}
OBJECTS: Final[Mapping[str, FileFields]] = {
    "ruleset": RULESET,
    "placement": PLACEMENT,
    "campaign": CAMPAIGN,
    "schedule": SCHEDULE,
    "caps": CAPS,
    "cap of views": VIEW_CAP,
    "variant": VARIANT,
    "banner": BANNER,
    "image": IMAGE,
    "products": PRODUCTS,
    "translation": TRANSLATION,
    "example": EXAMPLE,
    "expect": EXPECT,
}
"""Every object of the file, by its name in the documentation; the page of an example is described with the conditions."""
