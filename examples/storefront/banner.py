"""The banner in the page: a `<live-banner>`, rendered by the gateway's client and adopted by its snippet."""

from __future__ import annotations

from typing import Final

from examples.storefront.links import Choices, Render
from personalization_gateway import Banner, Decision, Html, Image, render_banner
from personalization_gateway.rendering import banner_content

PLACEMENT: Final = "homepage-hero"
OWN_BANNER: Final = Banner(
    id="own",
    headline="Welcome to the storefront",
    body="Thousands of products from well-known brands.",
    link_url="/category/smartphones",
    cta_label="Look around",
    image=Image("/static/hero.svg", "", 480, 320),
)
"""The shop's own content, shown if the gateway has no banner."""


def live_banner(decision: Decision | None, choices: Choices) -> Html:
    """The banner element. With `Render.CLIENT` it has the shop's own content until the snippet has a decision."""
    return render_banner(
        None if choices.render is Render.CLIENT else decision,
        placement=PLACEMENT,
        page_is_private=True,  # every page of the shop is sent with `Cache-Control: private, no-store`
        fallback_html=banner_content(OWN_BANNER),
        attributes={"class": "hero"},
    )
