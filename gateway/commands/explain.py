"""`gateway explain`: why a visitor sees what is seen, asked of a gateway and printed to be read."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.commands.gateway_client import GatewayClient, GatewayRefuses
from gateway.commands.secret_key import NoSecretKey
from gateway.reports.explanation import text_of

_QUERY: Final = """query Explain($placement: ID!, $visitor: ID, $at: DateTime, $decision: ID, $page: PageInput) {
  explain(placement: $placement, userId: $visitor, at: $at, decisionId: $decision, page: $page) {
    decision { placement reason campaignId variant rulesetVersion contextVersion decidedAt validUntil banner { headline } }
    steps { campaignId outcome detail } notes
    evidence { field topic partition offset messageId occurredAt } } }"""


class _NoPage(Exception):
    """A field of the page that is not written as NAME=VALUE."""


@dataclass(frozen=True, slots=True)
class Question:
    """What to explain. `page`: NAME=VALUE for fields of PageInput."""

    placement: str
    visitor: str | None
    at: str | None
    decision: str | None
    page: Sequence[str]

    def variables(self) -> dict[str, Any]:
        """The variables of the query. Raises `_NoPage`."""
        return {"placement": self.placement, "visitor": self.visitor, "at": self.at, "decision": self.decision, "page": _page(self.page)}


def explain(url: str, key: str | None, question: Question) -> int:
    """Ask a gateway and print the answer; gives the exit code."""
    try:
        variables = question.variables()
        found = GatewayClient(url, key).run(_QUERY, **variables)["explain"]
    except (NoSecretKey, GatewayRefuses, _NoPage) as problem:
        print(f"gateway: {problem}", file=sys.stderr)
        return 1
    print(text_of(found, question.visitor))
    return 0


def _page(given: Sequence[str]) -> dict[str, str] | None:
    found = {}
    for one in given:
        name, sign, value = one.partition("=")
        if not sign or not name:
            raise _NoPage(f"--page takes NAME=VALUE, such as type=home, not {one!r}")
        found[name] = value
    return found or None
