"""The gateway under a path of the shop's own origin: no CORS, no preflight requests, no third party for blockers to block.

Only the GraphQL endpoint can be reached. Bodies are passed on piece by piece as they arrive, so that event streams work. Cookies
are not passed on, because the visitor's token is sent as `Authorization`.
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
"""The gateway sends something far more often than this, even on a stream."""
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
    """Answers a request with the gateway's answer, or with 502 if the gateway cannot be reached."""

    def __init__(self, endpoint: str, network: httpx.AsyncBaseTransport | None) -> None:
        self._endpoint = endpoint
        self._http = httpx.AsyncClient(
            transport=network,
            trust_env=False,  # the gateway is nearby, never behind the machine's web proxy
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S, pool=CONNECT_S),
            limits=httpx.Limits(max_connections=2000, max_keepalive_connections=20),  # each open page needs one
        )

    async def answer(self, request: Request) -> Response:
        """Pass a request on to the gateway, and its answer back as it arrives."""
        body = await _body(request)
        if body is None:
            return PlainTextResponse("The request is too large.", 413)
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        if request.client is not None:
            headers["x-forwarded-for"] = request.client.host
        forwarded = self._http.build_request(request.method, self._endpoint, params=request.query_params, headers=headers, content=body)
        # Headers that httpx adds by itself were not sent by the browser.
        for name in ("accept", "accept-encoding", "user-agent"):
            if name not in headers:
                forwarded.headers.pop(name, None)
        try:
            answer = await self._http.send(forwarded, stream=True)
        except httpx.HTTPError:
            return PlainTextResponse("The gateway does not answer.", 502)
        return _RelayedResponse(answer)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()


class _RelayedResponse(StreamingResponse):
    """The gateway's answer, passed on as it arrives; its connection is always released."""

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
        return  # the gateway went away in the middle of a stream: the snippet resumes it


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
