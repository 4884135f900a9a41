"""The shop's pages as HTML. `element` escapes everything that comes from the data or the gateway."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from examples.storefront.banner import live_banner
from examples.storefront.cart import CartLine
from examples.storefront.catalogue import CURRENCY, Product
from examples.storefront.categories import Category
from examples.storefront.links import Choices, Render
from examples.storefront.panel import panel_place
from examples.storefront.proxy import PATH as GATEWAY_PATH
from examples.storefront.start import START
from personalization_gateway import Decision, Html, PageInput, render_configuration
from personalization_gateway.html import Child, document, element, fragment

LANGUAGE: Final = "en"
SHOP_NAME: Final = "Storefront"
MENU_CATEGORIES: Final = 8
_PICTURES: Final = {
    "smartphone": "phone", "telephone": "phone", "tablet": "phone", "headphone": "headphones", "notebook": "laptop",
    "desktop": "laptop", "monitor": "tv", "tv": "tv", "clocks": "watch", "shoes": "shoe", "keds": "shoe", "slipons": "shoe",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Frame:
    """What all pages have in common. `has_panel`: whether the page may show the panel."""

    choices: Choices
    categories: Sequence[Category]
    cart_count: int
    publishable_key: str
    page: PageInput
    has_panel: bool


def home_page(frame: Frame, decision: Decision | None, products: Sequence[Product]) -> str:
    """The homepage with the banner."""
    return _layout(
        frame,
        SHOP_NAME,
        live_banner(decision, frame.choices),
        element("p", {"class": "meter", "data-meter": True, "role": "status"}) if _has_script(frame) else None,
        element("h1", {}, "Popular today"),
        _grid(frame, products),
        _technique_choice(frame),
        element("h2", {}, "All categories"),
        element("ul", {"class": "categories"}, (element("li", {}, _category_link(frame, category)) for category in frame.categories)),
    )


def category_page(frame: Frame, category: Category, products: Sequence[Product], total: int) -> str:
    """The products of one category; `total` includes those that are not listed."""
    count = f"{total} products" if len(products) == total else f"The {len(products)} most popular of {total} products"
    return _layout(frame, category.title, element("h1", {}, category.title), element("p", {}, count), _grid(frame, products))


def product_page(frame: Frame, product: Product) -> str:
    """One product; the script reports that it was viewed."""
    category = product.category
    details = element(
        "div",
        {},
        element("p", {}, _category_link(frame, category)) if category else None,
        element("h1", {}, product.name),
        element("p", {"class": "price"}, _price(product.price)),
        _add_button(frame, product),
    )
    view = element("article", {"class": "product", "data-viewed-product": _event_product(product)}, _product_picture(product), details)
    return _layout(frame, product.name, view)


def cart_page(frame: Frame, lines: Sequence[CartLine]) -> str:
    """The cart, with a button on each line and one to order."""
    if not lines:
        return _layout(frame, "Your cart", element("h1", {}, "Your cart"), element("p", {}, "Your cart is empty."))
    total = sum((line.total for line in lines), Decimal(0))
    return _layout(
        frame,
        "Your cart",
        element("h1", {}, "Your cart"),
        element("ul", {"class": "lines"}, (_cart_line(frame, line) for line in lines)),
        element("p", {"class": "price"}, "Total ", _price(total)),
        _form(frame, "/cart/order", {"data-action": "order"}, {}, "Place the order (nothing is charged)"),
    )


def message_page(frame: Frame, title: str, text: str) -> str:
    """A page with nothing but a message."""
    return _layout(frame, title, element("h1", {}, title), element("p", {}, text))


def _layout(frame: Frame, title: str, *content: Child) -> str:
    full_title = title if title == SHOP_NAME else f"{title} · {SHOP_NAME}"
    return document(
        LANGUAGE,
        element(
            "head",
            {},
            element("meta", {"charset": "utf-8"}),
            element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
            element("title", {}, full_title),
            element("link", {"rel": "icon", "href": "/static/logo.svg", "type": "image/svg+xml"}),
            # An inline script after a stylesheet would block the page until the stylesheet is loaded.
            _scripts(frame) if _has_script(frame) else None,
            element("link", {"rel": "stylesheet", "href": "/static/shop.css"}),
        ),
        element("body", {}, _header(frame), element("main", {}, *content), _footer(), panel_place() if _shows_panel(frame) else None),
    )


def _scripts(frame: Frame) -> Html:
    return fragment(
        render_configuration(GATEWAY_PATH, publishable_key=frame.publishable_key, page=frame.page),
        START,
        element("script", {"type": "module", "src": "/static/panel.js"}) if _shows_panel(frame) else None,
    )


def _has_script(frame: Frame) -> bool:
    return frame.choices.render is not Render.SERVER


def _shows_panel(frame: Frame) -> bool:
    return frame.has_panel and frame.choices.panel and _has_script(frame)


def _header(frame: Frame) -> Html:
    link = frame.choices.link
    return element(
        "header",
        {},
        element("a", {"class": "logo", "href": link("/")}, element("img", {"src": "/static/logo.svg", "alt": ""}), SHOP_NAME),
        element(
            "nav",
            {"aria-label": "Categories"},
            (_category_link(frame, category) for category in frame.categories[:MENU_CATEGORIES]),
        ),
        element(
            "a",
            {"class": "cart", "href": link("/cart")},
            "Cart (",
            element("span", {"data-cart-count": True}, frame.cart_count),
            ")",
        ),
    )


def _footer() -> Html:
    credit = "A demonstration. Products from “eCommerce behavior data from multi category store”, REES46 Marketing Platform."
    return element("footer", {}, credit)


def _technique_choice(frame: Frame) -> Html:
    current = frame.choices
    options = [
        ("Server: in the HTML, without a script", Choices(Render.SERVER, current.panel)),
        ("Client: by a script", Choices(Render.CLIENT, current.panel)),
        ("Hybrid: both", Choices(Render.HYBRID, current.panel)),
    ]
    links = (
        element("a", {"href": choices.link("/"), "aria-current": "true" if choices == current else None}, label)
        for label, choices in options
    )
    panel = element(
        "a", {"href": Choices(current.render, not current.panel).link("/")}, "Hide the panel" if current.panel else "Show the panel"
    )
    return element("p", {"class": "techniques"}, "How the banner is rendered: ", links, panel if frame.has_panel else None)


def _grid(frame: Frame, products: Sequence[Product]) -> Html:
    return element("ul", {"class": "grid"}, (_card(frame, product) for product in products))


def _card(frame: Frame, product: Product) -> Html:
    link = element(
        "a",
        {"href": frame.choices.link(f"/product/{product.product_id}"), "data-clicked-product": _event_product(product)},
        _product_picture(product),
        element("span", {}, product.name),
    )
    return element("li", {}, link, element("p", {"class": "price"}, _price(product.price)), _add_button(frame, product))


def _cart_line(frame: Frame, line: CartLine) -> Html:
    product = line.product
    link = element("a", {"href": frame.choices.link(f"/product/{product.product_id}")}, product.name)
    attributes = {"data-action": "remove", "data-product": _event_product(product)}
    remove = _form(frame, "/cart/remove", attributes, {"product_id": product.product_id}, "Remove")
    return element("li", {}, link, element("span", {}, f"{line.quantity} x {_price(product.price)}"), remove)


def _add_button(frame: Frame, product: Product) -> Html:
    attributes = {"data-action": "add", "data-product": _event_product(product)}
    return _form(frame, "/cart/add", attributes, {"product_id": product.product_id}, "Add to cart")


def _form(frame: Frame, path: str, attributes: Mapping[str, str], fields: Mapping[str, str], label: str) -> Html:
    return element(
        "form",
        {"method": "post", "action": frame.choices.link(path), **attributes},
        fragment(*(element("input", {"type": "hidden", "name": name, "value": value}) for name, value in fields.items())),
        element("button", {"class": "button"}, label),
    )


def _category_link(frame: Frame, category: Category) -> Html:
    return element("a", {"href": frame.choices.link(f"/category/{category.slug}")}, category.title)


def _product_picture(product: Product) -> Html:
    name = _PICTURES.get(product.category.code, "box") if product.category else "box"
    return element("img", {"src": f"/static/{name}.svg", "alt": "", "width": 120, "height": 120, "loading": "lazy"})


def _event_product(product: Product) -> str:
    return json.dumps(product.as_event())


def _price(amount: Decimal) -> str:
    return f"{amount:,.2f} {CURRENCY}"
