"""The gateway under a path of the shop's own origin: no CORS, no preflight requests, nothing for blockers of third parties.

Only the GraphQL endpoint is reachable. What comes is passed on piece by piece as it comes, so that event streams flow; cookies
stay here, for the visitor's token goes as `Authorization`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

PATH: Final = "/gw/graphql"
METHODS: Final = ["GET", "POST", "PUT", "DELETE"]
"""PUT and DELETE belong to event streams over a single connection."""
MAX_BODY_BYTES: Final = 262_144
CONNECT_S: Final = 2.0
ANSWER_S: Final = 60.0
"""The gateway gives a sign of life far more often, also on a stream."""
_PASSED_ON: Final = (
    "accept",
    "accept-encoding",
    "authorization",
    "content-type",
    "graphql-require-preflight",
    "if-none-match",
    "last-event-id",
    "origin",
    "traceparent",
    "x-graphql-event-stream-token",
)
_PASSED_BACK: Final = (
    "allow",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-type",
    "etag",
    "retry-after",
    "vary",
    "www-authenticate",
    "x-accel-buffering",
)


class GatewayProxy:
    """Answers a request with what the gateway answers; 502 when there is no gateway."""

    def __init__(self, endpoint: str, network: httpx.AsyncBaseTransport | None) -> None:
        self._endpoint = endpoint
        self._http = httpx.AsyncClient(
            transport=network,
            trust_env=False,  # the gateway is a neighbour, never behind the machine's web proxy
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S, pool=CONNECT_S),
            limits=httpx.Limits(max_connections=2000, max_keepalive_connections=20),  # every open page holds one
        )

    async def answer(self, request: Request) -> Response:
        """Pass a request on; the gateway's answer as it comes."""
        body = await _body(request)
        if body is None:
            return PlainTextResponse("Too much at once.", 413)
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        if request.client is not None:
            headers["x-forwarded-for"] = request.client.host
        asked = self._http.build_request(request.method, self._endpoint, params=request.query_params, headers=headers, content=body)
        # What httpx would add for itself is not the browser's wish.
        for name in ("accept", "accept-encoding", "user-agent"):
            if name not in headers:
                asked.headers.pop(name, None)
        try:
            answer = await self._http.send(asked, stream=True)
        except httpx.HTTPError:
            return PlainTextResponse("The gateway does not answer.", 502)
        return _Relayed(answer)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()


class _Relayed(StreamingResponse):
    """The gateway's answer, byte by byte as it comes; its connection is given back however this ends."""

    def __init__(self, answer: httpx.Response) -> None:
        headers = {name: answer.headers[name] for name in _PASSED_BACK if name in answer.headers}
        super().__init__(_pieces(answer), answer.status_code, headers)
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._answer.aclose()


async def _pieces(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.aiter_raw():
            yield piece
    except httpx.HTTPError:
        return  # the gateway went away in mid-stream: the snippet resumes


async def _body(request: Request) -> bytes | None:
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                return None
    except ClientDisconnect:
        return None
    return body
