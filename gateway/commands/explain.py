"""`gateway explain`: why a visitor sees a banner. Asks a gateway and prints the answer for people."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.commands.gateway_connection import GatewayConnection, NoGateway
from gateway.commands.secret_key import NoSecretKey
from gateway.graphql_http import GraphQLErrors
from gateway.reports.explanation import explanation_text

_QUERY: Final = """query Explain($placement: ID!, $visitor: ID, $at: DateTime, $decision: ID, $page: PageInput) {
  explain(placement: $placement, userId: $visitor, at: $at, decisionId: $decision, page: $page) {
    decision { placement reason campaignId variant rulesetVersion contextVersion decidedAt validUntil banner { headline } }
    steps { campaignId outcome detail } notes
    evidence { field topic partition offset messageId occurredAt } } }"""


class _InvalidPageField(Exception):
    """A field of the page that is not written as NAME=VALUE."""


@dataclass(frozen=True, slots=True)
class ExplainRequest:
    """What to explain. `at` is RFC 3339; `page` has one NAME=VALUE for each field of PageInput."""

    placement: str
    visitor: str | None
    at: str | None
    decision: str | None
    page: Sequence[str]

    def variables(self) -> dict[str, Any]:
        """The variables of the query. Raises `_InvalidPageField`."""
        page = _page_input(self.page)
        return {"placement": self.placement, "visitor": self.visitor, "at": self.at, "decision": self.decision, "page": page}


def print_explanation(url: str, key: str | None, request: ExplainRequest) -> int:
    """Ask a gateway and print its explanation; returns the exit code: 0, or 1 if there is none."""
    try:
        variables = request.variables()
        explanation = GatewayConnection(url, key).execute(_QUERY, **variables)["explain"]
    except (NoSecretKey, NoGateway, GraphQLErrors, _InvalidPageField) as problem:
        print(f"gateway: {problem}", file=sys.stderr)
        return 1
    print(explanation_text(explanation, request.visitor))
    return 0


def _page_input(assignments: Sequence[str]) -> dict[str, str] | None:
    page = {}
    for assignment in assignments:
        name, equals_sign, value = assignment.partition("=")
        if not equals_sign or not name:
            raise _InvalidPageField(f"--page takes NAME=VALUE, such as type=home, not {assignment!r}")
        page[name] = value
    return page or None
