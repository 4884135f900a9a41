"""docs/api.md says what the code does. That the examples run is shown in tests/integration/test_docs_api.py."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from graphql import FieldNode, GraphQLObjectType, GraphQLScalarType, OperationDefinitionNode, parse, specified_scalar_types

from gateway.api.schema import build_schema
from gateway.errors import ErrorCode
from gateway.settings import Settings
from gateway.transport.documents.persisted_documents import check_documents
from tests.support.docs_examples import CREDENTIALS, EXAMPLES, TEXT, Example, blocks, differences, section

SCHEMA = build_schema()
ROOTS = {
    name: field.description or ""
    for root in ("Query", "Mutation", "Subscription")
    if isinstance(found := SCHEMA._schema.type_map[root], GraphQLObjectType)
    for name, field in found.fields.items()
}


def test_every_error_code_is_told() -> None:
    """The table has exactly the codes that answers can have, and the life of a request has an exit for each."""
    assert re.findall(r"^\| ([A-Z_]+) \|", TEXT, re.MULTILINE) == [code.value for code in ErrorCode]
    assert set(re.findall(r"\b[A-Z_]{8,}\b", section("The life of a request"))) == {code.value for code in ErrorCode}


def test_settings_are_ours() -> None:
    """What it names exists."""
    settings = {f"GATEWAY_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"GATEWAY_[A-Z_]+", TEXT)) <= settings


def test_the_table_of_contents_leads_somewhere() -> None:
    """Every link within the page names a heading, and every chapter is linked."""
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)}
    links = set(re.findall(r"\]\(#([^)]+)\)", TEXT))
    chapters = {title.lower().replace(" ", "-").replace("'", "") for title in re.findall(r"^## (.+)$", TEXT, re.MULTILINE)}
    assert chapters <= links <= anchors


def test_every_operation_has_one_example() -> None:
    """Each root field of the schema, and nothing that is none."""
    assert sorted(example.field for example in EXAMPLES) == sorted(ROOTS)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.field)
def test_example_is_an_operation_of_that_field_alone(example: Example) -> None:
    """It is valid and within the limits; variables and answer are of that operation, and all variables are used."""
    check_documents(SCHEMA, [example.document], production=True)
    (operation,) = parse(example.document).definitions
    assert isinstance(operation, OperationDefinitionNode)
    (root,) = operation.selection_set.selections
    assert isinstance(root, FieldNode)
    assert root.name.value == example.field
    assert example.answer.keys() == {"data"}
    assert example.answer["data"].keys() == {example.field}
    assert example.variables.keys() == {one.variable.name.value for one in operation.variable_definitions or ()}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.field)
def test_what_needs_a_secret_key_says_so_in_the_schema_too(example: Example) -> None:
    """The mark "(secret)" of a description, and the docs' line of credentials."""
    assert set(example.credentials) <= set(CREDENTIALS)
    assert ("(secret)" in ROOTS[example.field]) == (example.credentials == ("secret key",))


def test_the_python_generator_is_told_of_every_scalar() -> None:
    """One that is new to the schema is Any unless the docs name a type; JSON is meant to be."""
    (block,) = blocks(section("Python: ariadne-codegen"), "toml")
    scalars = {name for name, found in SCHEMA._schema.type_map.items() if isinstance(found, GraphQLScalarType)}
    told = tomllib.loads(block)["tool"]["ariadne-codegen"]["scalars"].keys()
    assert told == scalars - specified_scalar_types.keys() - {"JSON"}


def test_every_placeholder_has_a_meaning() -> None:
    """The table has exactly the placeholders that the examples use."""
    table = set(re.findall(r"^\| `(<[^>]+>)` \|", TEXT, re.MULTILINE))
    used = {name for block in blocks(TEXT, "json") for name in re.findall(r'"(<[^>"]+>)"', block)}
    assert table == used


@pytest.mark.parametrize(
    ("shown", "real"),
    [
        ({"a": 1}, {}),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": None}),
        ({"a": 1}, {"a": 1.0}),
        ({"a": 1}, {"a": True}),
        ({"a": True}, {"a": False}),
        ({"a": None}, {"a": "x"}),
        ({"a": "x"}, {"a": "y"}),
        ({"a": "…"}, {"a": ""}),
        ({"a": "anon_…"}, {"a": "12345"}),
        ({"a": "2026-01-31T12:00:00.000Z"}, {"a": "yesterday"}),
        ({"a": [1]}, {"a": []}),
        ({"a": [1]}, {"a": [1, 2]}),
        ({"a": [1, "…"]}, {"a": []}),
        ({"a": [{"b": 1}, "…"]}, {"a": [{"c": 1}]}),
        ({"a": {"…": "…"}}, {"a": None}),
    ],
)
def test_an_answer_of_another_form_is_found_out(shown: Any, real: Any) -> None:
    """Names, kinds, lengths and texts, at any depth."""
    assert differences(shown, real) != []
    assert differences({"data": [shown]}, {"data": [real]}) != []


def test_an_answer_may_differ_where_the_docs_say_so() -> None:
    """`…` stands for any text, for more items and for more members; numbers and times are examples."""
    shown = {"id": "a…", "n": 1, "at": "2026-01-31T12:00:00.000Z", "list": [{"x": None}, "…"], "more": {"k": "v", "…": "…"}}
    real = {"id": "abc", "n": 7, "at": "2027-12-01T00:00:01.123Z", "list": [{"x": None}, 2, 3], "more": {"k": "v", "z": {}}}
    assert differences(shown, real) == []
