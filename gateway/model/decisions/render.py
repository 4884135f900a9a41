"""Rendering: a banner's texts filled in for a visitor, in the language of the page, with related products."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.model.rulesets.ruleset import BannerTemplate, ImageTemplate, ProductRule, ProductSource
from gateway.model.trends.snapshot import Trends

SEEDS: Final = 5
"""Products of the cart, or else seen last, whose companions `bought_together` looks for."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image of a banner."""

    url: str
    alt: str
    width: int | None
    height: int | None


@dataclass(frozen=True, slots=True)
class RelatedProduct:
    """A product beside a banner, as far as the events tell of it."""

    product_id: str
    category: str | None


@dataclass(frozen=True, slots=True)
class Banner:
    """A banner with its texts filled in. `banner_id` is a hash of the rest: equal ids, equal fields."""

    banner_id: str
    headline: str
    body: str | None
    link_url: str | None
    cta_label: str | None
    image: Image | None
    locale: str | None
    data: Any
    products: tuple[RelatedProduct, ...] = ()


def render(
    template: BannerTemplate, values: Mapping[str, Any], trends: Trends, locale: str | None, *, known: Mapping[str, Any] | None = None
) -> Banner | None:
    """The banner, or None when one of its placeholders has neither data nor a default.

    `values` fill the placeholders; related products go by `known`, where that is given.
    """
    template = _in_language(template, locale)
    texts: list[str | None] = []
    for part in (template.headline, template.body, template.link_url, template.cta_label):
        text = part.render(values) if part is not None else None
        if part is not None and text is None:
            return None
        texts.append(text)
    image = None
    if template.image is not None:
        image = _image(template.image, values)
        if image is None:
            return None
    products = _products(template.products, values if known is None else known, trends) if template.products else ()
    headline, body, link_url, cta_label = texts
    parts: list[Any] = [headline, body, link_url, cta_label, [image.url, image.alt, image.width, image.height] if image else None]
    parts += [template.locale, template.data]
    if products:
        parts.append([(product.product_id, product.category) for product in products])
    content = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    banner_id = hashlib.sha256(content.encode(errors="replace")).hexdigest()[:16]
    return Banner(banner_id, headline or "", body, link_url, cta_label, image, template.locale, template.data, products)


def _in_language(template: BannerTemplate, locale: str | None) -> BannerTemplate:
    """The banner for a language tag (BCP 47), looked up as RFC 4647, section 3.4 has it: cut from the right until one fits."""
    if not locale or not template.locales:
        return template
    wanted = locale.replace("_", "-").lower()
    while wanted:
        if wanted in template.locales:
            return template.locales[wanted]
        wanted = wanted.rpartition("-")[0]
    return template


def _image(template: ImageTemplate, values: Mapping[str, Any]) -> Image | None:
    url, alt = template.url.render(values), template.alt.render(values)
    return None if url is None or alt is None else Image(url, alt, template.width, template.height)


def _products(rule: ProductRule, values: Mapping[str, Any], trends: Trends) -> tuple[RelatedProduct, ...]:
    cart = {line["product_id"]: line.get("category") for line in values.get("cart") or ()}
    bought = (values.get("purchases") or {}).get("products") or ()
    excluded = {*(cart if rule.exclude_cart else ()), *(bought if rule.exclude_bought else ())}
    found: dict[str, None] = {}
    for product_id in _candidates(rule.source, values, trends, list(cart)):
        if product_id not in excluded:
            found[product_id] = None
            if len(found) == rule.count:
                break
    return tuple(RelatedProduct(product_id, cart.get(product_id) or trends.category_of.get(product_id)) for product_id in found)


def _candidates(source: ProductSource, values: Mapping[str, Any], trends: Trends, cart: list[str]) -> Iterable[str]:
    seen: list[str] = values.get("recent_products") or []
    match source:
        case ProductSource.LAST_SEEN:
            return seen
        case ProductSource.TRENDING:
            return [product.product_id for product in trends.products]
        case ProductSource.SAME_CATEGORY:
            return [product.product_id for product in trends.by_category.get(values.get("interested_category") or "", ())]
        case ProductSource.BOUGHT_TOGETHER:
            seeds = (list(reversed(cart)) or seen)[:SEEDS]
            companions = [trends.together.get(seed, ()) for seed in seeds]
            # The strongest companion of each seed first, then the second ones.
            deepest = max((len(list(names)) for names in companions), default=0)
            return [names[rank] for rank in range(deepest) for names in companions if rank < len(names) and names[rank] not in seeds]
