"""Campaign statistics for whoever asks: the stored rows of a period, with the splits of the rulesets they were shown by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.errors import BadUserInput, NotFound, Unavailable
from gateway.model.rulesets.ruleset import HOLDOUT_VARIANT, Ruleset
from gateway.model.statistics.results import CampaignResult, StatsRow, campaign_result, visitors_by_version
from gateway.model.statistics.sample_ratio import NO_VARIANT, shares_of
from gateway.model.times import HOUR_MS
from gateway.services.rulesets import RulesetService
from gateway.store.stats import CampaignStatsStore

MAX_VERSIONS: Final = 20
"""Of so many versions of the ruleset, those with most visitors, the weights are looked up."""


@dataclass(frozen=True, slots=True)
class CampaignReport:
    """Statistics of a campaign. `from_ms` and `to_ms` None: there is nothing yet. `left_out`: versions whose weights are unknown."""

    campaign_id: str
    as_of_ms: int
    from_ms: int | None
    to_ms: int | None
    attribution_days: int | None
    result: CampaignResult
    left_out: Sequence[int]


class CampaignStatsService:
    """Answers `campaignStats`. One instance a process."""

    def __init__(self, store: CampaignStatsStore, rulesets: RulesetService) -> None:
        self._store = store
        self._rulesets = rulesets
        # A published version never changes.
        self._shares: dict[tuple[int, str], Mapping[str, float] | None] = {}

    async def report(self, campaign_id: str, from_ms: int | None, to_ms: int | None) -> CampaignReport | None:
        """Statistics of the hours that touch a period; None while none were ever computed.

        Raises `BadUserInput`, `NotFound` for a campaign that neither has rows nor is in force, `Unavailable`.
        """
        if from_ms is not None and to_ms is not None and from_ms >= to_ms:
            raise BadUserInput("from must be before to", field="from")
        current = self._rulesets.current
        known = shares_of(current, campaign_id)
        stored = await self._store.load(campaign_id)
        as_of_ms = stored.coverage.as_of_ms if stored is not None else await self._store.as_of_ms()
        hours = {} if stored is None else stored.hours
        if not hours and known is None:
            raise NotFound(f"there is no campaign {campaign_id[:128]}: none in force, and no statistics of an earlier one")
        if as_of_ms is None:
            return None
        first, end = _whole_hours(from_ms, to_ms, as_of_ms, hours)
        rows = [row for hour, found in sorted(hours.items()) if first is not None and first <= hour < end for row in found]
        shares, left_out = await self._shares_of(campaign_id, current, rows)
        control = HOLDOUT_VARIANT if any(row.variant == HOLDOUT_VARIANT for row in rows) else next(iter(known or {}), NO_VARIANT)
        return CampaignReport(
            campaign_id=campaign_id,
            as_of_ms=as_of_ms,
            from_ms=None if first is None else first * HOUR_MS,
            to_ms=None if first is None else end * HOUR_MS,
            attribution_days=None if stored is None else stored.coverage.attribution_days,
            result=campaign_result(rows, list(known or {}), control, shares),
            left_out=left_out,
        )

    async def _shares_of(
        self, campaign_id: str, current: Ruleset, rows: Sequence[StatsRow]
    ) -> tuple[dict[int, Mapping[str, float]], Sequence[int]]:
        """The splits of the versions that visitors saw the campaign by, and the versions of which they are not known."""
        visitors = {version: sum(counts.values()) for version, counts in visitors_by_version(rows).items()}
        wanted = sorted(visitors, key=lambda version: -visitors[version])
        found: dict[int, Mapping[str, float]] = {}
        for version in wanted[:MAX_VERSIONS]:
            shares = await self._shares_by(campaign_id, current, version)
            if shares is not None:
                found[version] = shares
        return found, sorted(set(wanted) - set(found))

    async def _shares_by(self, campaign_id: str, current: Ruleset, version: int) -> Mapping[str, float] | None:
        key = (version, campaign_id)
        if key not in self._shares:
            try:
                ruleset = current if version == current.version else (await self._rulesets.version(version)).ruleset
            except NotFound:
                return None
            except Unavailable:
                # Better statistics without this version than none.
                return None
            if len(self._shares) >= 1000:
                self._shares.clear()
            self._shares[key] = shares_of(ruleset, campaign_id)
        return self._shares[key]


def _whole_hours(from_ms: int | None, to_ms: int | None, as_of_ms: int, hours: Mapping[int, object]) -> tuple[int | None, int]:
    """The hours that touch a period, the end not included; None while there is nothing and nobody says from when."""
    end = -(-as_of_ms // HOUR_MS)
    if hours:
        # An event may be dated ahead of its receipt by a little.
        end = max(end, max(hours) + 1)
    if to_ms is not None:
        end = min(end, -(-to_ms // HOUR_MS))
    first = min(hours, default=None) if from_ms is None else from_ms // HOUR_MS
    return first, end if first is None else max(first, end)
