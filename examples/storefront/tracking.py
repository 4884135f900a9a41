"""Events of visitors whose browser runs no script: the shop's server reports what it sees."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from starlette.responses import Response

from personalization_gateway import CURSOR_COOKIE, Deadline, EventInput, GatewayClient, GatewayError

CURSOR_SECONDS: Final = 60
TRACK_DEADLINE_S: Final = 0.5
_log = logging.getLogger(__name__)


async def track_without_script(client: GatewayClient, token: str | None, events: Sequence[EventInput]) -> str | None:
    """Send events of the token's visitor; returns their cursor, so that the next page includes their changes.

    If the gateway is away, the events are lost, but never the visitor's cart.
    """
    if not token or not events:
        return None
    try:
        return (await client.track(events, visitor_token=token, deadline=Deadline.after(TRACK_DEADLINE_S))).cursor
    except GatewayError as problem:
        _log.warning("%s could not be reported: %s", events[0]["type"], problem.cause)
        return None


def keep_cursor(response: Response, cursor: str | None, *, secure: bool) -> None:
    """Set the cookie that lets the next page include the events."""
    if cursor is not None:
        response.set_cookie(CURSOR_COOKIE, cursor, max_age=CURSOR_SECONDS, path="/", secure=secure, httponly=False, samesite="lax")
