"""`gateway stats`: what came of a campaign, printed to be read.

summer-sale, 2026-01-30T00:00:00.000Z to 2026-01-31T12:00:00.000Z, as of 2026-01-31T11:58:02.120Z

  variant  views  clicks  click rate           visitors  converted  conversion rate      orders  revenue
  a        1204   61      5.07 % (3.8 to 6.7)  803       40         4.98 % (3.7 to 6.7)  43      1290.00 EUR
  holdout  131    2       1.53 % (0.4 to 5.4)  88        3          3.41 % (1.2 to 9.5)  3       99.00 EUR

conversion rate, against holdout
  a  +1.57 points (-6.1 to +9.2)  p = 1.000: no difference shown
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

from gateway.commands.gateway_client import GatewayClient, GatewayRefuses
from gateway.commands.secret_key import NoSecretKey
from gateway.model.statistics.sequential import ALPHA
from gateway.reports.columns import columns, printable

_COMPARISON: Final = "{ control difference pValue interval { low high } }"
_QUERY: Final = f"""query Stats($campaign: ID!, $from: DateTime, $to: DateTime) {{
  campaignStats(campaignId: $campaign, from: $from, to: $to) {{
    asOf from to attributionDays movedVisitors
    sampleRatio {{ pValue mismatch versionsLeftOut variants {{ variant observed expected }} }}
    variants {{ variant views clicks conversions visitors converted clickRate conversionRate revenue {{ amount currency }}
      clickRateInterval {{ low high }} conversionRateInterval {{ low high }}
      comparison {_COMPARISON} clickComparison {_COMPARISON} }} }} }}"""
_HEAD: Final = ["variant", "views", "clicks", "click rate", "visitors", "converted", "conversion rate", "orders", "revenue"]


def stats(url: str, key: str | None, campaign: str, from_time: str | None, to_time: str | None) -> int:
    """Ask a gateway and print the answer; gives the exit code."""
    try:
        found = GatewayClient(url, key).run(_QUERY, **{"campaign": campaign, "from": from_time, "to": to_time})["campaignStats"]
    except (NoSecretKey, GatewayRefuses) as problem:
        print(f"gateway: {problem}", file=sys.stderr)
        return 1
    if found is None:
        print("gateway: statistics were never computed; run: processors campaign-stats --bootstrap …", file=sys.stderr)
        return 1
    print(text_of(campaign, found))
    return 0


def text_of(campaign: str, found: Mapping[str, Any]) -> str:
    """A `CampaignStats` as lines of text."""
    if not found["variants"]:
        lines = [f"{campaign}: nothing counted in this period, as of {found['asOf']}"]
    else:
        lines = [
            f"{campaign}, {found['from']} to {found['to']}, as of {found['asOf']}",
            "",
            *columns([_HEAD, *(_row(one) for one in found["variants"])]),
            *_compared("conversion rate", "comparison", found["variants"]),
            *_compared("click rate", "clickComparison", found["variants"]),
            *_notes(found),
        ]
    return "\n".join(map(printable, lines))


def _row(one: Mapping[str, Any]) -> list[str]:
    revenue = ", ".join(f"{money['amount']} {money['currency']}" for money in one["revenue"]) or "-"
    return [
        one["variant"], str(one["views"]), str(one["clicks"]), _rate(one["clickRate"], one["clickRateInterval"]),
        str(one["visitors"]), str(one["converted"]), _rate(one["conversionRate"], one["conversionRateInterval"]),
        str(one["conversions"]), revenue,
    ]  # fmt: skip


def _rate(rate: float | None, interval: Mapping[str, float] | None) -> str:
    if rate is None:
        return "-"
    return f"{rate:.2%}".replace("%", " %") + (f" ({100 * interval['low']:.1f} to {100 * interval['high']:.1f})" if interval else "")


def _compared(what: str, field: str, variants: list[Mapping[str, Any]]) -> list[str]:
    compared = [(one["variant"], one[field]) for one in variants if one[field] is not None]
    if not compared:
        return []
    return ["", f"{what}, against {compared[0][1]['control']}", *columns([_comparison(name, found) for name, found in compared])]


def _comparison(variant: str, found: Mapping[str, Any]) -> list[str]:
    interval = found["interval"]
    reach = f" ({100 * interval['low']:+.1f} to {100 * interval['high']:+.1f})" if interval else ""
    verdict = "differs" if found["pValue"] < ALPHA else "no difference shown"
    return [variant, f"{100 * found['difference']:+.2f} points{reach}", f"p = {found['pValue']:.3f}: {verdict}"]


def _notes(found: Mapping[str, Any]) -> list[str]:
    ratio = found["sampleRatio"]
    notes = []
    if ratio["mismatch"]:
        split = ", ".join(f"{one['variant']} {one['observed']} (expected {one['expected']:.0f})" for one in ratio["variants"])
        notes.append(f"! visitors are not split as the weights say: {split}; trust no comparison before you know why")
    if ratio["versionsLeftOut"]:
        notes.append(f"! not in the test of the split: versions {', '.join(map(str, ratio['versionsLeftOut']))}")
    if found["movedVisitors"]:
        notes.append(f"{found['movedVisitors']} visitors saw several variants; they count to the first")
    return ["", *notes] if notes else []
