"""GraphQL over HTTP from the caller's side: one operation is sent, its answer is read. For commands, the local stack and tests.

    NoGraphQLAnswer   nothing answered, or something that does not speak GraphQL
    GraphQLErrors     the gateway answered with errors

Shops have `personalization_gateway`, which stands alone: nothing of the gateway may use it, and it may use nothing of the gateway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import httpx

TIMEOUT_S: Final = 30.0


class NoGraphQLAnswer(Exception):
    """No response came, or one whose body is not a GraphQL answer. The text is the cause."""


class GraphQLErrors(Exception):
    """The `errors` of an answer. `codes` are their `extensions.code`, in order; None for an error without one."""

    def __init__(self, errors: Sequence[Mapping[str, Any]]) -> None:
        self.codes = [extensions_of(error).get("code") for error in errors]
        messages = [str(error.get("message")) for error in errors]
        texts = (f"{code}: {message}" if code else message for code, message in zip(self.codes, messages, strict=True))
        super().__init__("; ".join(texts))


class GraphQLAnswer(NamedTuple):
    """The answer to an operation. Both can be there: a field that failed is null in `data`."""

    data: Mapping[str, Any] | None
    errors: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class GraphQLClient:
    """Calls one gateway, whose address is given without a path, with one key or token (None: without any)."""

    gateway_url: str
    credential: str | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """The address of the GraphQL endpoint."""
        return f"{self.gateway_url.rstrip('/')}/graphql"

    @property
    def headers(self) -> dict[str, str]:
        """The Authorization header, if there is a credential."""
        return {} if self.credential is None else {"authorization": f"Bearer {self.credential}"}

    def request(self, query: str, variables: Mapping[str, Any], accept: str = "application/json") -> dict[str, Any]:
        """Arguments of an httpx `post`."""
        return {"url": self.url, "json": operation(query, variables), "headers": {**self.headers, "accept": accept}}

    def execute(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The `data` of an operation, over a connection of its own. Blocks for up to `TIMEOUT_S`.

        Raises `NoGraphQLAnswer` or `GraphQLErrors`.
        """
        try:
            response = httpx.post(**self.request(query, variables), timeout=TIMEOUT_S)
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            raise NoGraphQLAnswer(str(problem)) from problem
        return data_of(response)


def operation(query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of an operation."""
    return {"query": query, "variables": dict(variables)}


def read_answer(response: httpx.Response) -> GraphQLAnswer:
    """The answer in a response, whatever its status. Raises `NoGraphQLAnswer`."""
    try:
        answer = response.json()
    except ValueError as problem:
        raise NoGraphQLAnswer(f"HTTP {response.status_code}, not JSON") from problem
    data, errors = (answer.get("data"), answer.get("errors") or []) if isinstance(answer, dict) else (None, [])
    is_answer = isinstance(data, dict | None) and isinstance(errors, list) and all(isinstance(error, dict) for error in errors)
    if not is_answer or (data is None and not errors):
        raise NoGraphQLAnswer(f"HTTP {response.status_code}, neither data nor errors")
    return GraphQLAnswer(data, errors)


def data_of(response: httpx.Response) -> dict[str, Any]:
    """The `data` of a response. Raises `GraphQLErrors` if the answer has any error, else what `read_answer` raises."""
    answer = read_answer(response)
    if answer.errors or answer.data is None:
        raise GraphQLErrors(answer.errors)
    return dict(answer.data)


def extensions_of(error: Mapping[str, Any]) -> Mapping[str, Any]:
    """The `extensions` of an error; empty if it has none."""
    return error.get("extensions") or {}
