"""Previews: a signed token with which a page shows what a ruleset would give, without counting anything.

A token names a version or a draft (a ruleset that was not published, by the hash of its text), or a campaign to be shown whatever
its condition, schedule, caps, split's draw and holdout say, or a moment to look at; each is optional. Base64url of `msgpack body
+ 16 bytes of HMAC-SHA256`, behind a prefix.
"""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass, replace
from typing import Final

from gateway.model.decisions.decide import Decision, DecisionReason, Inputs, decide, forced_decision
from gateway.model.rulesets.ruleset import Ruleset
from gateway.model.tokens import Seal

PREFIX: Final = "pv_"
_SEAL: Final = Seal(b"preview", mac_bytes=16)
_FORM: Final = 2
_MAX_CHARACTERS: Final = 1024


class InvalidPreview(ValueError):
    """A text that is no preview token of ours, or one that has expired."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a token asks for. Times in ms since the epoch."""

    ruleset_version: int | None
    campaign_id: str | None
    at_ms: int | None
    expires_at_ms: int
    draft: str | None = None

    def sign(self, key: bytes) -> str:
        """The token."""
        return PREFIX + _SEAL.pack(key, (_FORM, *astuple(self)))


@dataclass(frozen=True, slots=True)
class ActivePreview:
    """A preview that a request asks for. `ruleset` None: the one in force."""

    preview: Preview
    ruleset: Ruleset | None


def open_preview(key: bytes, text: str, now_ms: int) -> Preview:
    """What a token asks for, or raise `InvalidPreview`."""
    try:
        if not text.startswith(PREFIX) or len(text) > _MAX_CHARACTERS:
            raise ValueError
        form, *fields = _SEAL.unpack(key, text.removeprefix(PREFIX))
        if form != _FORM:
            raise ValueError
        preview = Preview(*fields)
    except (ValueError, TypeError) as problem:
        raise InvalidPreview("not a preview token of this gateway: createPreview makes them") from problem
    if preview.expires_at_ms <= now_ms:
        raise InvalidPreview("this preview has expired: make another with createPreview")
    return preview


def draft_hash(text: str) -> str:
    """What names the text of a ruleset that is not published."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def decide_preview(ruleset: Ruleset, preview: Preview, placement_id: str, inputs: Inputs) -> Decision:
    """The decision that a preview shows: reason PREVIEW, and no moment at which time alone would change it."""
    if preview.at_ms is not None:
        inputs = replace(inputs, now_ms=preview.at_ms)
    decision = None
    if preview.campaign_id is not None:
        decision = forced_decision(ruleset, placement_id, preview.campaign_id, inputs)
    if decision is None:
        decision = decide(ruleset, placement_id, inputs)
    if decision.reason is DecisionReason.UNKNOWN_PLACEMENT:
        return decision
    return replace(decision, reason=DecisionReason.PREVIEW, valid_until_ms=None if preview.at_ms is not None else decision.valid_until_ms)
