"""Rendering: the template of a banner filled in for a visitor, in the language of the page, with related products."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.model.rulesets.ruleset import BannerTemplate, ImageTemplate, ProductRule, ProductSource
from gateway.model.trends.snapshot import Trends

SEEDS: Final = 5
"""`bought_together` finds companions for this many products of the cart; if it is empty, for the most recent products."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image of a banner."""

    url: str
    alt: str
    width: int | None
    height: int | None


@dataclass(frozen=True, slots=True)
class RelatedProduct:
    """A product that is shown with a banner, as far as it is known from events."""

    product_id: str
    category: str | None


@dataclass(frozen=True, slots=True)
class Banner:
    """A banner with its placeholders filled in. `banner_id`: a hash of the other fields, so equal ids mean equal fields."""

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
    """The banner; None: one of its placeholders has neither data nor a default.

    `values`: the context that fills the placeholders. `known`: the context for related products, if it is another one.
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
    """The banner for a language tag (BCP 47). Lookup by RFC 4647, section 3.4: the tag is cut from the right until it matches."""
    if not locale or not template.locales:
        return template
    tag = locale.replace("_", "-").lower()
    while tag:
        if tag in template.locales:
            return template.locales[tag]
        tag = tag.rpartition("-")[0]
    return template


def _image(template: ImageTemplate, values: Mapping[str, Any]) -> Image | None:
    url, alt = template.url.render(values), template.alt.render(values)
    return None if url is None or alt is None else Image(url, alt, template.width, template.height)


def _products(rule: ProductRule, values: Mapping[str, Any], trends: Trends) -> tuple[RelatedProduct, ...]:
    cart = {line["product_id"]: line.get("category") for line in values.get("cart") or ()}
    bought = (values.get("purchases") or {}).get("products") or ()
    excluded = {*(cart if rule.exclude_cart else ()), *(bought if rule.exclude_bought else ())}
    selected: dict[str, None] = {}
    for product_id in _candidates(rule.source, values, trends, list(cart)):
        if product_id not in excluded:
            selected[product_id] = None
            if len(selected) == rule.count:
                break
    return tuple(RelatedProduct(product_id, cart.get(product_id) or trends.category_of.get(product_id)) for product_id in selected)


def _candidates(source: ProductSource, values: Mapping[str, Any], trends: Trends, cart: list[str]) -> Iterable[str]:
    recent: list[str] = values.get("recent_products") or []
    match source:
        case ProductSource.LAST_SEEN:
            return recent
        case ProductSource.TRENDING:
            return [product.product_id for product in trends.products]
        case ProductSource.SAME_CATEGORY:
            return [product.product_id for product in trends.by_category.get(values.get("interested_category") or "", ())]
        case ProductSource.BOUGHT_TOGETHER:
            seeds = (list(reversed(cart)) or recent)[:SEEDS]
            companions = [trends.together.get(seed, ()) for seed in seeds]
            # The strongest companion of each seed first, then the second strongest of each.
            ranks = max((len(product_ids) for product_ids in companions), default=0)
            ranked = (product_ids[rank] for rank in range(ranks) for product_ids in companions if rank < len(product_ids))
            return [product_id for product_id in ranked if product_id not in seeds]
