"""Previews: the tokens with which a page shows another ruleset, moment or campaign, and decisions for a context that is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.clock import NowMs
from gateway.errors import BadUserInput, NotFound
from gateway.model.events import parse_time_ms
from gateway.model.payload import InvalidEvent
from gateway.model.preview import InvalidPreview, Preview, open_preview
from gateway.model.ruleset import Ruleset
from gateway.rules.service import RulesetService

MAX_MINUTES: Final = 7 * 24 * 60


@dataclass(frozen=True, slots=True)
class Previewed:
    """A preview that a request asks for. `ruleset` None: the one in force."""

    preview: Preview
    ruleset: Ruleset | None


class PreviewService:
    """Makes and opens preview tokens. One instance a process."""

    def __init__(self, key: bytes, rulesets: RulesetService, now_ms: NowMs) -> None:
        self._key = key
        self._rulesets = rulesets
        self._now_ms = now_ms

    async def create(self, version: int | None, campaign_id: str | None, at: object, minutes: int) -> tuple[str, int]:
        """A token and when it expires (ms). Raises `NotFound` for a version or campaign that is not there."""
        if not 1 <= minutes <= MAX_MINUTES:
            raise BadUserInput(f"expiresInMinutes must be from 1 to {MAX_MINUTES}", field="expiresInMinutes")
        ruleset = (await self._rulesets.version(version)).ruleset
        campaigns = {campaign.campaign_id for placement in ruleset.placements.values() for campaign in placement.campaigns}
        if campaign_id is not None and campaign_id not in campaigns:
            raise NotFound(f"version {ruleset.version} has no campaign {campaign_id[:128]}", field="campaignId")
        expires_at_ms = self._now_ms() + minutes * 60_000
        return Preview(version, campaign_id, optional_time_ms(at, "at"), expires_at_ms).sign(self._key), expires_at_ms

    async def open(self, token: str | None) -> Previewed | None:
        """What a token asks for; None without one. Raises `BadUserInput` for a forged or expired one."""
        if token is None:
            return None
        try:
            preview = open_preview(self._key, token, self._now_ms())
        except InvalidPreview as problem:
            raise BadUserInput(f"previewToken: {problem}", field="previewToken") from problem
        version = preview.ruleset_version
        return Previewed(preview, None if version is None else (await self._rulesets.version(version)).ruleset)


def optional_time_ms(value: object, field: str) -> int | None:
    """A time of the API, or raise `BadUserInput`."""
    try:
        return None if value is None else parse_time_ms(value, field)
    except InvalidEvent as problem:
        raise BadUserInput(problem.message, field=field) from problem
