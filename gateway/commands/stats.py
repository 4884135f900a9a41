"""`gateway stats`: the results of a campaign, printed for people.

summer-sale, 2026-01-30T00:00:00.000Z to 2026-01-31T12:00:00.000Z, as of 2026-01-31T11:58:02.120Z

  variant  views  clicks  click rate           visitors  converted  conversion rate      orders  revenue
  a        1204   61      5.07 % (3.8 to 6.7)  803       40         4.98 % (3.7 to 6.7)  43      1290.00 EUR
  holdout  131    2       1.53 % (0.4 to 5.4)  88        3          3.41 % (1.2 to 9.5)  3       99.00 EUR

conversion rate, compared with holdout
  a  +1.57 points (-6.1 to +9.2)  p = 1.000: no difference shown
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

from gateway.commands.gateway_connection import GatewayConnection, NoGateway
from gateway.commands.secret_key import NoSecretKey
from gateway.graphql_http import GraphQLErrors
from gateway.model.statistics.sequential import ALPHA
from gateway.reports.columns import columns, counted, printable

_COMPARISON: Final = "{ control difference pValue interval { low high } }"
_QUERY: Final = f"""query Stats($campaign: ID!, $from: DateTime, $to: DateTime) {{
  campaignStats(campaignId: $campaign, from: $from, to: $to) {{
    asOf from to attributionDays movedVisitors
    sampleRatio {{ pValue mismatch versionsLeftOut variants {{ variant observed expected }} }}
    variants {{ variant views clicks conversions visitors converted clickRate conversionRate revenue {{ amount currency }}
      clickRateInterval {{ low high }} conversionRateInterval {{ low high }}
      comparison {_COMPARISON} clickComparison {_COMPARISON} }} }} }}"""
_HEADERS: Final = ["variant", "views", "clicks", "click rate", "visitors", "converted", "conversion rate", "orders", "revenue"]


def print_campaign_stats(url: str, key: str | None, campaign: str, from_time: str | None, to_time: str | None) -> int:
    """Ask a gateway and print the results of a campaign; returns the exit code: 0, or 1 if there are none."""
    try:
        gateway = GatewayConnection(url, key)
        stats = gateway.execute(_QUERY, **{"campaign": campaign, "from": from_time, "to": to_time})["campaignStats"]
    except (NoSecretKey, NoGateway, GraphQLErrors) as problem:
        print(f"gateway: {problem}", file=sys.stderr)
        return 1
    if stats is None:
        print("gateway: no statistics have been computed yet; run: processors campaign-stats --bootstrap …", file=sys.stderr)
        return 1
    print(campaign_stats_text(campaign, stats))
    return 0


def campaign_stats_text(campaign: str, stats: Mapping[str, Any]) -> str:
    """A `CampaignStats` as lines of text."""
    if not stats["variants"]:
        lines = [f"{campaign}: nothing was counted in this period, as of {stats['asOf']}"]
    else:
        lines = [
            f"{campaign}, {stats['from']} to {stats['to']}, as of {stats['asOf']}",
            "",
            *columns([_HEADERS, *map(_variant_row, stats["variants"])]),
            *_comparisons("conversion rate", "comparison", stats["variants"]),
            *_comparisons("click rate", "clickComparison", stats["variants"]),
            *_notes(stats),
        ]
    return "\n".join(map(printable, lines))


def _variant_row(variant: Mapping[str, Any]) -> list[str]:
    revenue = ", ".join(f"{money['amount']} {money['currency']}" for money in variant["revenue"]) or "-"
    return [
        variant["variant"], str(variant["views"]), str(variant["clicks"]), _rate(variant["clickRate"], variant["clickRateInterval"]),
        str(variant["visitors"]), str(variant["converted"]), _rate(variant["conversionRate"], variant["conversionRateInterval"]),
        str(variant["conversions"]), revenue,
    ]  # fmt: skip


def _rate(rate: float | None, interval: Mapping[str, float] | None) -> str:
    if rate is None:
        return "-"
    return f"{rate:.2%}".replace("%", " %") + (f" ({100 * interval['low']:.1f} to {100 * interval['high']:.1f})" if interval else "")


def _comparisons(rate_name: str, field: str, variants: list[Mapping[str, Any]]) -> list[str]:
    compared = [(variant["variant"], variant[field]) for variant in variants if variant[field] is not None]
    if not compared:
        return []
    rows = [_comparison_row(name, comparison) for name, comparison in compared]
    return ["", f"{rate_name}, compared with {compared[0][1]['control']}", *columns(rows)]


def _comparison_row(variant: str, comparison: Mapping[str, Any]) -> list[str]:
    interval = comparison["interval"]
    bounds = f" ({100 * interval['low']:+.1f} to {100 * interval['high']:+.1f})" if interval else ""
    verdict = "differs" if comparison["pValue"] < ALPHA else "no difference shown"
    return [variant, f"{100 * comparison['difference']:+.2f} points{bounds}", f"p = {comparison['pValue']:.3f}: {verdict}"]


def _notes(stats: Mapping[str, Any]) -> list[str]:
    ratio = stats["sampleRatio"]
    notes = []
    if ratio["mismatch"]:
        split = ", ".join(f"{share['variant']} {share['observed']} (expected {share['expected']:.0f})" for share in ratio["variants"])
        notes.append(f"! visitors are not split by the weights: {split}; do not trust any comparison until you know the cause")
    if ratio["versionsLeftOut"]:
        notes.append(f"! left out of the test of the split: versions {', '.join(map(str, ratio['versionsLeftOut']))}")
    if stats["movedVisitors"]:
        notes.append(f"{counted(stats['movedVisitors'], 'visitor')} saw more than one variant; each counts for the first one")
    return ["", *notes] if notes else []
