"""The visitor's token: a first-party cookie of the shop, made by `startVisit` on the first page and renewed in time.

The page script sends it to the gateway, so scripts can read it. The cookie outlives the token: a visitor who comes back
the next day is renewed and stays the same visitor.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Final

from starlette.responses import Response

from examples.storefront.gateway_client import GatewayClient, StartedVisit

TOKEN_COOKIE: Final = "visitor_token"  # noqa: S105 - the name of a cookie
TOKEN_COOKIE_MAX_AGE_S: Final = 30 * 24 * 3600
"""As long as the gateway renews a token after its end (its setting visitor_renewal_days)."""
RENEW_BEFORE_END_S: Final = 600
CURSOR_COOKIE: Final = "visitor_cursor"
"""Set by the page script: the log position of the last event it sent, so that the next page knows it."""

_TOKEN: Final = re.compile(r"[\w-]{1,2048}\.[\w-]{1,4096}\.[\w-]{1,1024}", re.ASCII)
_CURSOR: Final = re.compile(r"[\w.~=+/-]{1,2048}", re.ASCII)


class Visit:
    """The visitor of one request: a token that holds now, or none; and what is new and belongs into the cookie."""

    def __init__(self, token: str | None, started: StartedVisit | None = None) -> None:
        self.token = token
        self.started = started

    def keep(self, response: Response, *, secure: bool) -> None:
        """Set the cookie when there is something new to keep."""
        if self.started is not None:
            response.set_cookie(
                TOKEN_COOKIE,
                self.started.token,
                max_age=TOKEN_COOKIE_MAX_AGE_S,
                path="/",
                secure=secure,
                httponly=False,
                samesite="lax",
            )


async def visit_of(cookie: str | None, client: GatewayClient, deadline: float, now_s: float, *, renew: bool = False) -> Visit:
    """The visitor of a token cookie; a new one without. `renew`: also a token that is far from its end. Returns by `deadline`."""
    token = cookie if cookie and _TOKEN.fullmatch(cookie) else None
    expires_at_s = None if token is None else token_expiry_s(token)
    if expires_at_s is None:
        token = None
    remaining_s = 0.0 if expires_at_s is None else expires_at_s - now_s
    if token is not None and remaining_s > RENEW_BEFORE_END_S and not renew:
        return Visit(token)
    started = await client.start_visit(deadline, token)
    if started is not None:
        return Visit(started.token, started)
    return Visit(token if remaining_s > 0 else None)


def token_expiry_s(token: str) -> float | None:
    """When a token ends (unix seconds), or None when it is none of ours. Read without proof: the gateway checks the signature."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (LookupError, TypeError, ValueError, OverflowError, binascii.Error):
        return None


def read_cursor(cookie: str | None) -> str | None:
    """The cursor of a cookie's value, or None when it cannot be one."""
    return cookie if cookie and _CURSOR.fullmatch(cookie) else None
