"""Campaign statistics: the stored rows of a period, and the splits of the ruleset versions that decided for the visitors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.errors import BadUserInput, NotFound, Unavailable
from gateway.model.events.fields import MAX_ID_CHARACTERS
from gateway.model.rulesets.ruleset import HOLDOUT_VARIANT, Ruleset
from gateway.model.statistics.results import CampaignResult, StatsRow, campaign_result, visitors_by_version
from gateway.model.statistics.sample_ratio import NO_VARIANT, shares_of
from gateway.model.times import HOUR_MS
from gateway.services.ports import CampaignStatistics
from gateway.services.rulesets import RulesetService

MAX_VERSIONS: Final = 20
"""The weights of at most this many versions of the ruleset are looked up: those with the most visitors."""
MAX_CACHED_SHARES: Final = 1000


@dataclass(frozen=True, slots=True)
class CampaignReport:
    """Statistics of a campaign.

    `from_ms` and `to_ms` None: nothing is counted yet. `left_out`: versions of the ruleset whose weights are unknown.
    """

    campaign_id: str
    as_of_ms: int
    from_ms: int | None
    to_ms: int | None
    attribution_days: int | None
    result: CampaignResult
    left_out: Sequence[int]


class CampaignStatsService:
    """Answers `campaignStats`. One instance per process."""

    def __init__(self, store: CampaignStatistics, rulesets: RulesetService) -> None:
        self._store = store
        self._rulesets = rulesets
        # By version and campaign. It is never outdated: a published version does not change.
        self._cached_shares: dict[tuple[int, str], Mapping[str, float] | None] = {}

    async def report(self, campaign_id: str, from_ms: int | None, to_ms: int | None) -> CampaignReport | None:
        """Statistics of the hours that a period touches; None if statistics were never computed.

        Raises `BadUserInput`, `NotFound` for a campaign that has no rows and is not in force, `Unavailable`.
        """
        if from_ms is not None and to_ms is not None and from_ms >= to_ms:
            raise BadUserInput("from must be before to", field="from")
        current = self._rulesets.current
        current_shares = shares_of(current, campaign_id)
        stored = await self._store.load(campaign_id)
        as_of_ms = stored.coverage.as_of_ms if stored is not None else await self._store.as_of_ms()
        hours = {} if stored is None else stored.hours
        if not hours and current_shares is None:
            raise NotFound(
                f"unknown campaign {campaign_id[:MAX_ID_CHARACTERS]}: it is not in force, and there are no statistics of an earlier one"
            )
        if as_of_ms is None:
            return None
        first_hour, end_hour = _whole_hours(from_ms, to_ms, as_of_ms, hours)
        rows = [
            row
            for hour, rows_of_hour in sorted(hours.items())
            if first_hour is not None and first_hour <= hour < end_hour
            for row in rows_of_hour
        ]
        shares, left_out = await self._shares_by_version(campaign_id, current, rows)
        has_holdout = any(row.variant == HOLDOUT_VARIANT for row in rows)
        control = HOLDOUT_VARIANT if has_holdout else next(iter(current_shares or {}), NO_VARIANT)
        return CampaignReport(
            campaign_id=campaign_id,
            as_of_ms=as_of_ms,
            from_ms=None if first_hour is None else first_hour * HOUR_MS,
            to_ms=None if first_hour is None else end_hour * HOUR_MS,
            attribution_days=None if stored is None else stored.coverage.attribution_days,
            result=campaign_result(rows, list(current_shares or {}), control, shares),
            left_out=left_out,
        )

    async def _shares_by_version(
        self, campaign_id: str, current: Ruleset, rows: Sequence[StatsRow]
    ) -> tuple[dict[int, Mapping[str, float]], Sequence[int]]:
        """The splits of the versions that decided for the visitors, and the versions whose splits are unknown."""
        visitors = {version: sum(counts.values()) for version, counts in visitors_by_version(rows).items()}
        versions = sorted(visitors, key=lambda version: -visitors[version])
        shares_by_version: dict[int, Mapping[str, float]] = {}
        for version in versions[:MAX_VERSIONS]:
            shares = await self._shares_of(version, campaign_id, current)
            if shares is not None:
                shares_by_version[version] = shares
        return shares_by_version, sorted(set(versions) - set(shares_by_version))

    async def _shares_of(self, version: int, campaign_id: str, current: Ruleset) -> Mapping[str, float] | None:
        key = (version, campaign_id)
        if key not in self._cached_shares:
            try:
                ruleset = current if version == current.version else (await self._rulesets.version(version)).ruleset
            except (NotFound, Unavailable):
                # Statistics without this version are better than none.
                return None
            if len(self._cached_shares) >= MAX_CACHED_SHARES:
                self._cached_shares.clear()
            self._cached_shares[key] = shares_of(ruleset, campaign_id)
        return self._cached_shares[key]


def _whole_hours(from_ms: int | None, to_ms: int | None, as_of_ms: int, hours: Mapping[int, object]) -> tuple[int | None, int]:
    """The hours that a period touches, the end excluded. The first is None if there are no hours and the period has no start."""
    end_hour = -(-as_of_ms // HOUR_MS)
    if hours:
        # The time of an event may be slightly later than its receipt.
        end_hour = max(end_hour, max(hours) + 1)
    if to_ms is not None:
        end_hour = min(end_hour, -(-to_ms // HOUR_MS))
    first_hour = min(hours, default=None) if from_ms is None else from_ms // HOUR_MS
    return first_hour, end_hour if first_hour is None else max(first_hour, end_hour)
