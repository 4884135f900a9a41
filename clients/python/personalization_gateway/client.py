"""The gateway as a shop's server uses it.

There are two kinds of calls. Those for a page (`start_visit`, `banner`, `banners`, `personalize`) never raise because of the
gateway or the network: a call that is late or fails returns None or nothing, and logs one line with the operation and the cause.
Calls whose caller must know the result (`track`, `identify`, `set_consent`, `delete_user`, `user_context`, `explain`) raise the
tree of `errors.py`. Logged and raised texts never contain a credential or an id.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Self

from personalization_gateway import parsing
from personalization_gateway.answers import Decision, Explanation, StartedVisit, TrackResult, UserContext
from personalization_gateway.deadline import Deadline
from personalization_gateway.errors import BAD_USER_INPUT, FORBIDDEN, UNAUTHENTICATED, GatewayError, NoAnswer, Refused
from personalization_gateway.inputs import EventInput, PageInput, new_message_id
from personalization_gateway.requests import ApiCall
from personalization_gateway.tokens import is_renewable, read_cursor, read_token, token_expiry_s
from personalization_gateway.transport import Transport

if TYPE_CHECKING:
    from personalization_gateway.http_client import AsyncTransport

_log = logging.getLogger(__name__)

PAGE_DEADLINE_S: Final = 0.15
TIMEOUT_S: Final = 5.0
COVER_MARGIN_MS: Final = 50
"""Part of the deadline that is reserved for the network while the gateway waits for a cursor to be covered."""
RENEW_BEFORE_END_S: Final = 600
_TOKEN_REFUSED: Final = frozenset({UNAUTHENTICATED, FORBIDDEN, BAD_USER_INPUT})


@dataclass(frozen=True, slots=True)
class Personalized:
    """What one page needs. `started`: a new token, which belongs in the visitor's cookie."""

    token: str | None = field(repr=False, default=None)
    started: StartedVisit | None = None
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    """By placement; a placement without a decision shows the page's own content."""


class GatewayClient:
    """One gateway and one connection pool; use it with `async with`, or call `aclose()` at the end.

    `endpoint` is the GraphQL address. `deadline_s` limits each call for a page, `timeout_s` every other call; a call can have its
    own `Deadline` instead, so that all calls of a page share one. `transport`, of httpx2 or httpx, replaces the network in tests.

    Raises ImportError if no HTTP client is installed, and ValueError for an endpoint that is not an http(s) address.
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
        transport: AsyncTransport | None = None,
    ) -> None:
        self._transport = Transport(endpoint, max_connections, transport)
        self._publishable_key = publishable_key
        self._secret_key = secret_key
        self._deadline_s = deadline_s
        self._timeout_s = timeout_s

    async def start_visit(self, token: str | None = None, *, deadline: Deadline | None = None) -> StartedVisit | None:
        """A new visitor, or a new token for the visitor of `token`; also a new visitor if that token cannot be renewed."""
        try:
            return await self._start_visit(token, self._for_page(deadline))
        except GatewayError as problem:
            _log_failure("startVisit", problem)
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
        decisions = await self.banners(
            [placement],
            visitor_token=visitor_token,
            user_id=user_id,
            page=page,
            after=after,
            preview_token=preview_token,
            deadline=deadline,
        )
        return decisions.get(placement)

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
        """Decisions by placement: for the token's visitor, for `user_id` (with the secret key), or for no visitor (public pages).

        `after` is the cursor of the visitor's last event: the gateway waits for it as long as the deadline allows. Raises
        ValueError if both a token and a user are given, or if the client does not have the key for the call.
        """
        bearer = self._bearer(visitor_token, user_id)
        variables = {"placements": list(placements), "userId": user_id, "page": page, "after": after, "previewToken": preview_token}
        is_personal = visitor_token is not None or user_id is not None
        try:
            return await self._banners(bearer, variables, self._for_page(deadline), is_personal=is_personal)
        except GatewayError as problem:
            _log_failure("banner", problem)
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
        """Everything that a page needs, in one call and from its unchecked cookies: the visitor's token and the decisions.

        An invalid token, or one that the gateway refuses, is replaced by that of a new visitor. A token that is expired or about to
        expire is renewed, so that the visitor stays the same. A cursor that the gateway cannot read is left out. Without placements
        there is only the token.
        """
        deadline = self._for_page(deadline)
        token, started = await self._visitor(read_token(token), deadline)
        if token is None or not placements:
            return Personalized(token, started)
        variables = {"placements": list(placements), "page": page, "after": read_cursor(after)}
        try:
            try:
                return Personalized(token, started, await self._banners(token, variables, deadline))
            except Refused as refused:
                if refused.code != UNAUTHENTICATED or started is not None:
                    raise
            token, started = await self._visitor(None, deadline)
            decisions = {} if token is None else await self._banners(token, variables | {"after": None}, deadline)
            return Personalized(token, started, decisions)
        except GatewayError as problem:
            _log_failure("banner", problem)
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
        """Send events of the token's visitor, or, with the secret key, of the visitors that the events name.

        With `placements` the same request also returns decisions that include these events. Each event has its own answer in
        `results`. Raises `GatewayError` if the batch as a whole was not answered; if that `is_temporary`, send the batch again
        unchanged: events that arrived count once.
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
        result = await self._ask("track", "track", self._key_or(visitor_token, is_secret=is_secret), variables, deadline)
        return parsing.track_result(result, is_personal=True)

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
        """Join an anonymous visitor to a known one, and set traits: with `user_id` and the secret key, or the known visitor's token.

        Raises `GatewayError`. If that is temporary, send it again with the same `message_id`.
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
        """Record what the visitor allows from now on. Raises `GatewayError`."""
        variables = {"personalization": personalization, "measurement": measurement, "userId": user_id}
        bearer = self._known(visitor_token, user_id)
        return await self._write("set_consent", "setConsent", bearer, variables, message_id, deadline)

    async def delete_user(self, user_id: str, *, message_id: str | None = None, deadline: Deadline | None = None) -> TrackResult:
        """Erase a visitor, with the secret key. Raises `GatewayError`."""
        variables = {"userId": user_id, "messageId": message_id or new_message_id()}
        result = await self._ask("delete_user", "deleteUser", self._known(None, user_id), variables, deadline)
        return parsing.track_result(result, is_personal=True)

    async def user_context(
        self, user_id: str | None = None, *, visitor_token: str | None = None, deadline: Deadline | None = None
    ) -> UserContext | None:
        """What is known about a visitor now; None if nothing is. Traits need the secret key. Raises `GatewayError`."""
        variables = {"userId": user_id, "traits": user_id is not None}
        context = await self._ask("user_context", "userContext", self._known(visitor_token, user_id), variables, deadline)
        return None if context is None else parsing.user_context(context)

    async def explain(
        self,
        placement: str,
        *,
        user_id: str | None = None,
        page: PageInput | None = None,
        decision_id: str | None = None,
        deadline: Deadline | None = None,
    ) -> Explanation | None:
        """Why a visitor sees a banner now, or why a decision was made; needs the secret key. Raises `GatewayError`."""
        variables = {"placement": placement, "userId": user_id, "page": page, "decisionId": decision_id}
        explanation = await self._ask("explain", "explain", self._needed(self._secret_key, "secret_key"), variables, deadline)
        return None if explanation is None else parsing.explanation(explanation)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _visitor(self, token: str | None, deadline: Deadline) -> tuple[str | None, StartedVisit | None]:
        """A token that is valid now, and a new visit whose token belongs in the cookie."""
        remaining_s = ((token_expiry_s(token) or 0.0) if token else 0.0) - time.time()
        if token is not None and remaining_s > (RENEW_BEFORE_END_S if is_renewable(token) else 0):
            return token, None
        if not self._publishable_key:
            return (token if remaining_s > 0 else None), None
        started = await self.start_visit(token, deadline=deadline)
        if started is not None:
            return started.token, started
        # A gateway in trouble never costs a visitor: the old token is used while it is valid, and no new visitor replaces it.
        return (token if remaining_s > 0 else None), None

    async def _start_visit(self, token: str | None, deadline: Deadline) -> StartedVisit:
        bearer = self._needed(self._publishable_key, "publishable_key")
        try:
            visit = await self._transport.send(ApiCall("start_visit", "startVisit", bearer, {"token": token}), deadline)
        except Refused as refused:
            if token is None or refused.code not in _TOKEN_REFUSED:
                raise
            visit = await self._transport.send(ApiCall("start_visit", "startVisit", bearer, {}), deadline)
        return parsing.started_visit(visit)

    async def _banners(
        self, bearer: str, variables: Mapping[str, Any], deadline: Deadline, *, is_personal: bool = True
    ) -> dict[str, Decision]:
        after = variables.get("after")
        wait_ms = max(0, int(deadline.remaining_s * 1000) - COVER_MARGIN_MS) if after else 0
        try:
            answer = await self._transport.send(ApiCall("banners", "banners", bearer, {**variables, "maxWaitMs": wait_ms}), deadline)
        except Refused as refused:
            if after is None or refused.code != BAD_USER_INPUT:
                raise
            # The cursor comes from a cookie, so it may be anything; the banner does not depend on it.
            without_cursor = {**variables, "after": None, "maxWaitMs": 0}
            answer = await self._transport.send(ApiCall("banners", "banners", bearer, without_cursor), deadline)
        if not isinstance(answer, list):
            raise NoAnswer("unusable answer", "a list of decisions was expected")
        decisions = [parsing.decision(item, is_personal=is_personal) for item in answer]
        return {decision.placement: decision for decision in decisions}

    async def _write(
        self, operation: str, root: str, bearer: str, variables: Mapping[str, Any], message_id: str | None, deadline: Deadline | None
    ) -> TrackResult:
        now = datetime.now(UTC)
        common = {"messageId": message_id or new_message_id(), "timestamp": now, "sentAt": now}
        return parsing.track_result(await self._ask(operation, root, bearer, {**variables, **common}, deadline), is_personal=True)

    async def _ask(self, operation: str, root: str, bearer: str, variables: Mapping[str, Any], deadline: Deadline | None) -> object:
        return await self._transport.send(ApiCall(operation, root, bearer, variables), deadline or Deadline.after(self._timeout_s))

    def _for_page(self, deadline: Deadline | None) -> Deadline:
        return deadline or Deadline.after(self._deadline_s)

    def _bearer(self, visitor_token: str | None, user_id: str | None) -> str:
        if visitor_token is None and user_id is None:
            return self._needed(self._publishable_key, "publishable_key")
        return self._known(visitor_token, user_id)

    def _known(self, visitor_token: str | None, user_id: str | None) -> str:
        if (visitor_token is None) == (user_id is None):
            raise ValueError("name the visitor by exactly one of visitor_token and user_id")
        return self._key_or(visitor_token, is_secret=user_id is not None)

    def _key_or(self, visitor_token: str | None, *, is_secret: bool) -> str:
        return self._needed(self._secret_key, "secret_key") if is_secret or visitor_token is None else visitor_token

    @staticmethod
    def _needed(key: str, name: str) -> str:
        if not key:
            raise ValueError(f"this call needs GatewayClient({name}=…)")
        return key


def _log_failure(operation: str, problem: GatewayError) -> None:
    _log.warning("The gateway gave no answer to %s: %s", operation, problem.cause)
