"""HTML that the snippet adopts without changing it. The contract is at the start of frontend_snippet/README.md.

A decision that was made for a visitor never goes into a page that others may get: `page_is_private` states that the page is
sent with `Cache-Control: private, no-store`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final, Literal

from personalization_gateway.answers import Banner, Decision, Image
from personalization_gateway.html import Html, element, fragment
from personalization_gateway.inputs import PageInput
from personalization_gateway.links import safe_link

_ATTRIBUTE_NAME: Final = re.compile(r"(?!on)[a-z][a-z0-9-]*")
_RESERVED: Final = frozenset(
    {"placement", "aria-live", "dismissible", "style", "data-decision-id", "data-banner-id", "data-campaign-id", "data-variant"}
)
_CLOSE_SIGN: Final = "\N{MULTIPLICATION SIGN}"


class PersonalOnPublicPage(ValueError):
    """Data of one visitor was about to be put into a page that is not private."""


def render_banner(
    decision: Decision | None,
    *,
    placement: str,
    page_is_private: bool,
    fallback_html: str | None = None,
    dismissible: str | None = None,
    attributes: Mapping[str, str] | None = None,
) -> Html:
    """`<live-banner>` with the decision's banner, or with the page's own content if there is none.

    `fallback_html` is that content, written by the page's author: it is not escaped. `dismissible` is the label of a close
    button; `attributes` are further attributes of the element, such as `class`. Raises `PersonalOnPublicPage` for a decision that
    was made for a visitor if the page is not private, and ValueError for a decision of another placement or a script attribute.
    """
    if decision is not None and decision.is_personal and not page_is_private:
        raise PersonalOnPublicPage(
            f"the banner of {placement} was decided for one visitor, but this page may be cached for others: send the page with "
            "'Cache-Control: private, no-store' and pass page_is_private=True, or request the banner with the publishable key"
        )
    if decision is not None and decision.placement != placement:
        raise ValueError(f"this decision is for placement {decision.placement}, not {placement}")
    banner = None if decision is None else decision.banner
    own = Html(fallback_html) if fallback_html is not None else None
    head: dict[str, str | int | bool | None] = {"placement": placement, "aria-live": "polite"}
    if decision is not None:
        head |= {
            "data-decision-id": decision.id,
            "data-banner-id": None if banner is None else banner.id,
            "data-campaign-id": decision.campaign_id,
            "data-variant": decision.variant,
        }
    head |= {"dismissible": dismissible, **_checked(attributes or {})}
    if banner is None:
        return element("live-banner", head, own)
    template = None if own is None else element("template", {}, own)
    return element("live-banner", head, banner_content(banner), _close_button(dismissible), template)


def banner_content(banner: Banner) -> Html:
    """The content of the element: headline, text, link and image, all escaped. Links that are not web links are left out."""
    link = safe_link(banner.link_url)
    headline: Html | str = banner.headline
    if link and not banner.cta_label:
        headline = element("a", {"class": "lb-link", "href": link}, headline)
    return fragment(
        element("h2", {"class": "lb-headline"}, headline),
        element("p", {"class": "lb-body"}, banner.body) if banner.body else None,
        element("a", {"class": "lb-link", "href": link}, banner.cta_label) if link and banner.cta_label else None,
        _image(banner.image) if banner.image else None,
    )


def render_configuration(
    endpoint: str = "/graphql",
    *,
    publishable_key: str = "",
    page: PageInput | None = None,
    token: str | None = None,
    consent: Literal["granted", "pending", "denied"] | None = None,
    transport: Literal["sse", "websocket"] | None = None,
    page_is_private: bool = False,
) -> Html:
    """The `<meta>` element that configures the snippet, for the head of the page.

    `endpoint` is where browsers reach the gateway. `token` is the visitor's, instead of the one in the cookie. Raises
    `PersonalOnPublicPage` for a token in a page that is not private, and ValueError for a key that is not publishable.
    """
    if publishable_key and not publishable_key.startswith("pk_"):
        raise ValueError("only a publishable key (pk_…) is allowed in a page")
    if token is not None and not page_is_private:
        raise PersonalOnPublicPage(
            "a visitor's token may only be in a page that is private to that visitor; otherwise leave it in the cookie"
        )
    return element(
        "meta",
        {
            "name": "live-banner",
            "content": endpoint,
            "data-key": publishable_key or None,
            "data-token": token,
            "data-page": None if page is None else json.dumps(page),
            "data-consent": consent,
            "data-transport": transport,
        },
    )


def _image(image: Image) -> Html | None:
    source = safe_link(image.url)
    if source is None:
        return None
    return element("img", {"class": "lb-image", "src": source, "alt": image.alt, "width": image.width, "height": image.height})


def _close_button(label: str | None) -> Html | None:
    return None if label is None else element("button", {"class": "lb-dismiss", "type": "button", "aria-label": label}, _CLOSE_SIGN)


def _checked(attributes: Mapping[str, str]) -> Mapping[str, str]:
    for name in attributes:
        if not _ATTRIBUTE_NAME.fullmatch(name) or name in _RESERVED:
            raise ValueError(
                f"{name!r} is not allowed as an attribute of <live-banner>: it is a script or a style, or this function sets it"
            )
    return attributes
