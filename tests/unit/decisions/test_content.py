"""The content of a banner: languages, related products by rule, or nothing; and features of rulesets that are refused."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.model.campaign_files.ruleset import load_ruleset
from gateway.model.decisions.decide import Decision, DecisionReason, Inputs, decide
from gateway.model.decisions.explain import explain_decision
from gateway.model.rulesets.ruleset import InvalidRuleset
from gateway.model.trends.snapshot import TrendingProduct, Trends

NOW_MS = 1_790_000_000_000
MANY = f"[{'1, ' * 10_000}]"
HEAD = "version: 1\nplacements: {hero: {fallback: {headline: Hello, locales: {de: {headline: Hallo}}}}}\ncampaigns:\n"
TRENDS = Trends(
    products=tuple(TrendingProduct(f"{category}{n}", category, 10.0 - n) for n in range(1, 4) for category in ("tv", "radio")),
    together={"tv1": ("radio1", "cable"), "tv2": ("stand", "radio1")},
)


def decided(campaign: str, context: Any = None, page: Any = None) -> Decision:
    return decide(
        load_ruleset(f"{HEAD}  - {{id: c, placement: hero, when: 'true', {campaign}}}\n", 1),
        "hero",
        Inputs(context, page, NOW_MS, "v", TRENDS),
    )


def headline(*args: Any, **options: Any) -> str | None:
    banner = decided(*args, **options).banner
    return banner.headline if banner else None


LANGUAGES = "banner: {headline: Sale, locale: en, locales: {de: {headline: Angebot}, de-AT: {headline: Aktion}, pt_BR: {headline: Promo}}}"


@pytest.mark.parametrize(
    ("page", "traits", "expected"),
    [
        (None, None, "Sale"),
        ("de", None, "Angebot"),
        ("de-CH", None, "Angebot"),
        ("de-at", None, "Aktion"),
        ("de_AT_1996", None, "Aktion"),
        ("pt-BR", None, "Promo"),
        ("pt", None, "Sale"),
        ("fr", None, "Sale"),
        (None, "de", "Angebot"),
        ("fr", "de", "Sale"),
        (None, 5, "Sale"),
    ],
)
def test_a_banner_speaks_the_language_of_the_page(page: str | None, traits: Any, expected: str) -> None:
    """Otherwise of the visitor; a language also serves its regions, never the other way round."""
    context = None if traits is None else {"traits": {"locale": traits}}
    assert headline(LANGUAGES, context, None if page is None else {"locale": page}) == expected


@pytest.mark.parametrize(
    ("page", "traits", "consent", "expected"),
    [
        ("de-DE", {"locale": "fr"}, None, "Hallo"),
        ("de-DE", {}, False, "Hallo"),
        (None, {"locale": "de"}, None, "Hallo"),
        (None, {"locale": "de"}, False, "Hello"),
        ("fr", {"locale": "de"}, None, "Hello"),
    ],
)
def test_a_fallback_speaks_the_language_of_the_page_too(page: str | None, traits: Any, consent: bool | None, expected: str) -> None:
    """Otherwise of the visitor, if consent allows it."""
    context = {"traits": traits, "consent": {"personalization": consent}}
    assert headline("banner: {headline: '{last_search}'}", context, {"locale": page}) == expected


@pytest.mark.parametrize(
    ("consent", "reason", "products"),
    [(None, DecisionReason.DEFAULT, ["tv2", "radio2"]), (False, DecisionReason.NO_CONSENT, ["tv1", "radio1"])],
)
def test_a_fallback_shows_no_product_that_the_visitor_has(consent: bool | None, reason: DecisionReason, products: list[str]) -> None:
    """Its texts are the same for everyone; without consent no field is used, and the explanation names those that were."""
    fallback = "headline: '{interested_category|our best}', products: {rule: trending, count: 2}, locales: {de: {headline: Hallo}}"
    rules = load_ruleset(f"version: 1\nplacements: {{hero: {{fallback: {{{fallback}}}}}}}\n", 1)
    context = {
        "interested_category": "tv",
        "cart": [{"product_id": "tv1", "quantity": 1}],
        "purchases": {"products": ["radio1"]},
        "consent": {"personalization": consent},
    }
    story = explain_decision(rules, "hero", Inputs(context, None, NOW_MS, "v", TRENDS))
    banner = story.decision.banner
    assert banner is not None
    assert (story.decision.reason, banner.headline) == (reason, "our best")
    assert [product.product_id for product in banner.products] == products
    assert story.fields == (("consent",) if consent is False else ("cart", "purchases", "traits", "consent"))


def test_what_a_language_leaves_out_stays() -> None:
    """Link and image need no translation."""
    banner = decided("banner: {headline: Sale, link_url: /sale, locales: {de: {headline: Angebot}}}", None, {"locale": "de"}).banner
    assert banner is not None
    assert (banner.headline, banner.link_url, banner.locale) == ("Angebot", "/sale", "de")


@pytest.mark.parametrize(
    ("rule", "context", "expected"),
    [
        ("rule: trending, count: 3", {}, ["tv1", "radio1", "tv2"]),
        ("rule: trending", {}, ["tv1", "radio1", "tv2", "radio2"]),
        ("rule: same_category", {"interested_category": "tv"}, ["tv1", "tv2", "tv3"]),
        ("rule: same_category", {}, []),
        ("rule: last_seen, count: 2", {"recent_products": ["a", "b", "c"]}, ["a", "b"]),
        ("rule: last_seen", {"recent_products": ["a", "b"], "cart": [{"product_id": "a", "quantity": 1}]}, ["b"]),
        ("rule: last_seen", {"recent_products": ["a", "b"], "purchases": {"products": ["b"]}}, ["a"]),
        ("rule: last_seen, exclude: [bought]", {"recent_products": ["a"], "cart": [{"product_id": "a", "quantity": 1}]}, ["a"]),
        ("rule: last_seen, exclude: []", {"recent_products": ["b"], "purchases": {"products": ["b"]}}, ["b"]),
        ("rule: bought_together", {"cart": [{"product_id": "tv1", "quantity": 1}]}, ["radio1", "cable"]),
        ("rule: bought_together", {"recent_products": ["tv2", "tv1"]}, ["stand", "radio1", "cable"]),
        ("rule: bought_together", {}, []),
    ],
)
def test_related_products_follow_their_rule(rule: str, context: Any, expected: list[str]) -> None:
    """Without what is in the cart or bought, unless the rule says otherwise."""
    banner = decided(f"banner: {{headline: h, products: {{{rule}}}}}", context).banner
    assert banner is not None
    assert [product.product_id for product in banner.products] == expected


def test_other_products_make_another_banner() -> None:
    """Equal ids mean equal fields."""
    campaign = "banner: {headline: h, products: {rule: last_seen}}"
    ids = {getattr(decided(campaign, {"recent_products": seen}).banner, "banner_id", None) for seen in (["a"], ["b"], ["a", "b"], [])}
    assert len(ids) == 4


def test_a_campaign_may_leave_the_page_alone() -> None:
    """The page keeps its own content, although the campaign has won."""
    decision = decided("banner: none")
    assert (decision.banner, decision.campaign_id, decision.reason) == (None, "c", DecisionReason.TARGETING_MATCH)


def test_conditions_can_use_trends() -> None:
    """Products and categories, strongest first."""
    context = {"interested_category": "tv"}
    for when, holds in (('trends.categories[0] == "radio"', True), ('"radio9" in trends.products', False)):
        ruleset = load_ruleset(f"{HEAD}  - {{id: c, placement: hero, when: '{when}', banner: {{headline: h}}}}\n", 1)
        assert (decide(ruleset, "hero", Inputs(context, None, NOW_MS, trends=TRENDS)).campaign_id == "c") is holds


@pytest.mark.parametrize(
    ("campaign", "message"),
    [
        ("schedule: {days: []}, banner: {headline: h}", "list at least one day"),
        ("schedule: {days: [monday]}, banner: {headline: h}", "unknown day monday"),
        ("schedule: {hours: '22:00-06:00'}, banner: {headline: h}", "a span within one day"),
        ("schedule: {hours: '25:00-26:00'}, banner: {headline: h}", "a span within one day"),
        ("schedule: {until: 9999-01-01T00:00:00Z}, banner: {headline: h}", "until must lie in the years 1970 to 9998"),
        ("schedule: {from: 2026-01-05T00:00:00Z, until: 2026-01-06T00:00:00Z, days: [wed]}, banner: none", "it never runs"),
        ("schedule: {from: 2026-01-05T10:00:00Z, until: 2026-01-05T11:00:00Z, hours: '12:00-13:00'}, banner: none", "it never runs"),
        (  # the night on which clocks in Berlin go from 02:00 to 03:00
            "schedule: {from: 2026-03-29T00:00:00Z, until: 2026-03-29T09:00:00Z, hours: '02:00-03:00', zone: Europe/Berlin}, banner: none",
            "it never runs",
        ),
        ("schedule: {zone: Berlin}, banner: {headline: h}", "unknown time zone Berlin"),
        ("schedule: {zone: ../etc/passwd}, banner: {headline: h}", "unknown time zone"),
        ("caps: {views: [{max: 0}]}, banner: {headline: h}", "max must be from 1 to 50"),
        ("caps: {views: [{max: 51}]}, banner: {headline: h}", "max must be from 1 to 50"),
        ("caps: {views: [{max: 1, per: 0 days}]}, banner: {headline: h}", "per must be a period"),
        ("caps: {views: [{max: 1, per: 1 month}]}, banner: {headline: h}", "per must be a period"),
        ("caps: {stop_after_dismiss: maybe}, banner: {headline: h}", "must be true or false"),
        ("split: [{variant: a, weight: 0, banner: none}]", "weight must be from 1"),
        ("split: []", "a split has 1 to 50 variants"),
        ("split: [{variant: a, banner: none}, {variant: a, banner: none}]", "duplicate variant a"),
        ("split: [{variant: holdout, banner: none}]", "cannot be named holdout: statistics use this name for"),
        ("split: [{variant: default, banner: none}]", "cannot be named default: statistics use this name for"),
        ("split: [{variant: a, banner: none}], banner: none", "has its banners in the variants of the split"),
        ("priority: 1", "a campaign needs the field 'banner'"),
        ("holdout: 1.5, banner: none", "a share from 0 to 1"),
        ("holdout: 5%, banner: none", "a share from 0 to 1"),
        ("banner: {headline: h, products: {rule: best}}", "rule must be one of"),
        ("banner: {headline: h, products: {rule: trending, exclude: [seen]}}", "exclude may list cart and bought"),
        ("banner: {headline: h, products: {rule: trending, count: 21}}", "count must be from 1 to 20"),
        ("banner: {headline: h, locales: {de: {head: x}}}", "language de has no field 'head'"),
        ("banner: {headline: h, locales: {de: {link_url: 'javascript:x'}}}", "a link must start with"),
        ("banner: none, examples: [{context: {interest: x}, expect: {campaign: c}}]", "context has no field interest"),
        ("banner: none, examples: [{page: {kind: x}, expect: {campaign: c}}]", "page: kind is unknown or not a string"),
        ("banner: none, examples: [{context: {}}]", "an example needs the field 'expect'"),
        (f"banner: none, examples: [{{context: {{traits: {{a: {MANY}}}}}, expect: {{}}}}]", "context must hold at most 10000 values"),
        ('banner: none, examples: [{context: {last_search: "\\ud800"}, expect: {}}]', "context must be JSON"),
        ("banner: none, examples: [{context: [], expect: {}}]", "context must be a mapping"),
        ("banner: none, examples: [{at: 0001-01-01T00:00:00Z, expect: {}}]", "at must lie in the years 1970 to 9998"),
        ("banner: none, examples: [{at: today, expect: {campaign: c}}]", "at must be an RFC 3339 time"),
    ],
)
def test_a_feature_that_makes_no_sense_is_refused(campaign: str, message: str) -> None:
    """With the line and column of the mistake."""
    with pytest.raises(InvalidRuleset) as raised:
        load_ruleset(f"{HEAD}  - {{id: c, placement: hero, when: 'true', {campaign}}}\n", 1)
    assert any(
        message in problem.message and problem.line == 4 and problem.column and problem.campaign_id == "c"
        for problem in raised.value.problems
    ), raised.value
