"""Previews: a signed token with which a page shows what a ruleset would decide, without counting anything.

A token can name a version or a draft (a ruleset that is not published, by the hash of its YAML), a campaign that is shown whatever its
condition, schedule, caps and holdout, and a moment to decide for. Base64url of `msgpack body + 16 bytes of HMAC-SHA256`, after a prefix.
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
    """A string that this gateway did not issue as a preview token, or a token that has expired."""


@dataclass(frozen=True, slots=True)
class Preview:
    """The content of a preview token. Times are ms since the epoch. `draft`: the hash of its YAML."""

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
    """The content of a preview token. Raises `InvalidPreview`."""
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


def draft_hash(yaml: str) -> str:
    """The name of a draft: a hash of its YAML."""
    return hashlib.sha256(yaml.encode()).hexdigest()[:32]


def decide_preview(ruleset: Ruleset, preview: Preview, placement_id: str, inputs: Inputs) -> Decision:
    """The decision that a preview shows, with the reason PREVIEW. A preview of a fixed moment never expires by time."""
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
