"""Visitor tokens: JWTs (RFC 7519), signed with HS256 and the secret that the shop's server and the gateway share.

Anonymous visitors get their tokens from `startVisit`; the shop's server signs those of its known users.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from typing import Any, Final

MAX_ID_CHARACTERS: Final = 128
MIN_SECRET_CHARACTERS: Final = 32
MAX_MINUTES: Final = 1440
ANONYMOUS_PREFIX: Final = "anon_"
"""Only `startVisit` creates ids that start with this."""

STARTED_BY_GATEWAY: Final = "startVisit"
"""The claim `by` of the tokens that `startVisit` issues."""

_NOT_A_TOKEN: Final = (AttributeError, LookupError, TypeError, ValueError, OverflowError, RecursionError, binascii.Error)
_TOKEN: Final = re.compile(r"[\w-]{1,2048}\.[\w-]{1,4096}\.[\w-]{1,1024}", re.ASCII)
_CURSOR: Final = re.compile(r"[\w.~=+/-]{1,2048}", re.ASCII)


def sign_visitor_token(user_id: str, token_secret: str, minutes: int = 30) -> str:
    """A token with which a page acts as this known user. It is valid for `minutes` (15 to 60 are usual).

    `token_secret` is the gateway's GATEWAY_TOKEN_SECRET. Raises ValueError for arguments that the gateway would not accept.
    """
    if not 0 < len(user_id) <= MAX_ID_CHARACTERS or not user_id.isprintable():
        raise ValueError(f"user_id must have 1 to {MAX_ID_CHARACTERS} printable characters")
    if user_id.startswith(ANONYMOUS_PREFIX):
        raise ValueError(f"ids that start with {ANONYMOUS_PREFIX} are reserved for startVisit; give a known user another id")
    if len(token_secret) < MIN_SECRET_CHARACTERS:
        raise ValueError(f"token_secret must have at least {MIN_SECRET_CHARACTERS} characters: use the gateway's GATEWAY_TOKEN_SECRET")
    if not 1 <= minutes <= MAX_MINUTES:
        raise ValueError(f"minutes must be from 1 to {MAX_MINUTES}")
    now_s = int(time.time())
    claims = {"sub": user_id, "iat": now_s, "exp": now_s + minutes * 60}
    signed = f"{_jwt_part({'alg': 'HS256', 'typ': 'JWT'})}.{_jwt_part(claims)}"
    signature = hmac.new(token_secret.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{_base64url(signature)}"


def token_expiry_s(token: str) -> float | None:
    """When a token expires (Unix seconds); None if it is not a visitor token. The signature is not checked: the gateway does that."""
    try:
        return float(_claims(token)["exp"])
    except _NOT_A_TOKEN:
        return None


def is_renewable(token: str) -> bool:
    """Whether `startVisit` issued this token and can renew it. The shop itself renews the tokens that it signed."""
    try:
        return bool(_claims(token).get("by") == STARTED_BY_GATEWAY)
    except _NOT_A_TOKEN:
        return False


def read_token(cookie: str | None) -> str | None:
    """The token in a cookie's value; None if it cannot be one."""
    return cookie if cookie and _TOKEN.fullmatch(cookie) and token_expiry_s(cookie) is not None else None


def read_cursor(cookie: str | None) -> str | None:
    """The cursor in a cookie's value; None if it cannot be one."""
    return cookie if cookie and _CURSOR.fullmatch(cookie) else None


def _claims(token: str) -> Any:
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def _jwt_part(claims: dict[str, object]) -> str:
    return _base64url(json.dumps(claims, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
