"""The table of context fields and every other place that tells of them. A place that was forgotten is named."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from graphql import GraphQLObjectType
from hypothesis import given

from gateway.api.schema import build_schema
from gateway.model.conditions.condition import VARIABLE_TYPES, VARIABLES, values_of
from gateway.model.conditions.types import BOOLEAN, NULL, NUMBER, STRING, ListOf, MapOf, ObjectOf, Scalar, ValueType
from gateway.model.context_fields import CONTEXT_FIELDS, Entries, Fields, Items, Nullable, Plain, Shape
from gateway.model.decisions.explain import CONTEXT_FIELDS as EXPLAINED
from gateway.model.events.event_kinds import EVENT_KINDS
from gateway.model.visitors.context_input import complete_context
from gateway.model.visitors.context_view import view
from gateway.model.visitors.state import State, Update, absorb
from personalization_gateway.answers import UserContext
from tests.support.strategies import SETTINGS, VISITOR, logs
from tests.support.tables import context_fields, documented

DOCS: Final = Path(__file__).parents[3] / "docs"
NAMES: Final = set(CONTEXT_FIELDS)
BOOKKEEPING: Final = {"stable_id", "anonymous_ids", "updated_at", "version", "positions", "log_epoch"}
"""What no condition asks: it says how much is known, not what."""
NOT_IN_THE_API: Final = {"last_search", "banners", "stable_id", "anonymous_ids", "positions", "log_epoch"}
"""`cursor` stands for the positions."""
FROM_INTERESTS: Final = {"interest_shares", "interest_ranks"}
"""Variables that decay does not change, instead of the scores."""
NOT_THE_VISITOR: Final = {"page", "trends"}


def api_fields() -> set[str]:
    user_context = build_schema()._schema.type_map["UserContext"]
    assert isinstance(user_context, GraphQLObjectType)
    return {re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name) for name in user_context.fields} - {"cursor"}


def example() -> dict[str, Any]:
    match = re.search(r"```json\n(\{.*?\})\n```", (DOCS / "context.md").read_text(encoding="utf-8"), re.DOTALL)
    assert match is not None
    context: dict[str, Any] = json.loads(match[1])
    return context


PLACES: Final[Mapping[str, tuple[Callable[[], set[str]], set[str]]]] = {
    "gateway/model/visitors/context_view.py: context_of": (lambda: set(view(State(VISITOR))), NAMES),
    "docs/context.md: the example": (lambda: set(example()), NAMES),
    "gateway/model/conditions/condition.py: VARIABLES (or BOOKKEEPING in this test)": (
        lambda: (set(VARIABLES) - FROM_INTERESTS - NOT_THE_VISITOR) | {"interests"} | BOOKKEEPING,
        NAMES,
    ),
    "gateway/model/conditions/condition.py: values_of": (lambda: set(values_of({}, None)), set(VARIABLES)),
    "gateway/api/types.py: UserContextType (or NOT_IN_THE_API in this test)": (lambda: api_fields() | NOT_IN_THE_API, NAMES),
    "clients/python/personalization_gateway/answers.py: UserContext": (
        lambda: {field.name for field in dataclasses.fields(UserContext)} - {"cursor"},
        NAMES - NOT_IN_THE_API,
    ),
    "gateway/model/decisions/explain.py: CONTEXT_FIELDS (or BOOKKEEPING in this test)": (
        lambda: {*EXPLAINED, "user_id"} | BOOKKEEPING,
        NAMES,
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_every_place_names_every_field(place: str) -> None:
    """A field that is missing there, or one too many."""
    names, wanted = PLACES[place][0](), PLACES[place][1]
    assert names == wanted, f"{place}: forgotten {sorted(wanted - names)}, unknown {sorted(names - wanted)}"


def test_the_documentation_has_the_table() -> None:
    """docs/context.md, made by `python -m tests.support.tables`."""
    assert documented("context fields") == context_fields()
    assert complete_context(example()) == example()


@SETTINGS
@given(logs())
def test_a_context_has_the_shapes_of_the_table(log: list[Update]) -> None:
    """Whatever happened: the view of any visitor passes the checks of contexts written by hand, and is complete."""
    context = view(absorb(State(VISITOR), log)[0])
    assert complete_context(context) == context


def test_a_field_is_changed_by_some_event() -> None:
    """`changes` of a kind in EVENT_KINDS names each field that is learned."""
    learned = {field for kind in EVENT_KINDS.values() for field in kind.changes}
    assert learned == NAMES - (BOOKKEEPING - {"anonymous_ids"}) - {"user_id"}


def condition_type(shape: Shape, name: str) -> ValueType | None:
    """The type of a field in conditions: amounts are numbers there, and a string that is missing is empty."""
    match shape:
        case Plain.ANY:
            return None
        case Plain.INTEGER | Plain.SCORE | Plain.AMOUNT:
            return NUMBER
        case Plain.BOOLEAN:
            return BOOLEAN
        case Plain.STRING | Plain.TIME | Nullable(Plain.STRING):
            return STRING
        case Nullable(inner):
            inner_type = condition_type(inner, name)
            assert isinstance(inner_type, Scalar)
            return Scalar(inner_type.kinds | NULL.kinds)
        case Items(inner):
            return ListOf(condition_type(inner, name))
        case Entries(inner):
            return MapOf(condition_type(inner, name))
        case Fields(fields):
            return ObjectOf(name, {key: condition_type(field.shape, key) for key, field in fields.items()})


def without_names(value_type: ValueType | None) -> Any:
    """A type without what messages call its objects."""
    match value_type:
        case ListOf(item):
            return ("list", without_names(item))
        case MapOf(value):
            return ("map", without_names(value))
        case ObjectOf(_, fields):
            return {key: without_names(value) for key, value in fields.items()}
        case _:
            return value_type


@pytest.mark.parametrize("name", sorted(set(VARIABLES) - FROM_INTERESTS - NOT_THE_VISITOR))
def test_a_variable_of_conditions_has_the_shape_of_its_field(name: str) -> None:
    """VARIABLE_TYPES; of purchases conditions see the count and the totals."""
    expected = without_names(condition_type(CONTEXT_FIELDS[name].shape, name))
    if name == "purchases":
        expected = {key: expected[key] for key in ("count", "totals")}
    assert without_names(VARIABLE_TYPES[name]) == expected
