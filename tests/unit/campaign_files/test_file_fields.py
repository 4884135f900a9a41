"""The table of fields of a campaign file: the reader accepts what it says, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from gateway.model.campaign_files.file_fields import OBJECTS, Schema
from gateway.model.campaign_files.json_schema import json_schema
from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.rulesets.ruleset import InvalidRuleset

SMALLEST: Final[Mapping[str, dict[str, Any]]] = {
    "ruleset": {"version": 1, "placements": {"p": {}}},
    "placement": {},
    "campaign": {"id": "c", "placement": "p", "when": "true", "banner": {"headline": "h"}},
    "schedule": {},
    "caps": {},
    "cap of views": {"max": 1},
    "variant": {"variant": "a", "banner": "none"},
    "banner": {"headline": "h"},
    "image": {"url": "/a.png", "alt": "a"},
    "products": {"rule": "trending"},
    "translation": {},
    "example": {"expect": {}},
    "expect": {},
}
"""A valid object of each kind."""
PARENTS: Final[Mapping[str, tuple[str, str, str]]] = {
    "placement": ("ruleset", "placements", "by id"),
    "campaign": ("ruleset", "campaigns", "in a list"),
    "schedule": ("campaign", "schedule", "alone"),
    "caps": ("campaign", "caps", "alone"),
    "cap of views": ("caps", "views", "in a list"),
    "variant": ("campaign", "split", "in a list"),
    "banner": ("placement", "fallback", "alone"),
    "image": ("banner", "image", "alone"),
    "products": ("banner", "products", "alone"),
    "translation": ("banner", "locales", "by id"),
    "example": ("campaign", "examples", "in a list"),
    "expect": ("example", "expect", "alone"),
}
"""Where an object is found: in this object, in this field, and how."""
NOT_CHECKED: Final = {("campaign", "description")}
"""The reader passes over it: it is only for readers of the file, and rulesets in which it is not a string have been published."""
VALUES: Final[Mapping[str, tuple[Any, ...]]] = {
    "alt": ("a",), "body": ("b",), "cta_label": ("c",), "headline": ("h",), "locale": ("de",), "link_url": ("/x",), "url": ("/x",),
    "from": ("2026-01-01T00:00:00Z",), "until": ("2026-01-01T00:00:00Z",), "at": ("2026-01-01T00:00:00Z",),
    "hours": ("00:00-24:00", "09:00-18:00"), "zone": ("Europe/Berlin",), "per": ("1 minute", "12 hours", "9999 weeks"),
    "when": ("true",), "placement": ("p",), "id": ("a", "A" * 128), "variant": ("a", "A" * 128),
}  # fmt: skip
"""Valid strings of fields that are more than a string or whose form is given by a pattern."""
FIELDS: Final = [(object_name, name) for object_name, fields in OBJECTS.items() for name in fields]
DEFINITIONS: Final = json_schema()["$defs"]


def file_with(object_name: str, content: Mapping[str, Any]) -> str:
    """A file whose only unusual part is this object. JSON is YAML."""
    while object_name != "ruleset":
        parent, field, how = PARENTS[object_name]
        value = [content] if how == "in a list" else {"p": content} if how == "by id" else content
        content = {**SMALLEST[parent], field: value}
        if field == "split":
            del content["banner"]
        object_name = parent
    return json.dumps(content)


def is_accepted(object_name: str, content: Mapping[str, Any]) -> bool:
    """Whether the reader loads a file with this object."""
    try:
        load_ruleset(file_with(object_name, content), 1)
    except InvalidRuleset:
        return False
    return True


def wrong_values(schema: Schema) -> Iterator[Any]:
    """Values that a schema does not allow: of other types, beyond each limit, and of another form."""
    if "$ref" in schema:
        schema = DEFINITIONS[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        yield from (5, True, [], "other", {"unknown": 1})
    elif "const" in schema or "enum" in schema:
        yield from ("other", 99, True, [], {}, "")
    match schema.get("type"):
        case "string":
            yield from (5, True, None, [], {}, "")
            if "pattern" in schema:
                yield from ("a b c", "ä", "a" * 129)
        case "integer":
            yield from (schema["minimum"] - 1, schema["maximum"] + 1, "1", 1.5, True, None, [], {})
        case "number":
            yield from (-0.1, 1.1, "many", True, None, [], {})
        case "boolean":
            yield from (0, "yes", None, [], {})
        case "array":
            yield from (5, "a", {}, *([item] for item in wrong_values(schema["items"])))
            if "minItems" in schema:
                yield []
        case "object":
            yield from (5, "a", [1])
            if schema.get("additionalProperties") is False:
                yield {"unknown": 1}


def right_values(name: str, schema: Schema) -> Iterator[Any]:
    """Values that a schema allows, the extreme ones among them."""
    if "const" in schema:
        yield schema["const"]
    yield from schema.get("enum", ())
    match schema.get("type"):
        case "string":
            yield from VALUES.get(name, ("x", "ä b"))
        case "integer":
            yield from (schema["minimum"], schema["maximum"])
        case "number":
            yield from (0, 1, 0.0001, 0.9999)
        case "boolean":
            yield from (True, False)
        case "array" if "$ref" not in schema["items"] and schema["items"].get("type") != "object":
            yield from ([item] for item in right_values(name, schema["items"]))


@pytest.mark.parametrize(("object_name", "name"), FIELDS)
def test_the_reader_refuses_what_the_table_does_not_allow(object_name: str, name: str) -> None:
    """So an editor underlines nothing that would load."""
    for value in wrong_values(OBJECTS[object_name][name].value.schema):
        content = {**SMALLEST[object_name], name: value}
        assert is_accepted(object_name, content) == ((object_name, name) in NOT_CHECKED), f"{object_name}: {content}"


@pytest.mark.parametrize(("object_name", "name"), FIELDS)
def test_the_reader_accepts_what_the_table_allows(object_name: str, name: str) -> None:
    """Up to the limits, which are in the table and in the code that reads."""
    for value in right_values(name, OBJECTS[object_name][name].value.schema):
        content = {**SMALLEST[object_name], name: value}
        assert is_accepted(object_name, content), f"{object_name}: {content}"


@pytest.mark.parametrize(("object_name", "name"), FIELDS)
def test_only_required_fields_are_required(object_name: str, name: str) -> None:
    """A campaign also needs a banner unless it has a split, which no table of fields can say."""
    content = {key: value for key, value in SMALLEST[object_name].items() if key != name}
    is_required = OBJECTS[object_name][name].required or (object_name, name) == ("campaign", "banner")
    assert is_accepted(object_name, content) != is_required


def test_every_object_of_the_table_is_tried() -> None:
    """And its fields can be reached from the ruleset."""
    assert set(SMALLEST) == set(OBJECTS) == {"ruleset", *PARENTS}
    assert all(field in OBJECTS[parent] for parent, field, _ in PARENTS.values())
