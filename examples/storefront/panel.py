"""The panel beside the page: what is known of the visitor, what was decided and why. For development only.

It answers for the visitor of the cookie alone: the gateway checks the visitor's token before the secret key is used for
anything. After a login an anonymous token no longer reaches a context, so the panel of a shared browser shows nothing either.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

from examples.storefront.banner import PLACEMENT
from gateway.client import CredentialRefused, GatewayClient, GatewayError, Html, PageInput
from gateway.client.html import element

PATH: Final = "/panel.json"


def panel_place() -> Html:
    """Where the script puts the panel."""
    return element("aside", {"class": "panel", "data-panel": True, "aria-label": "What the gateway knows"}, element("h2", {}, "Live"))


async def panel_data(client: GatewayClient, token: str | None, page: PageInput) -> tuple[int, Mapping[str, object]]:
    """An HTTP status, and the JSON of the visitor's context and of the decision with its reasons."""
    if token is None:
        return 404, {"problem": "there is no visitor yet"}
    try:
        context = await client.user_context(visitor_token=token)
        explained = None if context is None else await client.explain(PLACEMENT, user_id=context.user_id, page=page)
    except CredentialRefused as refused:
        return 403, {"problem": refused.cause}
    except GatewayError as problem:
        return 503, {"problem": problem.cause}
    return 200, {"context": _plain(context), "explanation": _plain(explained)}


def _plain(value: object) -> object:
    """A frozen value of the client as JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
