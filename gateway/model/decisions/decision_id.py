"""Decision ids: signed, compact and self-describing.

Base64url of `msgpack body + 12 bytes of HMAC-SHA256`. The body holds the placement, campaign, variant, ruleset, content and context of
the decision, its time, and its visitor (a keyed hash of the visitor id; empty: no visitor). So `shown` describes what a page shows, and
BANNER_* events need no look-up.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from gateway.model.decisions.decide import Decision
from gateway.model.tokens import Seal

_SEAL: Final = Seal(b"decision", mac_bytes=12)
_FORM: Final = 2
_OLD_FORM: Final = 1
"""The form of older releases, without the snapshot of the trends."""
MAX_CHARACTERS: Final = 2048


class InvalidDecisionId(ValueError):
    """A string that this gateway did not issue as a decision id."""


@dataclass(frozen=True, slots=True)
class DecisionToken:
    """The content of a decision id. `banner_id`: the hash of the banner; "" without a banner."""

    placement: str
    campaign_id: str | None
    variant: str | None
    ruleset_version: int
    banner_id: str
    cursor: str
    decided_at_ms: int
    visitor_hash: bytes
    preview: bool = False
    """Issued for a preview: its BANNER_* events are rejected."""
    trends_snapshot: int = 0
    """The number of the trends snapshot that was used; 0: there was none yet, or an older release issued the id."""


_FIELDS: Final = attrgetter(*DecisionToken.__slots__)


def token_of(decision: Decision, cursor: str, decided_at_ms: int, visitor: bytes, *, preview: bool = False) -> DecisionToken:
    """The content of the id of a decision. `visitor`: its `visitor_hash`."""
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
    """Eight bytes that identify a visitor without naming them; empty for a decision without a visitor."""
    if visitor_id is None:
        return b""
    return hmac.new(key, b"visitor:" + visitor_id.encode(), hashlib.sha256).digest()[:8]


def sign(key: bytes, token: DecisionToken) -> str:
    """The decision id."""
    return _SEAL.pack(key, (_FORM, *_FIELDS(token)))


def open_decision_id(key: bytes, text: str) -> DecisionToken:
    """The content of a decision id. Raises `InvalidDecisionId` if this gateway did not issue it."""
    try:
        if len(text) > MAX_CHARACTERS:
            raise ValueError
        form, *fields = _SEAL.unpack(key, text)
        if form not in (_FORM, _OLD_FORM):
            raise ValueError
        return DecisionToken(*fields)
    except (ValueError, TypeError) as problem:
        raise InvalidDecisionId("not a decision id of this gateway: send the id of a BannerDecision, unchanged") from problem
