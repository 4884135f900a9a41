"""The gateway as the shop's server uses it: start or renew a visit, ask for a banner. What comes late or fails is None.

One pooled `httpx.AsyncClient` serves all requests. Deadlines are moments of the event loop's clock (`loop.time()`, seconds),
so that several calls for one page share one. Logged is which call failed and how; never a token, an id or an address.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

_log = logging.getLogger(__name__)

COVER_MARGIN_MS: Final = 50
"""Kept of the deadline for the way to the gateway and back while it waits for a cursor to be covered."""

_TOKEN_IS_BAD: Final = frozenset({"UNAUTHENTICATED", "FORBIDDEN", "BAD_USER_INPUT"})

_START_VISIT: Final = "mutation StartVisit($token: String) { startVisit(token: $token) { token expiresAt serverTime } }"
_BANNER: Final = """
query Banner($placement: ID!, $page: PageInput, $after: Cursor, $wait: Int!) {
  banner(placement: $placement, page: $page, after: $after, maxWaitMs: $wait) {
    id
    banner { id headline body linkUrl ctaLabel image { url alt width height } }
  }
}
"""


@dataclass(frozen=True, slots=True)
class StartedVisit:
    """A visitor's token, and the gateway's clock when it was made (RFC 3339)."""

    token: str = field(repr=False)
    expires_at: str
    server_time: str


@dataclass(frozen=True, slots=True)
class Image:
    """Size in CSS pixels, where known."""

    url: str
    alt: str
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class Banner:
    """What a banner says. `content_id` is equal for equal content; None for content of the shop's own."""

    headline: str
    body: str | None = None
    link_url: str | None = None
    cta_label: str | None = None
    image: Image | None = None
    content_id: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gateway decided. Without a banner the page keeps its own content, and still names the decision."""

    decision_id: str
    banner: Banner | None


class GatewayRefused(Exception):
    """The gateway answered with an error; `code` is its `extensions.code`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class TokenRefused(Exception):
    """The visitor's token is not (or no longer) accepted: another one is needed."""


class GatewayClient:
    """Calls for one page. All its methods return by their deadline."""

    def __init__(self, http: httpx.AsyncClient, endpoint: str, publishable_key: str) -> None:
        self._http = http
        self._endpoint = endpoint
        self._publishable_key = publishable_key

    async def start_visit(self, deadline: float, token: str | None = None) -> StartedVisit | None:
        """A new visitor, or another token for the visitor of `token`; a new visitor when that token cannot be renewed."""
        if not self._publishable_key:
            return None
        try:
            try:
                answer = await self._call("StartVisit", _START_VISIT, {"token": token}, self._publishable_key, deadline)
            except GatewayRefused as refusal:
                if token is None or refusal.code not in _TOKEN_IS_BAD:
                    raise
                answer = await self._call("StartVisit", _START_VISIT, {"token": None}, self._publishable_key, deadline)
            visit = answer["startVisit"]
            return StartedVisit(visit["token"], visit["expiresAt"], visit["serverTime"])
        except _FAILURES as problem:
            _note("startVisit", problem)
            return None

    async def banner(
        self, token: str, placement: str, page: Mapping[str, str], deadline: float, after: str | None = None
    ) -> Decision | None:
        """The banner for the visitor of `token`, once the context covers the cursor `after` if there is time for that.

        None: the page shows its own content. Raises `TokenRefused`, nothing else.
        """
        remaining_ms = int((deadline - asyncio.get_running_loop().time()) * 1000)
        wait_ms = max(0, remaining_ms - COVER_MARGIN_MS) if after else 0
        variables = {"placement": placement, "page": page, "after": after, "wait": wait_ms}
        try:
            try:
                answer = await self._call("Banner", _BANNER, variables, token, deadline)
            except GatewayRefused as refusal:
                if after is None or refusal.code != "BAD_USER_INPUT":
                    raise
                # The cursor came from a cookie, so it may be anything; the banner does not depend on it.
                answer = await self._call("Banner", _BANNER, {**variables, "after": None, "wait": 0}, token, deadline)
            return _decision(answer["banner"])
        except _FAILURES as problem:
            _note("banner", problem)
            if isinstance(problem, GatewayRefused) and problem.code == "UNAUTHENTICATED":
                raise TokenRefused from problem
            return None

    async def _call(self, name: str, query: str, variables: Mapping[str, Any], bearer: str, deadline: float) -> dict[str, Any]:
        async with asyncio.timeout_at(deadline):
            response = await self._http.post(
                self._endpoint,
                json={"operationName": name, "query": query, "variables": variables},
                headers={"authorization": f"Bearer {bearer}", "accept": "application/json"},
            )
        answer = response.json()
        errors = answer.get("errors")
        if errors:
            raise GatewayRefused(str(errors[0]["extensions"]["code"]))
        data = answer["data"]
        if not isinstance(data, dict):
            raise TypeError("the answer has no data")
        return data


# An answer of another form (a proxy's error page, say) ends as one of the last four: the page is rendered anyway.
_FAILURES: Final = (GatewayRefused, TimeoutError, httpx.HTTPError, LookupError, TypeError, ValueError, AttributeError)


def _note(call: str, problem: Exception) -> None:
    reason = problem.code if isinstance(problem, GatewayRefused) else type(problem).__name__
    _log.warning("The gateway gave no answer to %s: %s", call, reason)


def _decision(found: Mapping[str, Any]) -> Decision:
    return Decision(_text(found["id"]), None if found["banner"] is None else _banner(found["banner"]))


def _banner(found: Mapping[str, Any]) -> Banner:
    return Banner(
        headline=_text(found["headline"]),
        body=_optional_text(found["body"]),
        link_url=_optional_text(found["linkUrl"]),
        cta_label=_optional_text(found["ctaLabel"]),
        image=None if found["image"] is None else _image(found["image"]),
        content_id=_text(found["id"]),
    )


def _image(found: Mapping[str, Any]) -> Image:
    width, height = found["width"], found["height"]
    return Image(
        _text(found["url"]),
        _text(found["alt"]),
        width if isinstance(width, int) else None,
        height if isinstance(height, int) else None,
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text was expected")
    return value


def _optional_text(value: object) -> str | None:
    return None if value is None else _text(value)
