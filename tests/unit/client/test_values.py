"""What the client sends and understands: documents, inputs, tokens, answers, each compared with what the gateway says of itself."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from graphql import GraphQLEnumType, GraphQLInputObjectType, build_schema, parse, validate

from gateway.auth import Authenticator, CredentialKind
from gateway.errors import ErrorCode
from gateway.model.events.visitor_ids import ANONYMOUS_PREFIX
from gateway.settings import Settings
from gateway.transport.documents.manifest import document_id as manifest_id
from gateway.transport.documents.manifest import documents_of
from personalization_gateway import parsing, tokens
from personalization_gateway.answers import DecisionReason, EventStatus, StepOutcome, TrackResult
from personalization_gateway.documents import FOLDER, document, document_id
from personalization_gateway.errors import CredentialRefused, NoAnswer, Refused, TryLater, refusal
from personalization_gateway.inputs import EventInput, OrderInput, PageInput, ProductInput, as_json, event
from personalization_gateway.requests import ApiCall, read_answer
from personalization_gateway.tokens import read_cursor, read_token, sign_visitor_token, token_expiry_s
from tests.support.client_gateways import DECISION, TOKEN_SECRET

SCHEMA = build_schema((Path(__file__).parents[3] / "schema.graphql").read_text())
OPERATIONS = sorted(path.stem for path in FOLDER.glob("*.graphql") if not path.read_text().startswith("fragment"))


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_document_is_valid_and_known_by_the_hash_that_the_gateway_gives_it(name: str) -> None:
    """`gateway documents build` over the client's folder yields exactly what the client sends."""
    text = document(name)
    assert validate(SCHEMA, parse(text)) == []
    assert document_id(name) == manifest_id(text)
    assert text in documents_of([FOLDER])


@pytest.mark.parametrize("kind", [PageInput, ProductInput, OrderInput, EventInput])
def test_inputs_have_the_fields_of_the_schema(kind: Any) -> None:
    """The typed dictionaries name every field of the API's inputs, and no other."""
    found = SCHEMA.type_map[kind.__name__]
    assert isinstance(found, GraphQLInputObjectType)
    assert set(get_type_hints(kind)) == set(found.fields)


@pytest.mark.parametrize(("kind", "name"), [(DecisionReason, "DecisionReason"), (EventStatus, "EventStatus"), (StepOutcome, "StepOutcome")])
def test_enums_are_those_of_the_schema(kind: Any, name: str) -> None:
    """No reason and no status of today is unknown to the client."""
    found = SCHEMA.type_map[name]
    assert isinstance(found, GraphQLEnumType)
    assert set(kind) == set(found.values)


def test_unknown_enum_values_are_the_most_general_ones() -> None:
    """A reason of tomorrow is DEFAULT, a status of tomorrow UNKNOWN; what is new beside them is left alone."""
    assert parsing.decision({**DECISION, "reason": "MOON_PHASE", "moon": 1}, is_personal=False).reason is DecisionReason.DEFAULT
    found = tracked({"messageId": "m", "status": "PARKED", "error": None})
    assert found.results[0].status is EventStatus.UNKNOWN
    assert found.to_send_again == {"m"}
    assert not found.all_accepted


def tracked(*results: dict[str, Any], **more: Any) -> TrackResult:
    return parsing.track_result({"results": list(results), "cursor": None, "serverTime": "2026-01-01T00:00:00Z", **more}, is_personal=True)


def test_results_are_values_per_event() -> None:
    """One rejected event says why and takes no other along."""
    error = {"code": "BAD_USER_INPUT", "message": "no product", "field": "product"}
    found = tracked({"messageId": "a", "status": "ACCEPTED", "error": None}, {"messageId": "b", "status": "REJECTED", "error": error})
    assert [(result.status.value, result.error and result.error.field) for result in found.results] == [
        ("ACCEPTED", None),
        ("REJECTED", "product"),
    ]
    assert found.to_send_again == frozenset()
    assert tracked(decisions=[DECISION]).decisions[0].is_personal
    assert tracked(decisions=None).decisions == ()


def test_a_preview_is_personal_whoever_asks() -> None:
    """A preview never goes into a page that others get."""
    assert parsing.decision({**DECISION, "reason": "PREVIEW"}, is_personal=False).is_personal


def test_values_cannot_be_changed() -> None:
    """A decision that several pages hold stays what it is."""
    found = parsing.decision(DECISION, is_personal=False)
    with pytest.raises(FrozenInstanceError):
        found.id = "other"  # type: ignore[misc]


def test_an_error_beside_an_answer_takes_nothing_away() -> None:
    """A failing `decisions` of an accepted batch leaves the batch accepted; a failing root is the error."""
    call = ApiCall("track", "track", "secret", {})
    half = b'{"data": {"track": {"results": []}}, "errors": [{"message": "m", "path": ["track", "decisions"]}]}'
    assert read_answer(call, 200, half) == {"results": []}
    with pytest.raises(Refused, match="NEW_CODE"):
        read_answer(call, 200, b'{"data": {"track": null}, "errors": [{"message": "m", "extensions": {"code": "NEW_CODE"}}]}')
    assert read_answer(call, 200, b'{"data": {"track": null}}') is None
    assert "secret" not in repr(call)


def test_every_code_of_the_gateway_has_its_kind() -> None:
    """Temporary are overload and what is away; credentials have a class of their own; the rest is for the caller to correct."""
    kinds = {code.value: type(refusal(code.value, "", field=None, retry_after_ms=None)) for code in ErrorCode}
    assert {code for code, kind in kinds.items() if kind is TryLater} == {"THROTTLED", "UNAVAILABLE", "INTERNAL_SERVER_ERROR"}
    assert {code for code, kind in kinds.items() if kind is CredentialRefused} == {"UNAUTHENTICATED", "FORBIDDEN"}


def test_an_event_says_what_it_was_told_and_gets_the_rest() -> None:
    """Every event has a message id of its own and a time; those that are given stay."""
    first, second = event("PAGE_VIEWED"), event("PAGE_VIEWED", userId="u")
    assert first["messageId"] != second["messageId"]
    assert second["userId"] == "u"
    assert event("CUSTOM", messageId="m", name="quiz")["messageId"] == "m"


def test_exact_amounts_and_times_are_sent_as_the_api_wants_them() -> None:
    """Decimals keep their digits, times go as UTC; a time without its zone is a mistake, not a guess."""
    assert as_json(Decimal("99.10")) == "99.10"
    assert as_json(datetime(2026, 1, 1, 1, 0, tzinfo=timezone(timedelta(hours=1)))) == "2026-01-01T00:00:00.000Z"
    with pytest.raises(TypeError, match="zone"):
        as_json(datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(TypeError, match="set"):
        as_json({1})


def test_a_signed_token_is_accepted_by_the_gateway_and_names_the_user() -> None:
    """The gateway's own check takes the token, until its end."""
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    settings = Settings(token_secret=TOKEN_SECRET, ruleset_file=Path("x"))  # type: ignore[arg-type, call-arg]
    token = sign_visitor_token("Ünïcode 12345", TOKEN_SECRET, minutes=20)
    found = Authenticator(settings, lambda: now_ms).authenticate(f"Bearer {token}")
    assert (found.kind, found.visitor_id) == (CredentialKind.VISITOR, "Ünïcode 12345")
    assert found.expires_at == pytest.approx(now_ms / 1000 + 1200, abs=5)
    assert token_expiry_s(token) == found.expires_at


@pytest.mark.parametrize(
    ("user_id", "secret", "minutes"),
    [
        *(("", TOKEN_SECRET, 30), ("x" * 129, TOKEN_SECRET, 30), ("a\nb", TOKEN_SECRET, 30), ("anon_1", TOKEN_SECRET, 30)),
        *(("alice", "short", 30), ("alice", TOKEN_SECRET, 0), ("alice", TOKEN_SECRET, 1441)),
    ],
)
def test_a_token_that_no_gateway_would_take_is_not_signed(user_id: str, secret: str, minutes: int) -> None:
    """The mistake is told where it is made."""
    with pytest.raises(ValueError):
        sign_visitor_token(user_id, secret, minutes)


def test_the_reserved_prefix_is_the_gateways() -> None:
    """The client imports nothing of ours, so it has the prefix a second time."""
    assert tokens.ANONYMOUS_PREFIX == ANONYMOUS_PREFIX


@pytest.mark.parametrize("cookie", [None, "", "a.b", "a.b.c", "a.b.c\n", "é.b.c", "a" * 5000 + ".b.c", "Bearer a.b.c"])
def test_a_cookie_that_is_no_token_is_none(cookie: str | None) -> None:
    """Nonsense never reaches a header."""
    assert read_token(cookie) is None


def test_cookies_that_can_be_right_are_kept() -> None:
    """A token with an end, and a cursor of the alphabet."""
    token = sign_visitor_token("alice", TOKEN_SECRET)
    assert read_token(token) == token
    assert read_cursor("abc_-=") == "abc_-="
    assert read_cursor("a b") is None
    assert read_cursor("x" * 3000) is None


@pytest.mark.parametrize("found", [{"recentProducts": 1}, {"cart": [{}]}, {"purchases": None}, {"version": True}, {"updatedAt": 3}])
def test_a_context_of_another_form_is_no_answer(found: dict[str, Any]) -> None:
    """No half context is handed out."""
    with pytest.raises(NoAnswer):
        parsing.user_context({"userId": "u", "interests": [], "cart": [], "recentProducts": [], "version": 1, "cursor": "c", **found})
