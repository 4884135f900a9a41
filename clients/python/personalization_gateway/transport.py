"""The network under the client: one connection pool, one deadline around each exchange."""

from __future__ import annotations

import asyncio
from typing import Final, Self
from urllib.parse import urlsplit

import httpx

from personalization_gateway.deadline import Deadline
from personalization_gateway.errors import NoAnswer
from personalization_gateway.requests import ApiCall, read_answer

_CLOSED_WHILE_IDLE: Final = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)
"""The errors of a pooled connection that the gateway closed while it was idle, for example by a restart."""


class Transport:
    """Sends calls to one gateway. Raises ValueError for an endpoint that is not an http(s) address."""

    def __init__(self, endpoint: str, max_connections: int, network: httpx.AsyncBaseTransport | None) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("endpoint must be the address of the gateway's GraphQL endpoint, such as http://127.0.0.1:8000/graphql")
        self._endpoint = endpoint
        self._http = httpx.AsyncClient(
            transport=network,
            trust_env=False,  # the gateway is nearby, never behind the machine's web proxy
            timeout=None,  # noqa: S113 - the deadline limits everything, even what httpx does not count
            limits=httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections, keepalive_expiry=30),
        )

    async def send(self, call: ApiCall, deadline: Deadline) -> object:
        """The result of a call, by the deadline. Raises `Refused` or `NoAnswer`."""
        body = call.body()
        try:
            async with asyncio.timeout(deadline.remaining_s):
                try:
                    response = await self._post(call, body)
                except _CLOSED_WHILE_IDLE:
                    # Every call can be sent again: events count once by their message ids. One more try, on a new connection.
                    response = await self._post(call, body)
        except TimeoutError:
            raise NoAnswer("too late") from None
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            raise NoAnswer(type(problem).__name__) from problem
        return read_answer(call, response.status_code, response.content)

    async def _post(self, call: ApiCall, body: bytes) -> httpx.Response:
        return await self._http.post(self._endpoint, content=body, headers=call.headers())

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
