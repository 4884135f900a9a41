"""Decision ids: signed, compact and self-describing.

Base64url of `msgpack body + 12 bytes of HMAC-SHA256`. The body says which placement, campaign, variant, ruleset, content
and context it was, when, and for whom (a keyed hash of the visitor id, empty for "any"). So `shown` tells the server what a
page has, and BANNER_* events need no look-up.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import astuple, dataclass
from typing import Final

import msgpack

from gateway.model.decisions.decide import Decision

_MAC_BYTES: Final = 12
_FORM: Final = 2
_OLD_FORM: Final = 1
"""Ids of older releases, which end before the snapshot of the trends."""
MAX_CHARACTERS: Final = 2048


class InvalidDecisionId(ValueError):
    """A text that is no decision id of ours, or one of another visitor."""


@dataclass(frozen=True, slots=True)
class DecisionToken:
    """What a decision id says. `banner_id` is the content hash, "" where there is no banner."""

    placement: str
    campaign_id: str | None
    variant: str | None
    ruleset_version: int
    banner_id: str
    cursor: str
    decided_at_ms: int
    visitor_hash: bytes
    preview: bool = False
    """Given for a preview: its BANNER_* events are rejected."""
    trends_snapshot: int = 0
    """The number of the trends it went by; 0: none yet, or an id of an older release."""


def token_of(decision: Decision, cursor: str, decided_at_ms: int, visitor: bytes, *, preview: bool = False) -> DecisionToken:
    """What the id of a decision says; `visitor` is its `visitor_hash`."""
    return DecisionToken(
        placement=decision.placement,
        campaign_id=decision.campaign_id,
        variant=decision.variant,
        ruleset_version=decision.ruleset_version,
        banner_id=decision.banner.banner_id if decision.banner else "",
        cursor=cursor,
        decided_at_ms=decided_at_ms,
        visitor_hash=visitor,
        preview=preview,
        trends_snapshot=decision.trends_snapshot,
    )


def visitor_hash(key: bytes, visitor_id: str | None) -> bytes:
    """Eight bytes that stand for a visitor without naming them; empty for a decision without a visitor."""
    if visitor_id is None:
        return b""
    return hmac.new(key, b"visitor:" + visitor_id.encode(), hashlib.sha256).digest()[:8]


def sign(key: bytes, token: DecisionToken) -> str:
    """The decision id."""
    body = bytes(msgpack.packb((_FORM, *astuple(token))))
    return base64.urlsafe_b64encode(body + _mac(key, body)).rstrip(b"=").decode()


def open_decision_id(key: bytes, text: str) -> DecisionToken:
    """What a decision id says, or raise `InvalidDecisionId` when we did not make it."""
    try:
        if len(text) > MAX_CHARACTERS:
            raise ValueError
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
            # Python skips foreign characters and spare bits; one decision must not have many ids.
            raise ValueError
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if not hmac.compare_digest(_mac(key, body), mac):
            raise ValueError
        form, *fields = msgpack.unpackb(body)
        if form not in (_FORM, _OLD_FORM):
            raise ValueError
        return DecisionToken(*fields)
    except (ValueError, TypeError, binascii.Error, msgpack.exceptions.UnpackException) as problem:
        raise InvalidDecisionId("not a decision id of this gateway: send the id of a BannerDecision, unchanged") from problem


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.new(key, b"decision:" + body, hashlib.sha256).digest()[:_MAC_BYTES]
