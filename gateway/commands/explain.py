"""`gateway explain`: why a visitor sees what is seen, printed to be read.

homepage-hero for 12345: interest-deals
  "Exclusive deals on smartphones and accessories!"
  TARGETING_MATCH, ruleset 3, context 17, decided at 2026-01-31T12:00:00.000Z

campaigns, strongest first
  - cart-abundance   CONDITION_FALSE   `size(cart) >= 3` is false; cart = [] (0 items)
  * interest-deals   MATCHED           `interested_category != ""` is true; interested_category = "smartphones"

evidence
  interested_category  user_actions/1@41  2026-01-31T11:59:58.120Z  b7c1…
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.commands.gateway_client import GatewayClient, GatewayRefuses
from gateway.commands.secret_key import NoSecretKey

_SHOWING: Final = ("MATCHED", "HELD_OUT")
_QUERY: Final = """query Explain($placement: ID!, $user: ID, $at: DateTime, $decision: ID, $page: PageInput) {
  explain(placement: $placement, userId: $user, at: $at, decisionId: $decision, page: $page) {
    decision { placement reason campaignId variant rulesetVersion contextVersion decidedAt validUntil banner { headline } }
    steps { campaignId outcome detail } notes
    evidence { field topic partition offset messageId occurredAt } } }"""


class _NoPage(Exception):
    """A field of the page that is not written as NAME=VALUE."""


@dataclass(frozen=True, slots=True)
class Question:
    """What to explain. `page`: NAME=VALUE for fields of PageInput."""

    placement: str
    user: str | None
    at: str | None
    decision: str | None
    page: Sequence[str]

    def variables(self) -> dict[str, Any]:
        """The variables of the query. Raises `_NoPage`."""
        return {"placement": self.placement, "user": self.user, "at": self.at, "decision": self.decision, "page": _page(self.page)}


def explain(url: str, key: str | None, question: Question) -> int:
    """Ask a gateway and print the answer; gives the exit code."""
    try:
        variables = question.variables()
        found = GatewayClient(url, key).run(_QUERY, **variables)["explain"]
    except (NoSecretKey, GatewayRefuses, _NoPage) as problem:
        print(f"gateway: {problem}", file=sys.stderr)
        return 1
    print(text_of(found, question.user))
    return 0


def _page(given: Sequence[str]) -> dict[str, str] | None:
    found = {}
    for one in given:
        name, sign, value = one.partition("=")
        if not sign or not name:
            raise _NoPage(f"--page takes NAME=VALUE, such as type=home, not {one!r}")
        found[name] = value
    return found or None


def text_of(found: Mapping[str, Any], user: str | None) -> str:
    """An `Explanation` as lines of text."""
    decision = found["decision"]
    banner = decision["banner"]
    shown = decision["campaignId"] or "the placement's fallback"
    lines = [
        f"{decision['placement']} for {user or 'nobody in particular'}: {shown}"
        + (f", variant {decision['variant']}" if decision["variant"] else ""),
        f'  "{banner["headline"]}"' if banner else "  no banner: the page keeps its own content",
        f"  {decision['reason']}, ruleset {decision['rulesetVersion']}, context {decision['contextVersion']}, "
        f"decided at {decision['decidedAt']}" + (f", valid until {decision['validUntil']}" if decision["validUntil"] else ""),
        *(f"  ! {note}" for note in found["notes"]),
        "",
        "campaigns, strongest first" if found["steps"] else "no campaign was considered",
        *_table([("* " if s["outcome"] in _SHOWING else "- ") + s["campaignId"], s["outcome"], s["detail"]] for s in found["steps"]),
        "",
        "evidence" if found["evidence"] else "no evidence: no event of this visitor was looked at",
        *_table(
            [e["field"], _place(e), e["occurredAt"] or "-", e["messageId"] or "older events, sealed into totals"] for e in found["evidence"]
        ),
    ]
    return "\n".join(map(_printable, lines))


def _place(evidence: Mapping[str, Any]) -> str:
    return "sealed" if evidence["messageId"] is None else f"{evidence['topic']}/{evidence['partition']}@{evidence['offset']}"


def _table(rows: Any) -> list[str]:
    """Rows in columns; the last one is not padded."""
    listed: list[list[str]] = list(rows)
    widths = [max(map(len, column)) for column in zip(*listed, strict=True)][:-1]
    return ["  " + "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in listed]


def _printable(text: str) -> str:
    """Without what could move the cursor of a terminal: texts of events may hold anything."""
    return "".join(character if character.isprintable() else "�" for character in text)
