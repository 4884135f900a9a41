"""docs/campaigns.md: every example is a ruleset that loads and does what it says; the schema beside it is the code's."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.commands.rules import json_schema_text
from gateway.model.campaign_files.file_fields import OBJECTS
from gateway.model.campaign_files.json_schema import json_schema
from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.conditions.condition import PAGE_FIELDS, VARIABLES
from gateway.model.decisions.campaign_examples import examples_of, run_examples
from gateway.model.decisions.decide import Inputs, decide
from gateway.model.rulesets.ruleset import HOLDOUT_VARIANT, Campaign, ProductSource

DOCS = Path(__file__).resolve().parents[3] / "docs"
TEXT = (DOCS / "campaigns.md").read_text(encoding="utf-8")
BLOCKS = [
    (TEXT[: found.start()].count("\n") + 1, found[1]) for found in re.finditer(r"^```yaml\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
]
SHIPPED = (DOCS.parent / "examples" / "storefront" / "campaigns.yaml").read_text(encoding="utf-8")
NOW_MS = 1_790_000_000_000


@pytest.mark.parametrize(("line", "text"), BLOCKS, ids=[f"line-{line}" for line, _ in BLOCKS])
def test_an_example_of_the_docs_does_what_it_says(line: int, text: str) -> None:
    """It is a whole ruleset, and the examples in it hold."""
    assert text.startswith("version: 1")
    assert [failure.text(f"docs/campaigns.md (block at line {line})") for failure in run_examples(load_ruleset(text, 1), NOW_MS)] == []


def test_the_examples_of_the_storefront_hold() -> None:
    """And stand beside every one of its campaigns."""
    shipped = load_ruleset(SHIPPED, 1)
    assert [failure.text("campaigns.yaml") for failure in run_examples(shipped, NOW_MS)] == []
    campaigns = [campaign for placement in shipped.placements.values() for campaign in placement.campaigns]
    assert all(campaign.examples for campaign in campaigns)


def test_the_docs_have_examples() -> None:
    """Of many kinds."""
    assert len(BLOCKS) >= 8
    assert sum(len(list(examples_of(load_ruleset(text, 1)))) for _, text in BLOCKS) > 25


@pytest.mark.parametrize("name", sorted({name for fields_of_object in OBJECTS.values() for name in fields_of_object}))
def test_every_field_of_the_language_is_shown(name: str) -> None:
    """In an example that is run."""
    assert any(re.search(rf"\b{name}:", text) for _, text in BLOCKS)


def test_every_campaign_of_the_docs_has_an_example() -> None:
    """So every feature is not only shown, but run."""
    rulesets = [load_ruleset(text, 1) for _, text in BLOCKS]
    campaigns = [campaign for ruleset in rulesets for placement in ruleset.placements.values() for campaign in placement.campaigns]
    assert [campaign.campaign_id for campaign in campaigns if not campaign.examples] == []


def test_every_rule_for_products_is_shown() -> None:
    """In a banner of an example that is run."""
    shown = {match for _, text in BLOCKS for match in re.findall(r"\brule: (\w+)", text)}
    assert shown == set(ProductSource)


def test_who_is_held_out_is_shown() -> None:
    """By an example that names the campaign and expects the fallback."""
    held_out = []
    for ruleset in (load_ruleset(text, 1) for _, text in BLOCKS):
        for campaign, example in examples_of(ruleset):
            inputs = Inputs(example.context, example.page, example.at_ms or NOW_MS, example.context["user_id"] or None)
            if decide(ruleset, campaign.placement, inputs).variant == HOLDOUT_VARIANT:
                held_out.append((example.campaign_id, example.headline))
    assert ("spring", "Welcome") in held_out


@pytest.mark.parametrize("name", [*VARIABLES, *PAGE_FIELDS, *ProductSource])
def test_every_variable_and_rule_is_explained(name: str) -> None:
    """In the tables and texts."""
    assert f"`{name}`" in TEXT
    if name in VARIABLES:
        assert any(name in text for _, text in BLOCKS)


def test_the_order_of_questions_names_what_a_campaign_has() -> None:
    """A new kind of rule would have to be placed there."""
    assert {"when", "schedule", "caps", "holdout", "group", "variants"} <= {field.name for field in fields(Campaign)}


def test_the_schema_for_editors_is_the_codes() -> None:
    """Regenerate it with: gateway rules schema > docs/campaigns.schema.json"""
    assert (DOCS / "campaigns.schema.json").read_text(encoding="utf-8") == json_schema_text()


class TextLoader(yaml.SafeLoader):
    """Reads times as texts, as YAML 1.2 and editors do."""


TextLoader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
SCHEMA = json_schema()
KINDS: dict[str, type | tuple[type, ...]] = {
    "object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None),
}  # fmt: skip


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value is valid by the part of JSON Schema that ours uses."""
    if "$ref" in schema:
        return fits(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        return any(fits(value, one) for one in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return value in schema.get("enum", [schema.get("const")])
    if "type" in schema and not isinstance(value, KINDS[schema["type"]]):
        return False
    if isinstance(value, dict):
        others = schema.get("additionalProperties", True)
        known = schema.get("properties", {})
        return all(name in value for name in schema.get("required", ())) and all(
            fits(item, known[name]) if name in known else others is True or (bool(others) and fits(item, others))
            for name, item in value.items()
        )
    if isinstance(value, list):
        return schema.get("minItems", 0) <= len(value) and all(fits(item, schema.get("items", {})) for item in value)
    if isinstance(value, str):
        return len(value) >= schema.get("minLength", 0) and re.search(schema.get("pattern", ""), value) is not None
    return "minimum" not in schema or bool(schema["minimum"] <= value <= schema["maximum"])


@pytest.mark.parametrize("text", [*(text for _, text in BLOCKS), SHIPPED], ids=[*(f"line-{line}" for line, _ in BLOCKS), "storefront"])
def test_what_loads_is_valid_by_the_schema(text: str) -> None:
    """An editor underlines nothing that is right."""
    assert fits(yaml.load(text, TextLoader), SCHEMA)  # noqa: S506 - a safe loader without times


@pytest.mark.parametrize(
    ("good", "wrong"),
    [
        ("priority: 10 ", "prio: 10 "),
        ("priority: 10 ", "priority: high "),
        ("version: 1 ", "version: 2 "),
        ("headline: Welcome", "body: Welcome"),
        ("id: phones", "id: 'a b'"),
        ("expect: {campaign: phones}", "expects: {campaign: phones}"),
    ],
)
def test_an_editor_underlines_what_is_wrong(good: str, wrong: str) -> None:
    """Unknown and missing fields, and values of the wrong form."""
    text = BLOCKS[0][1]
    assert good in text
    assert not fits(yaml.load(text.replace(good, wrong, 1), TextLoader), SCHEMA)  # noqa: S506 - see above
