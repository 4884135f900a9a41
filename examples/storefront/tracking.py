"""Events of visitors whose browser runs no script: the shop's server reports what it sees itself."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from starlette.responses import Response

from gateway.client import CURSOR_COOKIE, Deadline, EventInput, GatewayClient, GatewayError

CURSOR_SECONDS: Final = 60
TRACK_DEADLINE_S: Final = 0.5
_log = logging.getLogger(__name__)


async def track_without_script(client: GatewayClient, token: str | None, events: Sequence[EventInput]) -> str | None:
    """Send the events of the visitor of the token; where they stand in the log, so that the next page shows what they changed.

    A gateway that is away costs the event, never the visitor's cart.
    """
    if not token or not events:
        return None
    try:
        return (await client.track(events, visitor_token=token, deadline=Deadline.after(TRACK_DEADLINE_S))).cursor
    except GatewayError as problem:
        _log.warning("%s could not be reported: %s", events[0]["type"], problem.cause)
        return None


def keep_cursor(response: Response, cursor: str | None, *, secure: bool) -> None:
    """The cookie by which the next page knows of the events."""
    if cursor is not None:
        response.set_cookie(CURSOR_COOKIE, cursor, max_age=CURSOR_SECONDS, path="/", secure=secure, httponly=False, samesite="lax")
