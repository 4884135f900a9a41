"""What graphql-transport-ws and graphql-sse ask of a server, and what we promise beyond: an id for each requirement.

`WS` and `SSE` name the two protocols (graphql-ws and graphql-sse, their PROTOCOL.md). A test says by `covers` which it
shows; a test of its own fails when one is shown by none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Test = TypeVar("Test", bound=Callable[..., Any])

REQUIREMENTS = {
    "WS-001": "the sub-protocol graphql-transport-ws is negotiated",
    "WS-002": "a client that does not offer it is closed with 4406, the legacy graphql-ws too",
    "WS-003": "connection_init is answered by connection_ack",
    "WS-004": "the payload of connection_init may be absent, null or any object",
    "WS-005": "no connection_init in time: 4408, whatever else came",
    "WS-006": "a second connection_init: 4429, before and after the acknowledgement",
    "WS-007": "a ping is answered by a pong with its payload at any time, before connection_init too",
    "WS-008": "the server pings; a pong, asked for or not, is taken",
    "WS-009": "subscribe before connection_ack: 4401",
    "WS-010": "a query gives next, then complete",
    "WS-011": "a mutation gives next, then complete",
    "WS-012": "a subscription gives next for each result in order, then complete",
    "WS-013": "operationName, variables and extensions may be absent or null",
    "WS-014": "an id in use: 4409, its reason names the id",
    "WS-015": "an id is free after the server's complete",
    "WS-016": "an id is free after error",
    "WS-017": "an id is free at once after the client's complete, and its new operation gets its own results only",
    "WS-018": "after the client's complete nothing of the operation comes, and its source is closed",
    "WS-019": "complete for an operation that has ended or never was is ignored",
    "WS-020": "complete right after subscribe, before any result: no result comes",
    "WS-021": "a document that does not parse or validate is answered by error with a list of errors",
    "WS-022": "no complete follows error",
    "WS-023": "errors of fields come in next, beside data",
    "WS-024": "a message that is not as specified: 4400",
    "WS-025": "the reason of a close fits into its frame",
    "WS-026": "operations on one socket run side by side",
    "WS-027": "when the client closes with 1000 all its operations end",
    "WS-028": "a restart closes with 1012",
    "WS-029": "a credential that is refused: 4403, and so when it expires",
    "WS-030": "documents by documentId and by Apollo's hash",
    "WS-031": "a subscription that fails after a result closes the socket with a code on which clients come again",
    "WS-032": "a frame that is too large: 1009; too many messages: 1008",
    "WS-033": "a page of a foreign origin gets no socket",
    "SSE-001": "the answer is text/event-stream, in UTF-8",
    "SSE-002": "proxies are told not to buffer, caches not to store, and it is never compressed",
    "SSE-003": "a comment comes at once, before any result",
    "SSE-004": "a query or mutation gives next, then complete",
    "SSE-005": "a subscription gives next for each result in order, then complete, then the end",
    "SSE-006": "GET and POST alike",
    "SSE-007": "errors before execution come as next in an accepted stream, then complete",
    "SSE-008": "an event has the id of what it carries",
    "SSE-009": "Last-Event-ID resumes",
    "SSE-010": "heartbeats keep a quiet stream open, every 15 s at most by default",
    "SSE-011": "a client that leaves ends its operation",
    "SSE-012": "a subscription that fails but may heal ends without complete, so that clients come again",
    "SSE-013": "a restart ends the stream without complete",
    "SSE-014": "documents by documentId and by Apollo's hash",
    "SSE-101": "PUT answers 201 with a token as text, which no cache stores",
    "SSE-102": "every reservation has a token of its own, and tokens that clients make up are none",
    "SSE-103": "the stream opens with the token in the header or in the URL",
    "SSE-104": "one stream a reservation: 409",
    "SSE-105": "a token is unknown after its stream has ended: 404",
    "SSE-106": "an operation is answered 202; next and complete come on the stream beside its id",
    "SSE-107": "an operation may come before the stream opens",
    "SSE-108": "an operation without operationId: 400",
    "SSE-109": "an operationId in use: 409; free after complete",
    "SSE-110": "problems of the request are answered to it with 4xx, and nothing comes on the stream",
    "SSE-111": "DELETE stops an operation: 200, its source is closed, nothing of it comes",
    "SSE-112": "DELETE without operationId: 400; of an operation that has ended: 200",
    "SSE-113": "all operations end with the stream",
    "SSE-114": "a reservation that no stream comes for is gone, and what ran for it",
    "SSE-115": "reservations are bounded in number: 429",
    "SSE-116": "a token serves only the caller it was given to: others get 404",
    "SSE-117": "a failing subscription that may heal ends the stream without complete; a refusal for good only that operation",
    "SSE-118": "when the credential expires each operation is told, and the stream ends",
    "SSE-119": "a restart ends streams without complete, forgets reservations and refuses new ones with 503",
    "SSE-120": "what a foreign page could send without a preflight is refused",
    "SSE-121": "a mutation that has begun goes on when its stream is cut",
    "SSE-122": "operations on one stream are bounded: 429",
    "SSE-123": "pages of allowed origins may use PUT, DELETE and the token's header",
}

COVERED: dict[str, list[str]] = {}
"""Tests by the requirement they show."""


def covers(*ids: str) -> Callable[[Test], Test]:
    """Marks a test with the requirements it shows; an id that is none is a mistake."""

    def mark(test: Test) -> Test:
        for one in ids:
            assert one in REQUIREMENTS, one
            COVERED.setdefault(one, []).append(test.__name__)
        return test

    return mark
