"""The decision: which banner a visitor sees at a placement. A pure function: same inputs, same banner.

Campaigns are asked from the highest priority down; the first whose schedule holds, whose condition is true and whose
placeholders have data wins. A campaign never makes the answer an error: a condition that fails while running counts as
false.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gateway.model.conditions import activation
from gateway.model.ruleset import BannerTemplate, Campaign, Ruleset


class DecisionReason(StrEnum):
    """Why this banner. Clients treat a value they do not know as DEFAULT."""

    TARGETING_MATCH = "TARGETING_MATCH"
    DEFAULT = "DEFAULT"
    NO_CONSENT = "NO_CONSENT"
    UNKNOWN_PLACEMENT = "UNKNOWN_PLACEMENT"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class Image:
    """An image of a banner."""

    url: str
    alt: str
    width: int | None
    height: int | None


@dataclass(frozen=True, slots=True)
class Banner:
    """A banner with its texts filled in. `banner_id` is a hash of the rest: equal ids, equal fields."""

    banner_id: str
    headline: str
    body: str | None
    link_url: str | None
    cta_label: str | None
    image: Image | None
    locale: str | None
    data: Any


@dataclass(frozen=True, slots=True)
class Decision:
    """The banner for a visitor at a placement. `valid_until_ms`: when time alone could change it."""

    placement: str
    banner: Banner | None
    reason: DecisionReason
    campaign_id: str | None
    variant: str | None
    ruleset_version: int
    context_version: int
    valid_until_ms: int | None

    @property
    def content(self) -> tuple[str | None, str | None, str]:
        """What a page shows by this decision: campaign, variant and banner. Equal contents: nothing to change."""
        return (self.campaign_id, self.variant, self.banner.banner_id if self.banner else "")


def decide(
    ruleset: Ruleset,
    context: Mapping[str, Any] | None,
    placement_id: str,
    page: Mapping[str, Any] | None,
    now_ms: int,
    *,
    consent_default: bool = True,
) -> Decision:
    """Decide for a context (public JSON; None: nothing is known). `consent_default` holds where consent was never asked."""
    version = (context or {}).get("version", 0)
    placement = ruleset.placements.get(placement_id)
    if placement is None:
        return Decision(placement_id, None, DecisionReason.UNKNOWN_PLACEMENT, None, None, ruleset.version, version, None)
    consented = ((context or {}).get("consent") or {}).get("personalization")
    fallback = _render(placement.fallback, {}) if placement.fallback else None
    if not (consent_default if consented is None else consented):
        return Decision(placement_id, fallback, DecisionReason.NO_CONSENT, None, None, ruleset.version, version, None)
    values = context or {}
    answers = placement.conditions.evaluate(activation(context, page)) if placement.campaigns else []
    valid_until_ms: int | None = None
    for campaign, answer in zip(placement.campaigns, answers, strict=True):
        if answer is not True:
            continue
        scheduled, boundary_ms = _scheduled(campaign, now_ms)
        if boundary_ms is not None:
            valid_until_ms = boundary_ms if valid_until_ms is None else min(valid_until_ms, boundary_ms)
        banner = _render(campaign.banner, values) if scheduled else None
        if banner is not None:
            reason = DecisionReason.TARGETING_MATCH
            return Decision(placement_id, banner, reason, campaign.campaign_id, None, ruleset.version, version, valid_until_ms)
    return Decision(placement_id, fallback, DecisionReason.DEFAULT, None, None, ruleset.version, version, valid_until_ms)


def unavailable(ruleset: Ruleset, placement_id: str) -> Decision:
    """The answer while the context store cannot be reached: the fallback."""
    placement = ruleset.placements.get(placement_id)
    if placement is None:
        return Decision(placement_id, None, DecisionReason.UNKNOWN_PLACEMENT, None, None, ruleset.version, 0, None)
    fallback = _render(placement.fallback, {}) if placement.fallback else None
    return Decision(placement_id, fallback, DecisionReason.UNAVAILABLE, None, None, ruleset.version, 0, None)


def _scheduled(campaign: Campaign, now_ms: int) -> tuple[bool, int | None]:
    """Whether the campaign runs now, and when that changes next."""
    if campaign.from_ms is not None and now_ms < campaign.from_ms:
        return False, campaign.from_ms
    if campaign.until_ms is not None:
        return (True, campaign.until_ms) if now_ms < campaign.until_ms else (False, None)
    return True, None


def _render(template: BannerTemplate, values: Mapping[str, Any]) -> Banner | None:
    texts: list[str | None] = []
    for part in (template.headline, template.body, template.link_url, template.cta_label):
        text = part.render(values) if part is not None else None
        if part is not None and text is None:
            return None
        texts.append(text)
    image = None
    if template.image is not None:
        url, alt = template.image.url.render(values), template.image.alt.render(values)
        if url is None or alt is None:
            return None
        image = Image(url, alt, template.image.width, template.image.height)
    headline, body, link_url, cta_label = texts
    parts = [headline, body, link_url, cta_label, [image.url, image.alt, image.width, image.height] if image else None]
    content = json.dumps([*parts, template.locale, template.data], sort_keys=True, ensure_ascii=False)
    banner_id = hashlib.sha256(content.encode()).hexdigest()[:16]
    return Banner(banner_id, headline or "", body, link_url, cta_label, image, template.locale, template.data)
