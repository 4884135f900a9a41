"""HTML, links and the cart cookie of the storefront: what comes from outside cannot become markup, a script or a fault."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.storefront.cart import MAX_LINES, MAX_QUANTITY, Cart, read_cart
from examples.storefront.catalogue import Catalogue, Product
from examples.storefront.links import Choices, Render, read_choices
from personalization_gateway.html import Html, element, fragment
from personalization_gateway.links import safe_link

CATALOGUE = Catalogue(Product(str(number), f"Product {number}", Decimal(number), None, None) for number in range(1, 100))


def test_text_and_attributes_are_escaped() -> None:
    """Texts and attribute values are escaped, whatever they hold."""
    assert element("a", {"href": '"><script>'}, "<b>&") == '<a href="&quot;&gt;&lt;script&gt;">&lt;b&gt;&amp;</a>'


def test_html_is_not_escaped_twice() -> None:
    """Elements inside of elements stay elements."""
    assert fragment(element("p", {}, element("br")), [Html("<hr>"), None, 3]) == "<p><br></p><hr>3"


def test_attributes_can_be_left_out_or_stand_alone() -> None:
    """None and False leave an attribute out, True writes it without a value."""
    assert element("input", {"a": None, "b": False, "c": True, "d": 0}) == '<input c d="0">'


@pytest.mark.parametrize("url", ["/", "/a?b#c", "https://x.example/y", "HTTP://x.example", "?q=1", "#top", "deals", "deals/today", "/a:b"])
def test_safe_links_stay(url: str) -> None:
    """http, https and relative links are kept as they are."""
    assert safe_link(url) == url


@pytest.mark.parametrize(
    "url",
    [
        *("javascript:alert(1)", "JaVaScRiPt:x", " javascript:x", "java\tscript:x", "vbscript:x", "data:text/html,x", "a:b"),
        *("//evil.example", "/\\evil.example", "\\\\evil.example", "https:evil", "https:///x", "ftp://x"),
        *("http://a b", "/a\nb", "", None),
    ],
)
def test_other_links_are_refused(url: str | None) -> None:
    """Whatever could run a script or leave the site unseen is no link."""
    assert safe_link(url) is None


def test_choices_persist_in_links() -> None:
    """A chosen technique goes along to the next page, the default one keeps addresses clean."""
    chosen = read_choices({"render": "client", "panel": ""})
    assert chosen == Choices(Render.CLIENT, panel=True)
    assert chosen.link("/a?b=1#c") == "/a?b=1&render=client&panel=1#c"
    assert chosen.link("https://other.example/") == "https://other.example/"
    assert read_choices({"render": "<script>"}) == Choices()
    assert Choices().link("/a") == "/a"


@given(st.text())
def test_any_cart_cookie_is_read(cookie: str) -> None:
    """Any cookie gives a cart, and what a cart writes is read as the same cart."""
    cart = read_cart(cookie, CATALOGUE)
    assert read_cart(cart.encode(), CATALOGUE) == cart


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 99).map(str)), max_size=300))
def test_cart_stays_within_its_limits(steps: list[tuple[bool, str]]) -> None:
    """Adding and removing keeps lines and quantities within their limits, and the cookie readable."""
    cart = Cart({})
    for adds, product_id in steps:
        cart = cart.with_added(product_id) if adds else cart.without(product_id)
    assert len(cart.quantities) <= MAX_LINES
    assert all(0 < quantity <= MAX_QUANTITY for quantity in cart.quantities.values())
    assert read_cart(cart.encode(), CATALOGUE) == cart


def test_unknown_products_are_left_out_of_the_cart() -> None:
    """A cookie cannot put in what the shop does not sell."""
    assert read_cart("7-2.123456-1.x.8-0.9-1", CATALOGUE).quantities == {"7": 2, "9": 1}
