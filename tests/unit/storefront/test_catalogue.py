"""The catalogue made of the events file, its names, and the campaigns shipped with it."""

from __future__ import annotations

import csv
import gzip
import re
from typing import Any

import pytest

from examples.storefront.banner import PLACEMENT
from examples.storefront.catalogue import DATA_FILE, Catalogue, load_catalogue
from examples.storefront.categories import category_of, pluralize
from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.decisions.decide import Inputs, decide

CAMPAIGNS = DATA_FILE.parent.parent / "campaigns.yaml"


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("electronics.smartphone", "smartphones"),
        ("electronics.audio.headphone", "headphones"),
        ("electronics.video.tv", "TVs"),
        ("computers.notebook", "notebooks"),
        ("appliances.environment.air_heater", "air heaters"),
        ("x.new_thing", "new things"),
    ],
)
def test_categories_have_readable_plural_names(code: str, name: str) -> None:
    """The last part of a code is shown as a plural, by name or by rule."""
    category = category_of(code)
    assert category is not None
    assert category.name == name


def test_a_product_without_code_has_no_category() -> None:
    """An empty category code is no category."""
    assert category_of("") is None


def test_plurals_by_rule() -> None:
    """Nouns without a name of their own follow the rules of English."""
    assert [pluralize(noun) for noun in ("saw", "dress", "box", "wrench", "battery", "toy")] == [
        "saws", "dresses", "boxes", "wrenches", "batteries", "toys",
    ]  # fmt: skip


def test_every_product_of_the_file_is_in_the_catalogue(catalogue: Catalogue) -> None:
    """All products are there; each category has its own slug and can be found by slug and by name."""
    with gzip.open(DATA_FILE, "rt", encoding="utf-8") as file:
        product_ids = {row["product_id"] for row in csv.DictReader(file)}
    assert len(product_ids) == 2312
    assert all(catalogue.product(product_id) is not None for product_id in product_ids)
    slugs = [category.slug for category in catalogue.categories]
    assert len(set(slugs)) == len(slugs) == 92
    for category in catalogue.categories:
        assert catalogue.category(category.slug) == catalogue.category(category.name) == category
        assert catalogue.products_in(category)


def test_products_are_events_with_the_readable_category(catalogue: Catalogue) -> None:
    """An event carries the plural name and an exact price; a product without category carries none."""
    phone, other = catalogue.product("1004856"), catalogue.product("5100816")
    assert phone is not None
    assert other is not None
    assert phone.as_event() == {
        "productId": "1004856", "name": "Samsung smartphone 1004856", "price": "130.76", "currency": "USD",
        "brand": "Samsung", "category": "smartphones",
    }  # fmt: skip
    assert "category" not in other.as_event()


def line(product_id: str, category: str) -> dict[str, Any]:
    return {"product_id": product_id, "category": category, "quantity": 1, "price": "130.76", "currency": "USD"}


PHONE, CASE, HEADPHONES = line("1", "smartphones"), line("2", "bags"), line("3", "headphones")


@pytest.mark.parametrize(
    ("context", "campaign_id"),
    [
        (None, None),
        ({"interested_category": None, "cart": []}, None),
        ({"interested_category": "smartphones", "cart": [PHONE]}, "interest-deals"),
        ({"interested_category": "smartphones", "cart": [PHONE | {"quantity": 5}]}, "interest-deals"),
        ({"interested_category": "headphones", "cart": [PHONE, HEADPHONES]}, "phone-with-headphones"),
        ({"interested_category": "smartphones", "cart": [PHONE, CASE, HEADPHONES]}, "cart-abundance"),
        ({"interested_category": "smartphones", "cart": [], "purchases": {"count": 1, "totals": {}}}, "returning-buyer"),
        ({"interested_category": "smartphones", "cart": [PHONE], "purchases": {"count": 1, "totals": {}}}, "interest-deals"),
    ],
)
def test_the_shipped_campaigns(context: dict[str, Any] | None, campaign_id: str | None) -> None:
    """The shipped campaigns load, and one phone in the cart gives the deals on smartphones."""
    decision = decide(load_ruleset(CAMPAIGNS.read_text("utf-8"), 1), PLACEMENT, Inputs(context, {"type": "home"}, 0))
    assert decision.campaign_id == campaign_id
    assert decision.banner is not None
    if campaign_id == "interest-deals":
        assert decision.banner.headline == "Exclusive deals on smartphones and accessories!"
        assert decision.banner.link_url == "/category/smartphones"


def test_interest_deals_come_last() -> None:
    """The deals for every visitor with an interest have the lowest priority."""
    campaigns = load_ruleset(CAMPAIGNS.read_text("utf-8"), 1).placements[PLACEMENT].campaigns
    assert campaigns[-1].campaign_id == "interest-deals"
    assert [campaign.priority for campaign in campaigns] == sorted({campaign.priority for campaign in campaigns}, reverse=True)


def test_every_link_and_image_of_a_campaign_is_there(catalogue: Catalogue) -> None:
    """The campaigns' images are files of the shop, their categories exist."""
    text = CAMPAIGNS.read_text("utf-8")
    for name in re.findall(r"/static/([\w.-]+)", text):
        assert (CAMPAIGNS.parent / "static" / name).is_file()
    for slug in re.findall(r'"/category/([\w-]+)"', text):
        assert catalogue.category(slug) is not None
