"""The table of event kinds and every other place that tells of them. A place that was forgotten is named."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.api.inputs import EventInput, EventTypeEnum
from gateway.model.events.contribution import DATA_TYPES, Position, contribution_of
from gateway.model.events.event_kinds import EVENT_KINDS, EventType, Kind
from gateway.model.events.fields import InvalidEvent
from gateway.model.events.payload import check_payload
from gateway.model.events.tracker_names import NAMES
from gateway.model.visitors.context_view import view
from gateway.model.visitors.state import State, absorb
from gateway.model.visitors.totals import EFFECTS
from tests.support.strategies import VISITOR, event_at, logged
from tests.support.tables import documented, event_kinds

ROOT: Final = Path(__file__).parents[3]
TRACKED: Final = {event_type.value for event_type, kind in EVENT_KINDS.items() if kind.is_tracked}
API_NAMES: Final = {"decision": "decision_id"}
SMALLEST: Final[Mapping[str, Any]] = {
    "search": "tv", "product": {"product_id": "p"}, "products": [{"product_id": "p"}], "order": {"order_id": "o"},
    "decision": {"placement": "hero"}, "name": "own", "user_id": "u", "personalization": True,
}  # fmt: skip


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def snippet_payloads() -> dict[str, str]:
    """The fields of each event type in the snippet's `interface Payloads`."""
    body = re.search(r"export interface Payloads \{(.*?)\n\}", read("frontend_snippet/src/types.ts"), re.DOTALL)
    assert body is not None
    return dict(re.findall(r"^  ([A-Z_]+): (.*);$", body[1], re.MULTILINE))


UNNAMED: Final[set[str]] = {"BANNER_DISMISSED", "CUSTOM"}
"""Kinds that no other tracker has a name for."""
PLACES: Final[Mapping[str, Callable[[], set[str]]]] = {
    "gateway/api/inputs.py: EventTypeEnum": lambda: {member.name for member in EventTypeEnum},
    "frontend_snippet/src/types.ts: interface Payloads": lambda: set(snippet_payloads()),
    "gateway/model/events/tracker_names.py: NAMES (or UNNAMED in this test)": lambda: {one.value for one in NAMES} | UNNAMED,
    "schema.graphql: enum EventType (gateway schema > schema.graphql)": lambda: set(
        re.findall(r"^  ([A-Z_]+)$", read("schema.graphql").split("enum EventType {")[1].split("\n}")[0], re.MULTILINE)
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_every_place_names_every_kind(place: str) -> None:
    """A kind that is missing there, or one too many."""
    named = PLACES[place]()
    assert named == TRACKED, f"{place}: forgotten {sorted(TRACKED - named)}, unknown {sorted(named - TRACKED)}"


def test_the_table_knows_every_type() -> None:
    """In the order of the enum, which is that of the documentation."""
    assert list(EVENT_KINDS) == list(EventType)


def test_the_documentation_has_the_table() -> None:
    """docs/events.md, made by `python -m tests.support.tables`."""
    assert documented("event kinds") == event_kinds()


@pytest.mark.parametrize("event_type", EventType)
def test_a_kind_takes_what_it_requires_and_nothing_less(event_type: EventType) -> None:
    """The smallest payload passes the checks and becomes the contribution; without a required field it is refused by name."""
    kind = EVENT_KINDS[event_type]
    smallest = {name: SMALLEST[name] for name in kind.required}
    check_payload(event_type, smallest)
    if event_type is not EventType.DELETE:
        event = event_at(0, event_type.value, smallest, visitor_id="anon_x" if event_type is EventType.IDENTIFY else "v")
        assert type(contribution_of(event, Position("user_actions", 0, 0)).data) is DATA_TYPES[kind.contribution]
    for name in kind.required:
        with pytest.raises(InvalidEvent, match=rf"^{name} is required"):
            check_payload(event_type, {key: value for key, value in smallest.items() if key != name})


@pytest.mark.parametrize("kind", Kind)
def test_a_contribution_is_applied_or_said_to_change_nothing(kind: Kind) -> None:
    """gateway/model/visitors/totals.py: EFFECTS, and gateway/model/events/contribution.py: DATA_TYPES."""
    assert kind in EFFECTS, f"gateway/model/visitors/totals.py: EFFECTS has no line for {kind.name}"
    assert kind in DATA_TYPES, f"gateway/model/events/contribution.py: DATA_TYPES has no line for {kind.name}"
    users = [event_type for event_type, one in EVENT_KINDS.items() if one.contribution == kind]
    assert users, f"no kind of event has the contribution {kind.name}"
    if kind != Kind.OTHER:
        assert {bool(EVENT_KINDS[event_type].changes) for event_type in users} == {True}


@pytest.mark.parametrize("event_type", [event_type for event_type in EventType if event_type is not EventType.DELETE])
def test_a_kind_changes_the_fields_that_it_names(event_type: EventType) -> None:
    """Nothing else of the context, in any of two histories; `version`, `updated_at` and the positions always move."""
    kind = EVENT_KINDS[event_type]
    named = set(kind.changes)
    changed: set[str] = set()
    product = {"product_id": "p", "category": "tv"}
    payload = {**{name: SMALLEST[name] for name in kind.required}, **({"category": "tv"} if event_type == "PRODUCT_LIST_VIEWED" else {})}
    order = {"order_id": "o", "value": 5, "currency": "EUR", "products": [product]}
    full = {"product": product, "products": [product], "order": order, "decision": {"placement": "hero", "campaign_id": "c"}}
    full |= {"user_id": VISITOR, "traits": {"plan": "a"}}
    payload |= {name: value for name, value in full.items() if name in kind.fields and (name in kind.required or not kind.is_tracked)}
    for before in ([], [event_at(0, "PRODUCT_ADDED", {"product": {"product_id": "p"}})]):
        without, _ = absorb(State(VISITOR), logged(before))
        after, _ = absorb(without, logged([event_at(5, event_type.value, payload)], first_offset=9))
        old, new = view(without), view(after)
        changed |= {name for name in new if new[name] != old[name]} - {"version", "updated_at", "positions", "stable_id", "log_epoch"}
    assert changed <= named, f"{event_type}: changes in EVENT_KINDS does not name {sorted(changed - named)}"
    assert named - changed <= {"anonymous_ids"}, f"{event_type}: {sorted(named - changed)} did not change"


@pytest.mark.parametrize("event_type", sorted(TRACKED))
def test_the_api_and_the_snippet_ask_for_what_a_kind_requires(event_type: str) -> None:
    """`EventInput` describes the field as required for the type; the snippet's type has the field without a question mark."""
    fields = {field.name: field for field in EventInput.__strawberry_definition__.fields}  # type: ignore[attr-defined]
    for name in EVENT_KINDS[EventType(event_type)].required:
        description = fields[API_NAMES.get(name, name)].description or ""
        assert event_type in description, f"gateway/api/inputs.py: EventInput.{name} does not say that {event_type} requires it"
        wanted = "decisionId" if name == "decision" else name
        assert re.search(rf"\b{wanted}: ", snippet_payloads()[event_type]), f"types.ts: Payloads.{event_type} lacks {wanted}"
