"""Previews: the tokens with which a page shows another ruleset, time or campaign."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from gateway.clock import NowMs
from gateway.errors import BadUserInput, NotFound
from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.decisions.preview_token import ActivePreview, InvalidPreview, Preview, draft_hash, open_preview
from gateway.model.events.fields import MAX_ID_CHARACTERS
from gateway.model.rulesets.ruleset import InvalidRuleset, Ruleset
from gateway.model.times import MINUTE_MS
from gateway.services.ports import Drafts
from gateway.services.rulesets import RulesetService

MAX_MINUTES: Final = 7 * 24 * 60
KEPT_LOADED: Final = 8
DRAFT_VERSION: Final = 0
"""The ruleset version of decisions by an unpublished ruleset."""


@dataclass(frozen=True, slots=True)
class PreviewRequest:
    """What a preview token should show, and for how many minutes it is valid.

    The ruleset is a published `version` or an unpublished `yaml`; with neither, it is the one in force. `campaign_id`: show
    this campaign regardless of its rules. `at_ms`: decide as of this time.
    """

    version: int | None
    campaign_id: str | None
    at_ms: int | None
    minutes: int
    yaml: str | None = None


class PreviewService:
    """Creates and opens preview tokens. One instance per process."""

    def __init__(self, key: bytes, rulesets: RulesetService, drafts: Drafts, now_ms: NowMs) -> None:
        self._key = key
        self._rulesets = rulesets
        self._drafts = drafts
        self._now_ms = now_ms
        self._loaded: dict[str, Ruleset] = {}

    async def create(self, request: PreviewRequest) -> tuple[str, int]:
        """A token, and when it expires (ms).

        Raises `BadUserInput`, `NotFound` for an unknown version or campaign, `Unavailable`.
        """
        if not 1 <= request.minutes <= MAX_MINUTES:
            raise BadUserInput(f"expiresInMinutes must be from 1 to {MAX_MINUTES}", field="expiresInMinutes")
        draft = None
        if request.yaml is None:
            ruleset = (await self._rulesets.version(request.version)).ruleset
        else:
            if request.version is not None:
                raise BadUserInput("pass yaml or rulesetVersion, not both", field="rulesetVersion")
            draft, ruleset = draft_hash(request.yaml), await _load_draft(request.yaml)
        campaigns = {campaign.campaign_id for placement in ruleset.placements.values() for campaign in placement.campaigns}
        if request.campaign_id is not None and request.campaign_id not in campaigns:
            where = f"version {ruleset.version}" if draft is None else "this ruleset"
            raise NotFound(f"{where} has no campaign {request.campaign_id[:MAX_ID_CHARACTERS]}", field="campaignId")
        expires_at_ms = self._now_ms() + request.minutes * MINUTE_MS
        if draft is not None and request.yaml is not None:
            await self._drafts.save(draft, request.yaml, expires_at_ms)
        preview = Preview(request.version, request.campaign_id, request.at_ms, expires_at_ms, draft)
        return preview.sign(self._key), expires_at_ms

    async def open(self, token: str | None) -> ActivePreview | None:
        """What a token asks for; None without a token.

        Raises `BadUserInput` for a forged or expired token, `NotFound` for a ruleset that is gone, `Unavailable`.
        """
        if token is None:
            return None
        try:
            preview = open_preview(self._key, token, self._now_ms())
        except InvalidPreview as problem:
            raise BadUserInput(f"previewToken: {problem}", field="previewToken") from problem
        if preview.draft is not None:
            return ActivePreview(preview, await self._read_draft(preview.draft))
        version = preview.ruleset_version
        return ActivePreview(preview, None if version is None else (await self._rulesets.version(version)).ruleset)

    async def _read_draft(self, name: str) -> Ruleset:
        """A draft. The latest few stay loaded: the name of a draft is the hash of its YAML, so a draft never changes."""
        loaded = self._loaded.pop(name, None)
        if loaded is None:
            text = await self._drafts.load(name)
            if text is None:
                raise NotFound("the ruleset of this preview is no longer kept: create another preview", field="previewToken")
            try:
                loaded = await asyncio.to_thread(load_ruleset, text, DRAFT_VERSION)
            except InvalidRuleset as problem:
                raise NotFound("this gateway cannot load the ruleset of this preview", field="previewToken") from problem
        self._loaded[name] = loaded
        if len(self._loaded) > KEPT_LOADED:
            del self._loaded[next(iter(self._loaded))]
        return loaded


async def _load_draft(text: str) -> Ruleset:
    try:
        return await asyncio.to_thread(load_ruleset, text, DRAFT_VERSION)
    except InvalidRuleset as problem:
        raise BadUserInput(problem.text("yaml"), field="yaml") from problem
