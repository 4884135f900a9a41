"""Credentials: publishable keys, secret keys and visitor tokens.

Visitor tokens are JWTs (RFC 7519) signed with HS256: `sub` is the visitor id, `exp` is required. The gateway signs them for
anonymous visitors (`startVisit`). The shop's server signs them for its known users, with the same secret.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import jwt

from gateway.clock import NowMs
from gateway.errors import BadUserInput, Forbidden, Unauthenticated
from gateway.model.events.fields import MAX_ID_CHARACTERS
from gateway.model.events.visitor_ids import is_anonymous, is_genuine_anonymous_id, new_anonymous_id
from gateway.model.times import DAY_MS, MINUTE_MS
from gateway.settings import Settings

_ALGORITHM: Final = "HS256"
_STARTED_HERE: Final = "startVisit"


class CredentialKind(StrEnum):
    """The kind of a credential."""

    NONE = "none"
    PUBLISHABLE = "publishable key"
    VISITOR = "visitor token"
    SECRET = "secret key"  # noqa: S105  # the name of a kind


@dataclass(frozen=True, slots=True)
class Credential:
    """A verified credential. For a visitor token, `visitor_id` is its `sub`, and `expires_at` its expiry in unix seconds."""

    kind: CredentialKind
    visitor_id: str | None = None
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Visit:
    """A visitor, and a token for it."""

    visitor_id: str
    token: str
    expires_at_ms: int


class Authenticator:
    """Verifies credentials and signs visitor tokens."""

    def __init__(self, settings: Settings, now_ms: NowMs) -> None:
        self._secret_keys = [key.get_secret_value().encode() for key in settings.secret_keys]
        self._publishable_keys = [key.get_secret_value().encode() for key in settings.publishable_keys]
        self._key = settings.signing_key
        self._token_ms = settings.visitor_token_minutes * MINUTE_MS
        self._renewal_ms = settings.visitor_renewal_days * DAY_MS
        self._now_ms = now_ms

    def authenticate(self, authorization: str | None) -> Credential:
        """The credential in an `Authorization` value; without a value it is of kind NONE. Raises `Unauthenticated`."""
        if authorization is None:
            return Credential(CredentialKind.NONE)
        scheme, _, secret = authorization.partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not secret:
            raise Unauthenticated("send 'Authorization: Bearer …' with a key or a visitor token")
        if secret.startswith("sk_"):
            if _is_one_of(self._secret_keys, secret):
                return Credential(CredentialKind.SECRET)
            raise Unauthenticated("unknown secret key")
        if secret.startswith("pk_"):
            if _is_one_of(self._publishable_keys, secret):
                return Credential(CredentialKind.PUBLISHABLE)
            raise Unauthenticated("unknown publishable key")
        claims = self._claims(secret, grace_ms=0)
        return Credential(CredentialKind.VISITOR, claims["sub"], float(claims["exp"]))

    def start_visit(self) -> Visit:
        """A new anonymous visitor, with a token."""
        return self._sign_visit(new_anonymous_id(self._key))

    def renew_visit(self, token: str) -> Visit:
        """A new token for the visitor of a token from `startVisit`, even within the renewal time after its expiry."""
        claims = self._claims(token, grace_ms=self._renewal_ms)
        if claims.get("by") != _STARTED_HERE:
            raise Forbidden("only tokens from startVisit can be renewed; the shop's server signs those of known users")
        return self._sign_visit(claims["sub"])

    def anonymous_id_of(self, token: str) -> str:
        """The anonymous visitor that a token proves, even within the renewal time after its expiry. Raises `BadUserInput`."""
        visitor_id: str = self._claims(token, grace_ms=self._renewal_ms)["sub"]
        if not is_anonymous(visitor_id):
            raise BadUserInput("anonymousToken must be a token from startVisit", field="anonymousToken")
        return visitor_id

    def check_visitor_id(self, visitor_id: str, field: str) -> str:
        """Check a visitor id that a caller names, and return it. Raises `BadUserInput`, also for a forged anonymous id."""
        if not visitor_id or len(visitor_id) > MAX_ID_CHARACTERS or not visitor_id.isprintable():
            raise BadUserInput(f"{field} must have 1 to {MAX_ID_CHARACTERS} printable characters", field=field)
        if is_anonymous(visitor_id) and not is_genuine_anonymous_id(self._key, visitor_id):
            raise BadUserInput(f"{field}: only startVisit creates anonymous ids", field=field)
        return visitor_id

    def _sign_visit(self, visitor_id: str) -> Visit:
        now_s = self._now_ms() // 1000
        expires_s = now_s + self._token_ms // 1000
        claims = {"sub": visitor_id, "iat": now_s, "exp": expires_s, "by": _STARTED_HERE}
        return Visit(visitor_id, jwt.encode(claims, self._key, algorithm=_ALGORITHM), expires_s * 1000)

    def _claims(self, token: str, grace_ms: int) -> dict[str, Any]:
        try:
            # The times are checked below, by our own clock, so that tests can move it.
            options: Any = {"require": ["exp", "sub"], "verify_exp": False, "verify_iat": False, "verify_nbf": False}
            claims: dict[str, Any] = jwt.decode(token, self._key, algorithms=[_ALGORITHM], options=options)
            expires_ms = _seconds(claims["exp"]) * 1000
            not_before_ms = _seconds(claims.get("nbf", 0)) * 1000
        except (jwt.InvalidTokenError, TypeError, ValueError, OverflowError) as problem:
            raise Unauthenticated("this visitor token was not signed with our secret; get one from startVisit") from problem
        if not_before_ms > self._now_ms() + MINUTE_MS:
            raise Unauthenticated("this visitor token is not valid yet")
        if expires_ms + grace_ms <= self._now_ms():
            raise Unauthenticated("this visitor token has expired; renew it with startVisit(token:)")
        visitor_id = claims["sub"]
        if not isinstance(visitor_id, str) or not 0 < len(visitor_id) <= MAX_ID_CHARACTERS or not visitor_id.isprintable():
            raise Unauthenticated(f"the token's sub must be a visitor id of 1 to {MAX_ID_CHARACTERS} printable characters")
        if is_anonymous(visitor_id) and not is_genuine_anonymous_id(self._key, visitor_id):
            raise Unauthenticated("the token's sub is not an anonymous id from startVisit")
        return claims


def _seconds(claim: object) -> float:
    """A NumericDate (RFC 7519, section 2), in seconds. Raises ValueError."""
    if isinstance(claim, bool) or not isinstance(claim, int | float) or not math.isfinite(claim):
        raise ValueError("not a NumericDate")
    return float(claim)


def _is_one_of(keys: Sequence[bytes], secret: str) -> bool:
    # Every key is compared, in constant time, so that the time of the answer reveals nothing.
    candidate = secret.encode(errors="replace")
    return sum(hmac.compare_digest(key, candidate) for key in keys) > 0
