"""Credentials: publishable keys, secret keys and visitor tokens, and what each may reach.

Visitor tokens are JWTs (RFC 7519) signed with HS256: `sub` is the visitor id, `exp` is required. The gateway makes them for
anonymous visitors (`startVisit`); the shop's server makes them for its known users with the same secret.
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
    """What a caller showed."""

    NONE = "none"
    PUBLISHABLE = "publishable key"
    VISITOR = "visitor token"
    SECRET = "secret key"  # noqa: S105  # the name of a kind


@dataclass(frozen=True, slots=True)
class Credential:
    """A checked credential. `visitor_id` is the `sub` of a visitor token; `expires_at` its end in unix seconds."""

    kind: CredentialKind
    visitor_id: str | None = None
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Visit:
    """A visitor token and whose it is."""

    visitor_id: str
    token: str
    expires_at_ms: int


class Authenticator:
    """Checks credentials and makes visitor tokens."""

    def __init__(self, settings: Settings, now_ms: NowMs) -> None:
        self._secret_keys = [key.get_secret_value().encode() for key in settings.secret_keys]
        self._publishable_keys = [key.get_secret_value().encode() for key in settings.publishable_keys]
        self._key = settings.signing_key
        self._token_ms = settings.visitor_token_minutes * MINUTE_MS
        self._renewal_ms = settings.visitor_renewal_days * DAY_MS
        self._now_ms = now_ms

    def authenticate(self, authorization: str | None) -> Credential:
        """The credential of an `Authorization` value; none at all is a credential too. Raises `Unauthenticated`."""
        if authorization is None:
            return Credential(CredentialKind.NONE)
        scheme, _, shown = authorization.partition(" ")
        shown = shown.strip()
        if scheme.lower() != "bearer" or not shown:
            raise Unauthenticated("send 'Authorization: Bearer …' with a key or a visitor token")
        if shown.startswith("sk_"):
            if _is_one_of(self._secret_keys, shown):
                return Credential(CredentialKind.SECRET)
            raise Unauthenticated("unknown secret key")
        if shown.startswith("pk_"):
            if _is_one_of(self._publishable_keys, shown):
                return Credential(CredentialKind.PUBLISHABLE)
            raise Unauthenticated("unknown publishable key")
        claims = self._claims(shown, late_ms=0)
        return Credential(CredentialKind.VISITOR, claims["sub"], float(claims["exp"]))

    def start_visit(self) -> Visit:
        """A new anonymous visitor with a token."""
        return self._visit(new_anonymous_id(self._key))

    def renew_visit(self, token: str) -> Visit:
        """A new token for the visitor of one that `startVisit` gave, also within the renewal time after its end."""
        claims = self._claims(token, late_ms=self._renewal_ms)
        if claims.get("by") != _STARTED_HERE:
            raise Forbidden("only tokens that startVisit gave are renewed; the shop's server makes those of known users")
        return self._visit(claims["sub"])

    def anonymous_id_of(self, token: str) -> str:
        """The anonymous visitor that a token proves, also within the renewal time after its end."""
        visitor_id: str = self._claims(token, late_ms=self._renewal_ms)["sub"]
        if not is_anonymous(visitor_id):
            raise BadUserInput("anonymousToken must be a token that startVisit gave", field="anonymousToken")
        return visitor_id

    def check_visitor_id(self, visitor_id: str, field: str) -> str:
        """A visitor id that a caller may name, or raise `BadUserInput`: a forged anonymous id is none."""
        if not visitor_id or len(visitor_id) > MAX_ID_CHARACTERS or not visitor_id.isprintable():
            raise BadUserInput(f"{field} must have 1 to {MAX_ID_CHARACTERS} printable characters", field=field)
        if is_anonymous(visitor_id) and not is_genuine_anonymous_id(self._key, visitor_id):
            raise BadUserInput(f"{field}: anonymous ids are made by startVisit only", field=field)
        return visitor_id

    def _visit(self, visitor_id: str) -> Visit:
        now_s = self._now_ms() // 1000
        expires_s = now_s + self._token_ms // 1000
        claims = {"sub": visitor_id, "iat": now_s, "exp": expires_s, "by": _STARTED_HERE}
        return Visit(visitor_id, jwt.encode(claims, self._key, algorithm=_ALGORITHM), expires_s * 1000)

    def _claims(self, token: str, late_ms: int) -> dict[str, Any]:
        try:
            # The time is judged here, by our clock, so that tests can move it.
            options: Any = {"require": ["exp", "sub"], "verify_exp": False, "verify_iat": False, "verify_nbf": False}
            claims: dict[str, Any] = jwt.decode(token, self._key, algorithms=[_ALGORITHM], options=options)
            expires_ms = _seconds(claims["exp"]) * 1000
            not_before_ms = _seconds(claims.get("nbf", 0)) * 1000
        except (jwt.InvalidTokenError, TypeError, ValueError, OverflowError) as problem:
            raise Unauthenticated("this visitor token was not made with our secret; get one from startVisit") from problem
        if not_before_ms > self._now_ms() + MINUTE_MS:
            raise Unauthenticated("this visitor token does not hold yet")
        if expires_ms + late_ms <= self._now_ms():
            raise Unauthenticated("this visitor token has expired; renew it with startVisit(token:)")
        visitor_id = claims["sub"]
        if not isinstance(visitor_id, str) or not 0 < len(visitor_id) <= MAX_ID_CHARACTERS or not visitor_id.isprintable():
            raise Unauthenticated(f"the token's sub must be a visitor id of 1 to {MAX_ID_CHARACTERS} printable characters")
        if is_anonymous(visitor_id) and not is_genuine_anonymous_id(self._key, visitor_id):
            raise Unauthenticated("the token's sub is no anonymous id of ours")
        return claims


def _seconds(claim: object) -> float:
    """A NumericDate (RFC 7519, section 2), or raise ValueError."""
    if isinstance(claim, bool) or not isinstance(claim, int | float) or not math.isfinite(claim):
        raise ValueError("not a NumericDate")
    return float(claim)


def _is_one_of(keys: Sequence[bytes], shown: str) -> bool:
    # Every key is compared, in constant time, so that the answer's time says nothing.
    tried = shown.encode(errors="replace")
    return sum(hmac.compare_digest(key, tried) for key in keys) > 0
