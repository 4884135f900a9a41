"""The panel next to the page: what is known about the visitor, and the decision with its reasons. For development only.

It only answers for the cookie's visitor: the gateway checks the visitor's token before the secret key is used. After a login an
anonymous token has no context any more, so the panel in a shared browser shows nothing either.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

from examples.storefront.banner import PLACEMENT
from personalization_gateway import CredentialRefused, GatewayClient, GatewayError, Html, PageInput
from personalization_gateway.html import element

PATH: Final = "/panel.json"


def panel_place() -> Html:
    """The element in which the script shows the panel."""
    return element("aside", {"class": "panel", "data-panel": True, "aria-label": "What the gateway knows"}, element("h2", {}, "Live"))


async def panel_data(client: GatewayClient, token: str | None, page: PageInput) -> tuple[int, Mapping[str, object]]:
    """An HTTP status, and as JSON the visitor's context and the decision with its reasons."""
    if token is None:
        return 404, {"problem": "there is no visitor yet"}
    try:
        context = await client.user_context(visitor_token=token)
        explanation = None if context is None else await client.explain(PLACEMENT, user_id=context.user_id, page=page)
    except CredentialRefused as refused:
        return 403, {"problem": refused.cause}
    except GatewayError as problem:
        return 503, {"problem": problem.cause}
    return 200, {"context": _json_value(context), "explanation": _json_value(explanation)}


def _json_value(value: object) -> object:
    """A frozen value of the client as JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _json_value(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
