"""Templates: placeholders, defaults, and links that stay safe whatever the values are."""

from __future__ import annotations

import re
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.model.rulesets.template import InvalidTemplate, parse_template
from tests.support.strategies import SETTINGS

VALUES = {"interested_category": "smart phones", "last_search": None, "traits": {"plan": "gold", "visits": 3, "vip": True, "none": ""}}


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("Welcome", "Welcome"),
        ("", ""),
        ("Deals on {interested_category}!", "Deals on smart phones!"),
        ("{ interested_category }", "smart phones"),
        ("{traits.plan} for {traits.visits}", "gold for 3"),
        ("{last_search}", None),
        ("{last_search|our best}", "our best"),
        ("{last_search|}", ""),
        ("{traits.vip}", None),
        ("{traits.none|none}", "none"),
        ("{traits.absent}", None),
        ("{interested_category|x}", "smart phones"),
        ("a {{brace}} b", "a {brace} b"),
    ],
)
def test_placeholders_are_filled_from_the_context(text: str, rendered: str | None) -> None:
    """Without data the default is used; without a default the banner is unusable."""
    assert parse_template(text).render(VALUES) == rendered


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("Hello {name}", 6, "unknown placeholder {name}; known placeholders: {interested_category}, {last_search} and {traits.<name>}"),
        ("Hello {", 6, "write '{{' for the character"),
        ("a } b", 2, "write '}}' for the character"),
        ("{}", 0, "unknown placeholder"),
        ("{traits.}", 0, "unknown placeholder"),
        ("{traits.a.b}", 0, "unknown placeholder"),
        ("{user_id}", 0, "unknown placeholder"),
        ("{a{b}}", 0, "single '{'"),
    ],
)
def test_a_wrong_placeholder_is_named_with_its_column(text: str, column: int, message: str) -> None:
    """Counted from 0 within the text."""
    with pytest.raises(InvalidTemplate) as raised:
        parse_template(text)
    assert raised.value.column == column
    assert message in str(raised.value)


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "http:evil",
        "https://",
        "http://{last_search|a}",
        "https://shop.{traits.plan}/x",
        "https://shop{traits.plan}",
        "{last_search}",
        "{last_search|/x}",
        "ftp://x",
        "mailto:a@b",
        "https://shop.example/a b",
        "javascript&colon;x:y",
        "/x\x00",
        "javascript{traits.plan|}:alert(1)",
        "java{traits.plan}:alert(1)",
        "deals{traits.plan}{last_search|}:x/y",
        "/{last_search|}/evil.example",
        "/{last_search|}{traits.none|}/evil.example",
    ],
)
def test_an_unsafe_link_is_refused(link: str) -> None:
    """Other schemes, hosts that a placeholder or a browser's leniency could change."""
    with pytest.raises(InvalidTemplate, match="a link must"):
        parse_template(link, is_link=True)


@pytest.mark.parametrize(
    "link",
    [
        "/",
        "/deals",
        "deals",
        "deals/tv",
        "#top",
        "?q=1",
        "https://shop.example",
        "http://shop.example/a?b=c#d",
        "",
        "/search?q={last_search|x}",
        "https://shop.example/{traits.plan}",
        "https://shop.example?c={traits.plan}",
        "/{traits.plan}",
        "https://[::1]:8080/x",
        "./x",
        "../x",
        "/{traits.plan}/deals",
        "/{last_search|all}/deals",
        "/{last_search|}{traits.plan}/deals",
        "deals-{traits.plan}/a:b",
        "#{traits.plan}:a",
    ],
)
def test_a_safe_link_is_accepted(link: str) -> None:
    """Relative links, and http and https with a complete host."""
    assert parse_template(link, is_link=True).is_link


@SETTINGS
@given(
    st.text(min_size=1),
    st.sampled_from(["/{last_search}", "/s?q={last_search}", "https://shop.example/{last_search}", "deals/{last_search}"]),
)
def test_a_value_never_changes_where_a_link_leads(value: str, link: str) -> None:
    """It is percent-encoded: same scheme, same host, only letters and percent signs."""
    rendered = parse_template(link, is_link=True).render({"last_search": value})
    assert rendered is not None
    start = link.partition("{")[0]
    assert rendered.startswith(start)
    assert urlsplit(rendered).netloc == urlsplit(start).netloc
    assert not set(rendered[len(start) :]) & set("/\\:?#@&<>\"' \n")


signs = ["/", "//", "\\", ":", "?", "#", ".", "@", "%2F", "&", "\t"]
words = ["java", "script", "javascript:", "http:", "https://", "shop.example", "deals"]
placeholders = ["{traits.x}", "{traits.y|}", "{traits.y|script}", "{traits.z|/}"]
traits = st.dictionaries(st.sampled_from("xyz"), st.text() | st.sampled_from(["script", "javascript:", "/", "//", "\\", ":", "\t", "."]))


def leads_to(link: str) -> tuple[str, str]:
    """Scheme and host of a link on https://here.example, as a browser reads it (https://url.spec.whatwg.org/#url-parsing)."""
    read = re.sub("[\t\n\r]", "", link.strip("".join(map(chr, range(33)))))
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", read)
    if scheme is not None and scheme[1].lower() not in ("http", "https"):
        return scheme[1], ""
    read = re.sub(r"^[^?#]*", lambda match: match[0].replace("\\", "/"), read)
    return urlsplit(urljoin("https://here.example/page", read))[:2]


@settings(SETTINGS, max_examples=500)
@given(st.lists(st.sampled_from([*signs, *words, *placeholders]), min_size=1, max_size=6).map("".join), traits)
def test_no_trait_makes_a_link_lead_elsewhere(link: str, values: dict[str, str]) -> None:
    """An accepted link stays on its site, or on the one that its text names; its scheme is http or https."""
    try:
        template = parse_template(link, is_link=True)
    except InvalidTemplate:
        return
    named = re.match("https?://([^/?#]+)", link)
    rendered = template.render({"traits": values})
    assert rendered is None or leads_to(rendered) in {(scheme, named[1] if named else "here.example") for scheme in ("http", "https")}
