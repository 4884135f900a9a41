"""The gateway as a shop's server uses it.

Two kinds of calls. Those for a page (`start_visit`, `banner`, `banners`, `personalize`) never raise what the gateway or the
network may do: what comes late or fails is None, and one line in the log names the part and the cause. Those whose caller
must know (`track`, `identify`, `set_consent`, `delete_user`, `user_context`, `explain`) raise the tree of `errors.py`.
Nothing that is logged or raised holds a credential or an id.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Self

import httpx

from gateway.client import parsing
from gateway.client.answers import Decision, Explanation, StartedVisit, TrackResult, UserContext
from gateway.client.deadline import Deadline
from gateway.client.errors import BAD_USER_INPUT, FORBIDDEN, UNAUTHENTICATED, GatewayError, NoAnswer, Refused
from gateway.client.inputs import EventInput, PageInput, new_message_id
from gateway.client.requests import Call
from gateway.client.tokens import is_renewable, read_cursor, read_token, token_expiry_s
from gateway.client.transport import Transport

_log = logging.getLogger(__name__)

PAGE_DEADLINE_S: Final = 0.15
TIMEOUT_S: Final = 5.0
COVER_MARGIN_MS: Final = 50
"""Kept of the deadline for the way to the gateway and back while it waits for a cursor to be covered."""
RENEW_BEFORE_END_S: Final = 600
_TOKEN_IS_BAD: Final = frozenset({UNAUTHENTICATED, FORBIDDEN, BAD_USER_INPUT})


@dataclass(frozen=True, slots=True)
class Personalized:
    """What one page needs. `started`: a new token that belongs into the visitor's cookie."""

    token: str | None = field(repr=False, default=None)
    started: StartedVisit | None = None
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    """By placement; a placement without a decision shows the page's own content."""


class GatewayClient:
    """One gateway, one connection pool; `async with` it, or `aclose()` at the end.

    `endpoint` is the GraphQL address. `deadline_s` bounds each call for a page, `timeout_s` each other call; both can be given
    per call as a `Deadline`, so that all calls of a page share one. `transport` replaces the network (tests).
    """

    def __init__(
        self,
        endpoint: str,
        *,
        publishable_key: str = "",
        secret_key: str = "",
        deadline_s: float = PAGE_DEADLINE_S,
        timeout_s: float = TIMEOUT_S,
        max_connections: int = 100,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._transport = Transport(endpoint, max_connections, transport)
        self._publishable_key = publishable_key
        self._secret_key = secret_key
        self._deadline_s = deadline_s
        self._timeout_s = timeout_s

    async def start_visit(self, token: str | None = None, *, deadline: Deadline | None = None) -> StartedVisit | None:
        """A new visitor, or another token for the visitor of `token`; a new visitor when that token cannot be renewed."""
        try:
            return await self._start_visit(token, self._for_page(deadline))
        except GatewayError as problem:
            _note("startVisit", problem)
            return None

    async def banner(
        self,
        placement: str,
        *,
        visitor_token: str | None = None,
        user_id: str | None = None,
        page: PageInput | None = None,
        after: str | None = None,
        preview_token: str | None = None,
        deadline: Deadline | None = None,
    ) -> Decision | None:
        """The decision for one placement; see `banners`."""
        found = await self.banners(
            [placement],
            visitor_token=visitor_token,
            user_id=user_id,
            page=page,
            after=after,
            preview_token=preview_token,
            deadline=deadline,
        )
        return found.get(placement)

    async def banners(
        self,
        placements: Sequence[str],
        *,
        visitor_token: str | None = None,
        user_id: str | None = None,
        page: PageInput | None = None,
        after: str | None = None,
        preview_token: str | None = None,
        deadline: Deadline | None = None,
    ) -> dict[str, Decision]:
        """Decisions by placement: of the token's visitor, of `user_id` (with the secret key), or of nobody for public pages.

        `after` is the cursor of the visitor's last event: the gateway waits for it as long as the deadline allows. Raises
        ValueError when both a token and a user are named, or the key for it was not given to the client.
        """
        bearer = self._bearer(visitor_token, user_id)
        asked = {"placements": list(placements), "userId": user_id, "page": page, "after": after, "previewToken": preview_token}
        is_personal = visitor_token is not None or user_id is not None
        try:
            return await self._banners(bearer, asked, self._for_page(deadline), is_personal=is_personal)
        except GatewayError as problem:
            _note("banner", problem)
            return {}

    async def personalize(
        self,
        placements: Sequence[str],
        *,
        token: str | None,
        page: PageInput | None = None,
        after: str | None = None,
        deadline: Deadline | None = None,
    ) -> Personalized:
        """All that a page needs in one call, given its cookies as they came: the visitor (started, renewed, healed) and the decisions.

        A token that is none, or that the gateway refuses, gives a new visitor; one near or past its end is renewed, so that the
        visitor stays. A cursor that the gateway cannot read is left out. No placements: only the visitor.
        """
        deadline = self._for_page(deadline)
        token, started = await self._visitor(read_token(token), deadline)
        if token is None or not placements:
            return Personalized(token, started)
        asked = {"placements": list(placements), "page": page, "after": read_cursor(after)}
        try:
            try:
                return Personalized(token, started, await self._banners(token, asked, deadline))
            except Refused as refused:
                if refused.code != UNAUTHENTICATED or started is not None:
                    raise
            token, started = await self._visitor(None, deadline)
            decisions = {} if token is None else await self._banners(token, asked | {"after": None}, deadline)
            return Personalized(token, started, decisions)
        except GatewayError as problem:
            _note("banner", problem)
            return Personalized(token, started)

    async def track(
        self,
        events: Sequence[EventInput],
        *,
        visitor_token: str | None = None,
        placements: Sequence[str] = (),
        page: PageInput | None = None,
        max_wait_ms: int = 250,
        deadline: Deadline | None = None,
    ) -> TrackResult:
        """Send events, of the token's visitor or with the secret key of whom each names; with decisions after them, in the same round trip.

        Each event is answered on its own (`results`). Raises `GatewayError` when the batch as a whole was not answered: what
        `is_temporary` may be sent again unchanged, whatever arrived counts once.
        """
        is_secret = visitor_token is None
        variables = {
            "events": list(events),
            "sentAt": datetime.now(UTC),
            "placements": list(placements),
            "page": page,
            "maxWaitMs": max_wait_ms,
            "decide": bool(placements),
        }
        found = await self._ask("track", "track", self._key_or(visitor_token, is_secret=is_secret), variables, deadline)
        return parsing.track_result(found, is_personal=True)

    async def identify(
        self,
        user_id: str | None = None,
        *,
        visitor_token: str | None = None,
        anonymous_id: str | None = None,
        anonymous_token: str | None = None,
        traits: Mapping[str, object] | None = None,
        message_id: str | None = None,
        deadline: Deadline | None = None,
    ) -> TrackResult:
        """Join an anonymous visitor to a known one, and set traits: `user_id` with the secret key, or the known visitor's token.

        Raises `GatewayError`. Send it again with the same `message_id` when that is temporary.
        """
        variables = {"userId": user_id, "anonymousId": anonymous_id, "anonymousToken": anonymous_token, "traits": traits}
        bearer = self._known(visitor_token, user_id)
        return await self._write("identify", "identify", bearer, variables, message_id, deadline)

    async def set_consent(
        self,
        *,
        personalization: bool,
        measurement: bool | None = None,
        visitor_token: str | None = None,
        user_id: str | None = None,
        message_id: str | None = None,
        deadline: Deadline | None = None,
    ) -> TrackResult:
        """What the visitor allows, from now on. Raises `GatewayError`."""
        variables = {"personalization": personalization, "measurement": measurement, "userId": user_id}
        bearer = self._known(visitor_token, user_id)
        return await self._write("set_consent", "setConsent", bearer, variables, message_id, deadline)

    async def delete_user(self, user_id: str, *, message_id: str | None = None, deadline: Deadline | None = None) -> TrackResult:
        """Erase a visitor, with the secret key. Raises `GatewayError`."""
        variables = {"userId": user_id, "messageId": message_id or new_message_id()}
        found = await self._ask("delete_user", "deleteUser", self._known(None, user_id), variables, deadline)
        return parsing.track_result(found, is_personal=True)

    async def user_context(
        self, user_id: str | None = None, *, visitor_token: str | None = None, deadline: Deadline | None = None
    ) -> UserContext | None:
        """What is known of a visitor now; None when nothing is. Traits only for the secret key. Raises `GatewayError`."""
        variables = {"userId": user_id, "traits": user_id is not None}
        found = await self._ask("user_context", "userContext", self._known(visitor_token, user_id), variables, deadline)
        return None if found is None else parsing.user_context(found)

    async def explain(
        self,
        placement: str,
        *,
        user_id: str | None = None,
        page: PageInput | None = None,
        decision_id: str | None = None,
        deadline: Deadline | None = None,
    ) -> Explanation | None:
        """Why a visitor sees what is seen now, or why a decision was made, with the secret key. Raises `GatewayError`."""
        variables = {"placement": placement, "userId": user_id, "page": page, "decisionId": decision_id}
        found = await self._ask("explain", "explain", self._needed(self._secret_key, "secret_key"), variables, deadline)
        return None if found is None else parsing.explanation(found)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _visitor(self, token: str | None, deadline: Deadline) -> tuple[str | None, StartedVisit | None]:
        """A token that holds now, and what is new and belongs into the cookie."""
        remaining_s = ((token_expiry_s(token) or 0.0) if token else 0.0) - time.time()
        if token is not None and remaining_s > (RENEW_BEFORE_END_S if is_renewable(token) else 0):
            return token, None
        if not self._publishable_key:
            return (token if remaining_s > 0 else None), None
        started = await self.start_visit(token, deadline=deadline)
        if started is not None:
            return started.token, started
        # A gateway in trouble never costs a visitor: the old token is used while it holds, and no other is started in its place.
        return (token if remaining_s > 0 else None), None

    async def _start_visit(self, token: str | None, deadline: Deadline) -> StartedVisit:
        bearer = self._needed(self._publishable_key, "publishable_key")
        try:
            found = await self._transport.send(Call("start_visit", "startVisit", bearer, {"token": token}), deadline)
        except Refused as refused:
            if token is None or refused.code not in _TOKEN_IS_BAD:
                raise
            found = await self._transport.send(Call("start_visit", "startVisit", bearer, {}), deadline)
        return parsing.started_visit(found)

    async def _banners(self, bearer: str, asked: Mapping[str, Any], deadline: Deadline, *, is_personal: bool = True) -> dict[str, Decision]:
        after = asked.get("after")
        wait_ms = max(0, int(deadline.remaining_s * 1000) - COVER_MARGIN_MS) if after else 0
        try:
            found = await self._transport.send(Call("banners", "banners", bearer, {**asked, "maxWaitMs": wait_ms}), deadline)
        except Refused as refused:
            if after is None or refused.code != BAD_USER_INPUT:
                raise
            # The cursor comes from a cookie, so it may be anything; the banner does not depend on it.
            found = await self._transport.send(Call("banners", "banners", bearer, {**asked, "after": None, "maxWaitMs": 0}), deadline)
        if not isinstance(found, list):
            raise NoAnswer("unusable answer", "no list of decisions")
        decisions = [parsing.decision(one, is_personal=is_personal) for one in found]
        return {decision.placement: decision for decision in decisions}

    async def _write(
        self, operation: str, root: str, bearer: str, variables: Mapping[str, Any], message_id: str | None, deadline: Deadline | None
    ) -> TrackResult:
        now = datetime.now(UTC)
        more = {"messageId": message_id or new_message_id(), "timestamp": now, "sentAt": now}
        return parsing.track_result(await self._ask(operation, root, bearer, {**variables, **more}, deadline), is_personal=True)

    async def _ask(self, operation: str, root: str, bearer: str, variables: Mapping[str, Any], deadline: Deadline | None) -> object:
        return await self._transport.send(Call(operation, root, bearer, variables), deadline or Deadline.after(self._timeout_s))

    def _for_page(self, deadline: Deadline | None) -> Deadline:
        return deadline or Deadline.after(self._deadline_s)

    def _bearer(self, visitor_token: str | None, user_id: str | None) -> str:
        if visitor_token is None and user_id is None:
            return self._needed(self._publishable_key, "publishable_key")
        return self._known(visitor_token, user_id)

    def _known(self, visitor_token: str | None, user_id: str | None) -> str:
        if (visitor_token is None) == (user_id is None):
            raise ValueError("name the visitor by visitor_token or by user_id, and by one of them only")
        return self._key_or(visitor_token, is_secret=user_id is not None)

    def _key_or(self, visitor_token: str | None, *, is_secret: bool) -> str:
        return self._needed(self._secret_key, "secret_key") if is_secret or visitor_token is None else visitor_token

    @staticmethod
    def _needed(key: str, name: str) -> str:
        if not key:
            raise ValueError(f"this call needs GatewayClient({name}=…)")
        return key


def _note(part: str, problem: GatewayError) -> None:
    _log.warning("The gateway gave no answer to %s: %s", part, problem.cause)
