"""Previews: the tokens with which a page shows another ruleset, moment or campaign, and decisions for a context that is given."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from gateway.clock import NowMs
from gateway.errors import BadUserInput, NotFound
from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.decisions.preview_token import ActivePreview, InvalidPreview, Preview, draft_hash, open_preview
from gateway.model.rulesets.ruleset import InvalidRuleset, Ruleset
from gateway.model.rulesets.schedule import parse_moment_ms
from gateway.model.times import InvalidTime, parse_time_ms
from gateway.services.rulesets import RulesetService
from gateway.store.drafts import DraftStore

MAX_MINUTES: Final = 7 * 24 * 60
KEPT_LOADED: Final = 8
DRAFT_VERSION: Final = 0
"""What a decision by a ruleset that was never published says as its version."""


@dataclass(frozen=True, slots=True)
class PreviewRequest:
    """What a preview is to show: a version or the YAML of a ruleset (neither: the one in force), a campaign, a moment; how long."""

    version: int | None
    campaign_id: str | None
    at: object
    minutes: int
    yaml: str | None = None


class PreviewService:
    """Makes and opens preview tokens. One instance a process."""

    def __init__(self, key: bytes, rulesets: RulesetService, drafts: DraftStore, now_ms: NowMs) -> None:
        self._key = key
        self._rulesets = rulesets
        self._drafts = drafts
        self._now_ms = now_ms
        self._loaded: dict[str, Ruleset] = {}

    async def create(self, wish: PreviewRequest) -> tuple[str, int]:
        """A token and when it expires (ms). Raises `NotFound` for a version or campaign that is not there, `BadUserInput`."""
        if not 1 <= wish.minutes <= MAX_MINUTES:
            raise BadUserInput(f"expiresInMinutes must be from 1 to {MAX_MINUTES}", field="expiresInMinutes")
        at_ms = optional_moment_ms(wish.at, "at")
        draft = None
        if wish.yaml is None:
            ruleset = (await self._rulesets.version(wish.version)).ruleset
        else:
            if wish.version is not None:
                raise BadUserInput("give yaml or rulesetVersion, not both", field="rulesetVersion")
            draft, ruleset = draft_hash(wish.yaml), await _checked(wish.yaml)
        campaigns = {campaign.campaign_id for placement in ruleset.placements.values() for campaign in placement.campaigns}
        if wish.campaign_id is not None and wish.campaign_id not in campaigns:
            where = f"version {ruleset.version}" if draft is None else "this ruleset"
            raise NotFound(f"{where} has no campaign {wish.campaign_id[:128]}", field="campaignId")
        expires_at_ms = self._now_ms() + wish.minutes * 60_000
        if draft is not None and wish.yaml is not None:
            await self._drafts.save(draft, wish.yaml, expires_at_ms)
        return Preview(wish.version, wish.campaign_id, at_ms, expires_at_ms, draft).sign(self._key), expires_at_ms

    async def open(self, token: str | None) -> ActivePreview | None:
        """What a token asks for; None without one. Raises `BadUserInput` for a forged or expired one, `NotFound`, `Unavailable`."""
        if token is None:
            return None
        try:
            preview = open_preview(self._key, token, self._now_ms())
        except InvalidPreview as problem:
            raise BadUserInput(f"previewToken: {problem}", field="previewToken") from problem
        if preview.draft is not None:
            return ActivePreview(preview, await self._draft(preview.draft))
        version = preview.ruleset_version
        return ActivePreview(preview, None if version is None else (await self._rulesets.version(version)).ruleset)

    async def _draft(self, name: str) -> Ruleset:
        """A draft, of which the latest few stay loaded: its name is the hash of its text, so it never changes."""
        loaded = self._loaded.pop(name, None)
        if loaded is None:
            text = await self._drafts.load(name)
            if text is None:
                raise NotFound("the ruleset of this preview is not kept any more: make another with createPreview", field="previewToken")
            try:
                loaded = await asyncio.to_thread(load_ruleset, text, DRAFT_VERSION)
            except InvalidRuleset as problem:
                raise NotFound("the ruleset of this preview is none that this gateway can load", field="previewToken") from problem
        self._loaded[name] = loaded
        if len(self._loaded) > KEPT_LOADED:
            del self._loaded[next(iter(self._loaded))]
        return loaded


async def _checked(text: str) -> Ruleset:
    try:
        return await asyncio.to_thread(load_ruleset, text, DRAFT_VERSION)
    except InvalidRuleset as problem:
        raise BadUserInput(problem.text("yaml"), field="yaml") from problem


def optional_time_ms(value: object, field: str) -> int | None:
    """A time of the API, or raise `BadUserInput`."""
    try:
        return None if value is None else parse_time_ms(value, field)
    except InvalidTime as problem:
        raise BadUserInput(str(problem), field=field) from problem


def optional_moment_ms(value: object, field: str) -> int | None:
    """A time of the API that is to be decided for, or raise `BadUserInput`."""
    try:
        return None if value is None else parse_moment_ms(value, field)
    except InvalidTime as problem:
        raise BadUserInput(str(problem), field=field) from problem
