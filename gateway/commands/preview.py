"""`gateway rules preview`: a token, and a link, that make a page show a ruleset file that is not published."""

from __future__ import annotations

import argparse
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from gateway.commands.gateway_connection import GatewayConnection
from gateway.commands.rules import load_file, prints_problems

PARAMETER: Final = "gw_preview"
"""The query parameter of a page that holds a preview token."""

_CREATE: Final = """mutation($yaml: String!, $campaign: ID, $at: DateTime, $minutes: Int!) {
  createPreview(yaml: $yaml, campaignId: $campaign, at: $at, expiresInMinutes: $minutes) { token expiresAt } }"""


@prints_problems
def create_preview(options: argparse.Namespace) -> int:
    """Print the token, and the link if a page is given. A file with mistakes is not sent: they are listed instead."""
    ruleset = load_file(options.file)
    gateway = GatewayConnection(options.url, options.key)
    variables = {"yaml": ruleset.yaml, "campaign": options.campaign, "at": options.at, "minutes": options.minutes}
    preview = gateway.execute(_CREATE, **variables)["createPreview"]
    print(f"token  {preview['token']}")
    if options.page_url is not None:
        print(f"link   {preview_link(options.page_url, preview['token'])}")
    print(f"until  {preview['expiresAt']}")
    return 0


def preview_link(page_url: str, token: str) -> str:
    """The address of a page with a preview token; a token that the address already has is replaced."""
    parts = urlsplit(page_url)
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != PARAMETER]
    return urlunsplit(parts._replace(query=urlencode([*query, (PARAMETER, token)])))
