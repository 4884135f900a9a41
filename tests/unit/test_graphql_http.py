"""GraphQL over HTTP from the caller's side: what an answer means, and what is not one."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from gateway.commands.gateway_connection import GatewayConnection, NoGateway
from gateway.graphql_http import GraphQLClient, GraphQLErrors, NoGraphQLAnswer, data_of, read_answer

DENIED = {"message": "no", "extensions": {"code": "FORBIDDEN"}}


def response(body: Any, status: int = 200) -> httpx.Response:
    return httpx.Response(status, content=body if isinstance(body, bytes) else json.dumps(body).encode())


def test_the_data_of_an_answer_without_errors() -> None:
    """Whatever the status is: a gateway may send data with any."""
    assert data_of(response({"data": {"a": None}}, 400)) == {"a": None}


def test_errors_are_raised_with_their_codes() -> None:
    """All of them, in order, even if there is data too; an error without a code has its message alone."""
    with pytest.raises(GraphQLErrors, match=r"^FORBIDDEN: no; odd$") as refused:
        data_of(response({"data": {"a": 1}, "errors": [DENIED, {"message": "odd"}]}))
    assert refused.value.codes == ["FORBIDDEN", None]


def test_data_and_errors_can_be_read_together() -> None:
    """A caller that needs the rest of an answer reads both."""
    answer = read_answer(response({"data": {"a": 1}, "errors": [DENIED]}))
    assert (answer.data, answer.errors) == ({"a": 1}, [DENIED])


@pytest.mark.parametrize("body", [b"<html>", b"\xff", [], 1, None, {}, {"data": None}, {"data": 1}, {"errors": "no"}, {"errors": [1]}])
def test_what_is_not_a_graphql_answer_is_said_with_its_status(body: Any) -> None:
    """A proxy's page, say, or another service."""
    with pytest.raises(NoGraphQLAnswer, match=r"^HTTP 502, "):
        read_answer(response(body, 502))


def test_a_credential_is_sent_and_never_shown() -> None:
    """In the header alone; without a credential there is no such header."""
    client = GraphQLClient("http://127.0.0.1:1/", "sk_secret")
    assert client.request("{ a }", {"n": 1}) == {
        "url": "http://127.0.0.1:1/graphql",
        "json": {"query": "{ a }", "variables": {"n": 1}},
        "headers": {"authorization": "Bearer sk_secret", "accept": "application/json"},
    }
    assert "sk_secret" not in repr(client)
    assert GraphQLClient("http://127.0.0.1:1").headers == {}


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://[", "nonsense"])
def test_a_command_without_a_gateway_says_where_it_looked(url: str) -> None:
    """And how to name another."""
    with pytest.raises(NoGateway, match=r"^no gateway answers at .*/graphql \(.*--url"):
        GatewayConnection(url, "sk_test").execute("{ a }")
