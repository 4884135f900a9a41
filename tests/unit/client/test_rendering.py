"""HTML for the snippet: the contract of frontend_snippet/README.md, escaping, and what never goes into a public page."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from personalization_gateway import Banner, Decision, DecisionReason, Html, Image, PersonalOnPublicPage, render_banner, render_configuration

README = Path(__file__).parents[3] / "frontend_snippet" / "README.md"
BANNER = Banner("b1", "Headline", "Body", "/sale", "Label", Image("/sale.webp", "…", 480, 320))
OWN = "<h2>The page's own content</h2>"
PLACEMENT = "homepage-hero"


def decided(
    banner: Banner | None = BANNER, *, personal: bool = True, campaign: str | None = "spring", variant: str | None = "a"
) -> Decision:
    return Decision(
        "d1", PLACEMENT, banner, DecisionReason.SPLIT, campaign, variant, 1, 1, "c", True, datetime.now(UTC), None, personal
    )  # fmt: skip


def rendered(decision: Decision | None, dismissible: str | None = None) -> Html:
    return render_banner(decision, placement=PLACEMENT, page_is_private=True, fallback_html=OWN, dismissible=dismissible)


class Tree(HTMLParser):
    """All elements with their attributes, and all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_html_is_that_of_the_snippets_readme() -> None:
    """The example in the contract is what is rendered, but for white space and the ids."""
    example = README.read_text().split("```html")[2].split("```")[0]
    example = re.sub(r'\s+(data-[\w-]+)="…"', r' \1="…"', re.sub(r">\s+<", "><", example.strip()))
    found = re.sub(r'(data-[\w-]+)="[^"]*"', r'\1="…"', rendered(decided()))
    assert found == example


def test_without_a_banner_the_page_keeps_its_own_content() -> None:
    """A held-out visitor's decision is still named; no decision at all leaves no trace."""
    assert rendered(decided(None, variant=None)) == (
        f'<live-banner placement="{PLACEMENT}" aria-live="polite" data-decision-id="d1" data-campaign-id="spring">{OWN}</live-banner>'
    )
    assert rendered(None) == f'<live-banner placement="{PLACEMENT}" aria-live="polite">{OWN}</live-banner>'
    assert render_banner(None, placement="x", page_is_private=False) == '<live-banner placement="x" aria-live="polite"></live-banner>'


def test_a_link_without_a_label_is_the_headlines() -> None:
    """A link needs no label; a label needs a link."""
    assert '<h2 class="lb-headline"><a class="lb-link" href="/sale">Headline</a></h2>' in rendered(
        decided(Banner("b", "Headline", None, "/sale"))
    )
    assert "<a" not in rendered(decided(Banner("b", "Headline", None, None, "Label")))
    assert "Label" not in rendered(decided(Banner("b", "Headline", None, None, "Label")))


def test_a_close_button_has_the_label_of_the_attribute() -> None:
    """The label is what a screen reader says; the page's own content has no button."""
    found = rendered(decided(), dismissible='Cl"ose')
    assert 'dismissible="Cl&quot;ose"' in found
    assert '<button class="lb-dismiss" type="button" aria-label="Cl&quot;ose">×</button><template>' in found  # noqa: RUF001
    assert "<button" not in rendered(None, dismissible="Close")


def test_a_personal_banner_never_goes_into_a_public_page() -> None:
    """Refused in words that say what to do, even when the decision has no banner; one for nobody may go anywhere."""
    for banner in (BANNER, None):
        with pytest.raises(PersonalOnPublicPage, match=r"private, no-store"):
            render_banner(decided(banner), placement=PLACEMENT, page_is_private=False)
    assert "Headline" in render_banner(decided(personal=False), placement=PLACEMENT, page_is_private=False)


def test_mistakes_of_the_page_are_told() -> None:
    """Another placement's decision, and attributes that would be scripts, styles or the contract's own."""
    with pytest.raises(ValueError, match="homepage-hero, not sidebar"):
        render_banner(decided(), placement="sidebar", page_is_private=True)
    for name in ("onclick", "style", "placement", "data-decision-id", "a b", "x=y", "ONCLICK", ""):
        with pytest.raises(ValueError, match="attribute"):
            render_banner(None, placement="x", page_is_private=True, attributes={name: "1"})
    assert 'class="hero &lt;"' in render_banner(None, placement="x", page_is_private=True, attributes={"class": "hero <"})


TEXTS = st.text() | st.sampled_from(
    ["<script>alert(1)</script>", '"><img src=x onerror=y>', "' onload='x", "javascript:alert(1)", "</template>"]
)
LINKS = (
    st.none()
    | TEXTS
    | st.sampled_from(["data:text/html,x", "//evil.example", "/ok?a=b&c", "https://x.example", "JaVaScRiPt:x", "\tjavascript:x"])
)


@given(TEXTS, st.none() | TEXTS, LINKS, st.none() | TEXTS, LINKS, TEXTS, TEXTS)
def test_nothing_in_a_banner_becomes_markup(
    headline: str, body: str | None, link: str | None, label: str | None, source: str | None, alt: str, name: str
) -> None:
    """Whatever its fields hold, there are the contract's elements and attributes only, and every link is one of the web."""
    image = None if source is None else Image(source, alt)
    decision = Decision(
        name, PLACEMENT, Banner(name, headline, body, link, label, image), DecisionReason.DEFAULT, name, name, 1, 1, "c", True,
        datetime.now(UTC), None, True,
    )  # fmt: skip
    tree = Tree(render_banner(decision, placement=PLACEMENT, page_is_private=True))
    assert {element for element, _ in tree.elements} <= {"live-banner", "h2", "p", "a", "img"}
    assert {attribute for _, attributes in tree.elements for attribute in attributes} <= {
        *("placement", "aria-live", "data-decision-id", "data-banner-id", "data-campaign-id", "data-variant"),
        *("class", "href", "src", "alt"),
    }
    for _, attributes in tree.elements:
        for attribute in ("href", "src"):
            value = attributes.get(attribute)
            assert value is None or not re.match(r"\s*(?!https?:)[a-z][a-z0-9+.-]*:|\s*//", value, re.IGNORECASE)
    assert tree.elements[0][1]["data-decision-id"] == name


def test_templates_do_not_escape_it_again() -> None:
    """Whatever knows `__html__` (Jinja, Django) takes it as HTML."""
    assert rendered(None).__html__() == rendered(None)


def test_the_configuration_names_the_gateway() -> None:
    """Endpoint, key and page stand in one tag, escaped; what is not said is left out."""
    found = render_configuration("/gw/graphql", publishable_key="pk_1", page={"type": 'a"<'}, consent="pending", transport="websocket")
    [(element, attributes)] = Tree(found).elements
    assert element == "meta"
    assert attributes == {
        "name": "live-banner", "content": "/gw/graphql", "data-key": "pk_1", "data-page": json.dumps({"type": 'a"<'}),
        "data-consent": "pending", "data-transport": "websocket",
    }  # fmt: skip
    assert render_configuration() == '<meta name="live-banner" content="/graphql">'


def test_no_secret_goes_into_a_page() -> None:
    """A secret key never, a visitor's token into a private page only."""
    with pytest.raises(ValueError, match="publishable"):
        render_configuration(publishable_key="sk_1")
    with pytest.raises(PersonalOnPublicPage):
        render_configuration(token="t")
    assert 'data-token="t"' in render_configuration(token="t", page_is_private=True)
