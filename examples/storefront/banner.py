"""The banner's place in the page: `<live-banner>`, with what the page script needs to go on from there."""

from __future__ import annotations

from typing import Final

from examples.storefront.gateway_client import Banner, Decision, Image
from examples.storefront.html import Html, element, fragment
from examples.storefront.links import Choices, Render, safe_link

PLACEMENT: Final = "homepage-hero"
DEFAULT_BANNER: Final = Banner(
    headline="Welcome to the storefront",
    body="Thousands of products from well-known brands.",
    link_url="/category/smartphones",
    cta_label="Look around",
    image=Image("/static/hero.svg", "", 480, 320),
)
"""The shop's own content, shown when the gateway gives none."""


def live_banner(decision: Decision | None, choices: Choices) -> Html:
    """The banner in place, or reserved space for it when the page script renders it (`Render.CLIENT`).

    `data-decision-id` names the decision whose content is shown; the `template` keeps the shop's own content for the script.
    """
    in_page = choices.render is not Render.CLIENT
    shown = decision.banner if decision else None
    attributes: dict[str, str | int | bool | None] = {"class": "hero", "placement": PLACEMENT, "aria-live": "polite"}
    if in_page and decision is not None:
        attributes["data-decision-id"] = decision.decision_id
        attributes["data-banner-id"] = shown.content_id if shown else None
    return element(
        "live-banner",
        attributes,
        banner_content(shown or DEFAULT_BANNER, choices) if in_page else None,
        element("template", {}, banner_content(DEFAULT_BANNER, choices)),
    )


def banner_content(banner: Banner, choices: Choices) -> Html:
    """Headline, text, link and image, all escaped; links and images that are neither http(s) nor relative are left out."""
    link = safe_link(banner.link_url)
    text = element(
        "div",
        {"class": "hero-text"},
        element("h2", {}, banner.headline),
        element("p", {}, banner.body) if banner.body else None,
        element("a", {"class": "button", "href": choices.link(link), "data-cta": True}, banner.cta_label or "Have a look")
        if link
        else None,
    )
    return fragment(text, _picture(banner.image) if banner.image else None)


def _picture(image: Image) -> Html | None:
    url = safe_link(image.url)
    if url is None:
        return None
    return element("img", {"src": url, "alt": image.alt, "width": image.width, "height": image.height})
