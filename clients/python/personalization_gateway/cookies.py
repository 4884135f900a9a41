"""The cookies that the server and the snippet share."""

from __future__ import annotations

from typing import Final, Literal, TypedDict

TOKEN_COOKIE: Final = "visitor_token"  # noqa: S105 - the name of a cookie
TOKEN_COOKIE_MAX_AGE_S: Final = 30 * 24 * 3600
"""As long as the gateway renews a token after its expiry (its setting visitor_renewal_days)."""
CURSOR_COOKIE: Final = "visitor_cursor"
"""Set by the snippet: the log position of the visitor's last event, so that the next page includes it."""


class CookieArguments(TypedDict):
    """Arguments of `set_cookie` as Starlette, Django and Flask name them."""

    key: str
    value: str
    max_age: int
    path: str
    secure: bool
    httponly: bool
    samesite: Literal["lax"]


def token_cookie(token: str, *, secure: bool) -> CookieArguments:
    """The cookie with a visitor's token: `response.set_cookie(**token_cookie(token, secure=…))`. `secure`: the page uses https.

    Scripts can read it, because the snippet sends it to the gateway. It outlives the token: a visitor who comes back the next
    day gets a renewed token and stays the same visitor.
    """
    return {
        "key": TOKEN_COOKIE,
        "value": token,
        "max_age": TOKEN_COOKIE_MAX_AGE_S,
        "path": "/",
        "secure": secure,
        "httponly": False,
        "samesite": "lax",
    }
