"""The network under the client: one connection pool, one deadline around each exchange."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from personalization_gateway.deadline import Deadline
from personalization_gateway.errors import NoAnswer
from personalization_gateway.http_client import open_http_client
from personalization_gateway.requests import ApiCall, read_answer

if TYPE_CHECKING:
    import httpx
    import httpx2

    from personalization_gateway.http_client import AsyncTransport


class Transport:
    """Sends calls to one gateway. Raises ValueError for an endpoint that is not an http(s) address; ImportError without an HTTP client."""

    def __init__(self, endpoint: str, max_connections: int, network: AsyncTransport | None) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("endpoint must be the address of the gateway's GraphQL endpoint, such as http://127.0.0.1:8000/graphql")
        self._endpoint = endpoint
        self._http = open_http_client(max_connections, network)

    async def send(self, call: ApiCall, deadline: Deadline) -> object:
        """The result of a call, by the deadline. Raises `Refused` or `NoAnswer`."""
        body = call.body()
        try:
            async with asyncio.timeout(deadline.remaining_s):
                try:
                    response = await self._post(call, body)
                except self._http.closed_while_idle:
                    # Every call can be sent again: events count once by their message ids. One more try, on a new connection.
                    response = await self._post(call, body)
        except TimeoutError:
            raise NoAnswer("too late") from None
        except self._http.failures as problem:
            raise NoAnswer(type(problem).__name__) from problem
        return read_answer(call, response.status_code, response.content)

    async def _post(self, call: ApiCall, body: bytes) -> httpx.Response | httpx2.Response:
        return await self._http.pool.post(self._endpoint, content=body, headers=call.headers())

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.pool.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
