"""The report of a dry run as text for people.

1755 visitors: 412 of 1755 decisions change (23.5 %)

homepage-hero: 412 of 1755 change
  campaign         now   then  share   held out  capped  not scheduled  failed
  spring             0    412  23.5 %         0       0              0       0
  interest-deals  1203    791  45.1 %         0       0              0       0

  412  interest-deals -> spring
       3f2a90c1d7e84b55  "Exclusive deals on tv and accessories!" -> "Spring is here"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.model.times import format_time_ms
from gateway.reports.columns import columns, counted, printable


def dry_run_text(report: Mapping[str, Any], notes: Sequence[str] = ()) -> str:
    """The JSON of a report as lines of text. Held out, capped, not scheduled and failed are counts of the new ruleset."""
    total, changed = report["decisions"], report["changed"]
    lines = [f"{counted(report['visitors'], 'visitor')}: {changed} of {total} decisions change{_share(changed, total, ' ({})')}"]
    lines += [f"! {note}" for note in notes]
    for placement, counts in report["placements"].items():
        lines += ["", f"{placement}: {counts['changed']} of {counts['decisions']} change"]
        lines += [*_campaign_lines(counts), *_change_lines(counts["changes"])]
    return "\n".join(map(printable, lines))


def _campaign_lines(counts: Mapping[str, Any]) -> list[str]:
    rows = [["campaign", "now", "then", "share", "held out", "capped", "not scheduled", "failed"]]
    for name, sides in counts["campaigns"].items():
        then = sides["then"]
        share = _share(then["shown"], counts["decisions"], "{}")
        not_shown = [str(then[outcome]) for outcome in ("held_out", "capped", "not_scheduled", "failed")]
        rows.append([name, str(sides["now"]["shown"]), str(then["shown"]), share, *not_shown])
    return columns(rows, numbers=True)


def _change_lines(changes: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [""] if changes else []
    for change in changes:
        note = " (another variant or banner)" if change["now"] == change["then"] else ""
        lines.append(f"  {change['count']}  {change['now']} -> {change['then']}{note}")
        for example in change["examples"]:
            at = f"{format_time_ms(example['at_ms'])}  " if example["at_ms"] is not None else ""
            lines.append(f"    {example['visitor']}  {at}{_quoted(example['now'])} -> {_quoted(example['then'])}")
    return lines


def _quoted(headline: str | None) -> str:
    return "no banner" if headline is None else f'"{headline}"'


def _share(count: int, total: int, form: str) -> str:
    return form.format(f"{100 * count / total:.1f} %") if total else ""
