"""The gateway as the commands call it: with a secret key, one operation at a time."""

from __future__ import annotations

from typing import Any

from gateway.commands.secret_key import secret_key
from gateway.graphql_http import GraphQLClient, NoGraphQLAnswer


class NoGateway(Exception):
    """No gateway answers at the address; the text has the cause and the remedy."""


class GatewayConnection:
    """One gateway and one secret key: `key`, or the one that `secret_key` finds. Raises `NoSecretKey` if there is none."""

    def __init__(self, url: str, key: str | None) -> None:
        self._graphql = GraphQLClient(url, secret_key(key, url))

    def execute(self, query: str, **variables: Any) -> dict[str, Any]:
        """The `data` of an operation. Blocks. Raises `NoGateway`, or `GraphQLErrors` if the gateway refuses."""
        try:
            return self._graphql.execute(query, variables)
        except NoGraphQLAnswer as problem:
            message = f"no gateway answers at {self._graphql.url} ({problem}); start it, or give another address with --url"
            raise NoGateway(message) from problem
