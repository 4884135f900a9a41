"""Anonymous visitor ids: random, and signed, so that the gateway recognizes its own.

    anon_ + 32 hex digits (16 random bytes) + 12 hex digits (6 bytes of HMAC-SHA256 over them)

Nobody else can make one. So the owner of a secret key cannot invent an anonymous visitor, and no shop's user id collides with one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Final

ANONYMOUS_PREFIX: Final = "anon_"
_FORM = re.compile(ANONYMOUS_PREFIX + r"([0-9a-f]{32})([0-9a-f]{12})")


def new_anonymous_id(key: bytes) -> str:
    """A new anonymous id, signed with `key`."""
    body = secrets.token_hex(16)
    return f"{ANONYMOUS_PREFIX}{body}{_mac(key, body)}"


def is_anonymous(visitor_id: str) -> bool:
    """Whether the id has the reserved prefix."""
    return visitor_id.startswith(ANONYMOUS_PREFIX)


def is_genuine_anonymous_id(key: bytes, visitor_id: str) -> bool:
    """Whether `new_anonymous_id` made this id with this key."""
    match = _FORM.fullmatch(visitor_id)
    return match is not None and hmac.compare_digest(_mac(key, match[1]), match[2])


def _mac(key: bytes, body: str) -> str:
    return hmac.new(key, b"anonymous-id:" + body.encode(), hashlib.sha256).hexdigest()[:12]
