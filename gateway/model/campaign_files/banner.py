"""Reading banners from YAML: templates, links, images, languages, custom data and related products."""

from __future__ import annotations

from dataclasses import replace

import yaml

from gateway.model.campaign_files.file_fields import (
    BANNER,
    DEFAULT_PRODUCTS,
    EXCLUDABLE,
    IMAGE,
    MAX_PIXELS,
    MAX_PRODUCTS,
    PRODUCTS,
    TRANSLATION,
)
from gateway.model.campaign_files.reader import YamlReader
from gateway.model.rulesets.ruleset import BannerTemplate, ImageTemplate, ProductRule, ProductSource
from gateway.model.rulesets.template import InvalidTemplate, Template, parse_template


class BannerReader:
    """Reads banners. `reader` collects the problems."""

    def __init__(self, reader: YamlReader) -> None:
        self._reader = reader

    def banner(self, node: yaml.Node) -> BannerTemplate | None:
        """A banner with its other languages; None: it has no valid headline."""
        fields = self._reader.fields(node, BANNER, "a banner")
        headline = self.template(fields.get("headline"), "headline")
        banner = BannerTemplate(
            headline=headline or Template(("",)),
            body=self.template(fields.get("body"), "body"),
            link_url=self.template(fields.get("link_url"), "link_url", is_link=True),
            cta_label=self.template(fields.get("cta_label"), "cta_label"),
            image=self._image(fields.get("image")),
            locale=self._reader.scalar(fields.get("locale"), str, "locale"),
            data=self._reader.json(fields.get("data"), "data"),
            products=self._products(fields.get("products")),
        )
        locales = {}
        for key, value in self._reader.entries(fields.get("locales"), "locales"):
            locales[key.value.replace("_", "-").lower()] = self._in_language(banner, key.value, value)
        return replace(banner, locales=locales) if headline is not None else None

    def templates(self, banner: BannerTemplate) -> list[Template]:
        """Every template of a banner, without those of its other languages."""
        image = [banner.image.url, banner.image.alt] if banner.image else []
        return [t for t in (banner.headline, banner.body, banner.link_url, banner.cta_label, *image) if t is not None]

    def _in_language(self, banner: BannerTemplate, locale: str, node: yaml.Node) -> BannerTemplate:
        """The banner in another language; fields that the language leaves out stay the same."""
        fields = self._reader.fields(node, TRANSLATION, f"language {locale}")
        return replace(
            banner,
            headline=self.template(fields.get("headline"), "headline") or banner.headline,
            body=self.template(fields.get("body"), "body") or banner.body,
            link_url=self.template(fields.get("link_url"), "link_url", is_link=True) or banner.link_url,
            cta_label=self.template(fields.get("cta_label"), "cta_label") or banner.cta_label,
            image=self._image(fields.get("image")) or banner.image,
            locale=locale,
        )

    def template(self, node: yaml.Node | None, name: str, *, is_link: bool = False) -> Template | None:
        """A template; None when absent or wrong."""
        text = self._reader.scalar(node, str, name)
        if text is None:
            return None
        try:
            return parse_template(text, is_link=is_link)
        except InvalidTemplate as problem:
            self._reader.problem(f"{name}: {problem}", node, problem.column)
            return None

    def _image(self, node: yaml.Node | None) -> ImageTemplate | None:
        if node is None:
            return None
        parts = self._reader.fields(node, IMAGE, "image")
        url, alt = self.template(parts.get("url"), "url", is_link=True), self.template(parts.get("alt"), "alt")
        width = self._reader.integer(parts.get("width"), "width", 1, MAX_PIXELS)
        height = self._reader.integer(parts.get("height"), "height", 1, MAX_PIXELS)
        return ImageTemplate(url, alt, width, height) if url is not None and alt is not None else None

    def _products(self, node: yaml.Node | None) -> ProductRule | None:
        if node is None:
            return None
        fields = self._reader.fields(node, PRODUCTS, "products")
        rule = self._reader.scalar(fields.get("rule"), str, "rule")
        if rule is not None and rule not in tuple(ProductSource):
            self._reader.problem(f"rule must be one of {', '.join(ProductSource)}", fields["rule"])
            rule = None
        excluded = set(EXCLUDABLE)
        if "exclude" in fields:
            excluded = set()
            for item in self._reader.items(fields["exclude"], "exclude"):
                name = self._reader.scalar(item, str, "exclude")
                if name is not None and name not in EXCLUDABLE:
                    self._reader.problem(f"exclude may list {' and '.join(EXCLUDABLE)}", item)
                excluded.add(name)
        count = self._reader.integer(fields.get("count"), "count", 1, MAX_PRODUCTS) or DEFAULT_PRODUCTS
        return None if rule is None else ProductRule(ProductSource(rule), count, "cart" in excluded, "bought" in excluded)
