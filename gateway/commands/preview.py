"""`gateway rules preview`: a token, and a link, with which a page shows a ruleset file that is not published."""

from __future__ import annotations

import argparse
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from gateway.commands.gateway_client import GatewayClient
from gateway.commands.rules import load_file, says_why

PARAMETER: Final = "gw_preview"
"""The query parameter of a page that holds a preview token."""

_CREATE: Final = """mutation($yaml: String!, $campaign: ID, $at: DateTime, $minutes: Int!) {
  createPreview(yaml: $yaml, campaignId: $campaign, at: $at, expiresInMinutes: $minutes) { token expiresAt } }"""


@says_why
def preview(options: argparse.Namespace) -> int:
    """Print the token, and the link where a page is named. Every mistake of the file is named first, nothing is sent then."""
    ruleset = load_file(options.file)
    client = GatewayClient(options.url, options.key)
    made = client.run(_CREATE, yaml=ruleset.yaml, campaign=options.campaign, at=options.at, minutes=options.minutes)["createPreview"]
    print(f"token  {made['token']}")
    if options.page_url is not None:
        print(f"link   {link_of(options.page_url, made['token'])}")
    print(f"until  {made['expiresAt']}")
    return 0


def link_of(page_url: str, token: str) -> str:
    """The address of a page with a preview token; one that it has already is replaced."""
    parts = urlsplit(page_url)
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != PARAMETER]
    return urlunsplit(parts._replace(query=urlencode([*query, (PARAMETER, token)])))
