"""The view: carts, money, interests, banners and consent in a context."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.events.event import Event
from gateway.model.times import format_time_ms
from gateway.model.visitors.context_view import Context, encode_context, view
from gateway.model.visitors.state import State, absorb
from gateway.model.visitors.totals import ADD_WEIGHT, LIST_WEIGHT, ORDER_WEIGHT, VIEW_WEIGHT
from tests.support.strategies import MINUTE_MS, SETTINGS, START_MS, VISITOR, event_at, logged

DAY = 24 * 60


def shown(*events: Event) -> Context:
    return view(absorb(State(VISITOR), logged(events))[0])


def product(product_id: str = "p1", **fields: Any) -> dict[str, Any]:
    return {"product": {"product_id": product_id, **fields}}


def added(minute: float, product_id: str = "p1", received: float | None = None, **fields: Any) -> Event:
    return event_at(minute, "PRODUCT_ADDED", product(product_id, **fields), received=received)


def removed(minute: float, product_id: str = "p1", **fields: Any) -> Event:
    return event_at(minute, "PRODUCT_REMOVED", product(product_id, **fields))


def ordered(minute: float, *lines: dict[str, Any], order_id: str = "o1", received: float | None = None, **fields: Any) -> Event:
    return event_at(minute, "ORDER_COMPLETED", {"order": {"order_id": order_id, "products": list(lines), **fields}}, received=received)


def cart_of(*events: Event) -> list[tuple[str, str | None, int]]:
    return [(line["product_id"], line["variant_id"], line["quantity"]) for line in shown(*events)["cart"]]


def test_nothing_is_known_of_a_visitor_without_events() -> None:
    """The context of an empty state has every field, and all are empty."""
    assert view(State("u1")).items() >= {
        "user_id": "u1", "interested_category": None, "interests": {}, "cart": [], "recent_products": [], "last_search": None,
        "banners": {}, "traits": {},
        "consent": {"personalization": None, "measurement": None}, "anonymous_ids": [], "updated_at": None, "version": 0,
        "positions": {}, "log_epoch": 0,
    }.items()  # fmt: skip
    assert view(State("u1"))["purchases"].items() >= {"count": 0, "totals": {}, "last_at": None}.items()


def test_adding_twice_makes_one_line_with_the_latest_price() -> None:
    """Quantities are added; category and price are the latest that are known."""
    context = shown(added(0, category="tv", price="10.00", currency="EUR"), added(1, quantity=2, price="9.90", currency="EUR"), added(2))
    assert context["cart"] == [
        {"product_id": "p1", "variant_id": None, "category": "tv", "quantity": 4, "price": "9.90", "currency": "EUR"}
    ]


def test_cart_updated_replaces_the_cart() -> None:
    """Earlier lines are dropped, later events add to it."""
    update = event_at(1, "CART_UPDATED", {"products": [{"product_id": "p2", "quantity": 3}]})
    assert cart_of(added(0), update, added(2, "p2")) == [("p2", None, 4)]
    assert cart_of(added(0), event_at(1, "CART_UPDATED", {"products": []})) == []


@pytest.mark.parametrize(
    ("removal", "expected"),
    [
        ({}, []),
        ({"quantity": 1}, [("p1", "red", 2), ("p1", "blue", 1)]),
        ({"quantity": 3}, [("p1", "blue", 1)]),
        ({"quantity": 4}, []),
        ({"quantity": 99}, []),
        ({"variant_id": "red"}, [("p1", "blue", 1)]),
        ({"variant_id": "red", "quantity": 2}, [("p1", "red", 1), ("p1", "blue", 1)]),
        ({"variant_id": "green"}, [("p1", "red", 3), ("p1", "blue", 1)]),
    ],
)
def test_removing_drops_the_line_or_the_quantity(removal: dict[str, Any], expected: list[object]) -> None:
    """Without a quantity the whole line; without a variant any variant."""
    red, blue = added(0, variant_id="red", quantity=3), added(1, variant_id="blue")
    assert cart_of(red, blue, removed(2, **removal)) == expected


def test_an_order_removes_what_was_bought_and_no_more() -> None:
    """Pieces beyond the order, and other products, stay in the cart."""
    line = {"product_id": "p1", "quantity": 2}
    assert cart_of(added(0, quantity=3), added(1, "p2"), ordered(2, line)) == [("p1", None, 1), ("p2", None, 1)]
    assert cart_of(added(0), ordered(1, line), added(2)) == [("p1", None, 1)]


def test_an_order_removes_what_was_received_before_it_even_if_dated_later() -> None:
    """The page's clock is ahead of the shop server's: the piece was in the cart when the order was received."""
    order = ordered(5, {"product_id": "p1", "quantity": 2}, received=5)
    assert cart_of(added(5.5, received=4.9, quantity=3), order) == [("p1", None, 1)]
    assert cart_of(added(5.5, received=5.2, quantity=3), order) == [("p1", None, 3)]


def test_a_cart_snapshot_of_before_the_order_does_not_bring_the_bought_back() -> None:
    """Dated after the order, received before it: its products have been bought in the meantime."""
    snapshot = event_at(5.5, "CART_UPDATED", {"products": [{"product_id": "p1"}, {"product_id": "p2"}]}, received=4.9)
    assert cart_of(added(0), ordered(5, {"product_id": "p1"}), snapshot) == [("p2", None, 1)]


def test_an_order_counts_once_per_order_id() -> None:
    """The page and the shop's server both report it."""
    first = ordered(1, {"product_id": "p1"}, value="9.99", currency="EUR")
    second = event_at(2, "ORDER_COMPLETED", {"order": {"order_id": "o1", "value": "9.99", "currency": "EUR"}})
    context = shown(added(0, quantity=2), first, second)
    last_at = format_time_ms(START_MS + MINUTE_MS)
    assert context["purchases"].items() >= {"count": 1, "totals": {"EUR": "9.99"}, "last_at": last_at}.items()
    assert context["cart"][0]["quantity"] == 1


def test_an_order_without_value_is_worth_its_lines() -> None:
    """Only if every line has a price in the order's currency."""
    lines: list[dict[str, Any]] = [{"product_id": "p1", "price": "0.10", "quantity": 3}, {"product_id": "p2", "price": "0.20"}]
    assert shown(ordered(0, *lines, currency="EUR"))["purchases"]["totals"] == {"EUR": "0.50"}
    assert shown(ordered(0, *lines, {"product_id": "p3"}, currency="EUR"))["purchases"]["totals"] == {}
    assert shown(ordered(0, *lines))["purchases"].items() >= {"count": 1, "totals": {}, "last_at": format_time_ms(START_MS)}.items()


money = st.decimals(0, 10**12, places=6, allow_nan=False, allow_infinity=False)


@SETTINGS
@given(st.lists(st.tuples(st.sampled_from(["ORDER_COMPLETED", "ORDER_REFUNDED"]), money, st.sampled_from(["EUR", "USD"]))))
def test_money_is_summed_exactly_and_never_across_currencies(amounts: list[tuple[str, Decimal, str]]) -> None:
    """Sums equal those of whole millionths."""
    expected: dict[str, int] = {}
    events = []
    for index, (kind, amount, currency) in enumerate(amounts):
        order = {"order_id": f"o{index}", "value": str(amount), "currency": currency}
        events.append(event_at(0, kind, {"order": order}, message_id=f"m{index}"))
        sign = 1 if kind == "ORDER_COMPLETED" else -1
        expected[currency] = expected.get(currency, 0) + sign * int(amount * 10**6)
    totals = shown(*events)["purchases"]["totals"]
    assert {currency: int(Decimal(total) * 10**6) for currency, total in totals.items()} == expected
    assert all("E" not in total and "e" not in total for total in totals.values())


def test_the_largest_orders_are_summed_to_the_last_digit() -> None:
    """Sums beyond 28 digits, where decimals are rounded by default."""
    line = {"product_id": "p1", "price": "999999999999.999999", "quantity": 1_000_000}
    large = [ordered(n, *[line] * 100, order_id=f"o{n}", currency="EUR") for n in range(400)]
    small = ordered(500, order_id="small", value="0.000001", currency="EUR")
    total = shown(*large, small)["purchases"]["totals"]["EUR"]
    assert int(total.replace(".", "")) == 999_999_999_999_999_999 * 10**6 * 100 * 400 + 1


def test_many_small_amounts_do_not_drift() -> None:
    """500 times a tenth of a cent is half a euro."""
    events = [ordered(n, order_id=f"o{n}", value=0.001, currency="EUR") for n in range(500)]
    assert shown(*events)["purchases"]["totals"] == {"EUR": "0.500"}


def test_interests_halve_within_a_day() -> None:
    """Scores are as of the latest event; weights differ by kind."""
    viewed = event_at(0, "PRODUCT_VIEWED", product(category="tv"))
    listed = event_at(0, "PRODUCT_LIST_VIEWED", {"category": "books"})
    late = event_at(DAY, "PRODUCT_ADDED", product(category="phones"))
    context = shown(viewed, listed, late)
    assert context["interests"] == {"phones": ADD_WEIGHT, "tv": VIEW_WEIGHT / 2, "books": LIST_WEIGHT / 2}
    assert list(context["interests"]) == ["phones", "tv", "books"]


def test_buying_weighs_most() -> None:
    """Each line of an order counts for its category."""
    assert shown(ordered(0, {"product_id": "p1", "category": "tv"}))["interests"] == {"tv": ORDER_WEIGHT}


def test_interested_category_is_that_of_the_latest_intent() -> None:
    """By event time, not by arrival; events without a category are ignored."""
    late_arrival = event_at(0, "PRODUCT_ADDED", product(category="tv"), received=9)
    context = shown(event_at(5, "PRODUCT_CLICKED", product(category="phones")), late_arrival, added(6))
    assert context["interested_category"] == "phones"
    assert shown(event_at(0, "PAGE_VIEWED", {"page": {"category": "tv"}}))["interested_category"] is None


def test_events_of_one_millisecond_are_ordered_by_sequence_then_message_id() -> None:
    """So their order of arrival does not matter."""
    second = event_at(0, "PRODUCTS_SEARCHED", {"search": "second"}, message_id="a", sequence=2)
    first = event_at(0, "PRODUCTS_SEARCHED", {"search": "first"}, message_id="b", sequence=1)
    assert shown(second, first)["last_search"] == "second"
    assert shown(first, second)["last_search"] == "second"
    equal = event_at(0, "PRODUCTS_SEARCHED", {"search": "later id"}, message_id="c", sequence=2)
    assert shown(equal, second)["last_search"] == "later id"


def test_recent_products_are_newest_first_each_once_and_bounded() -> None:
    """At most fifty, including those of orders."""
    events = [event_at(n, "PRODUCT_VIEWED", product(f"p{n % 60}"), message_id=f"m{n}") for n in range(80)]
    order = ordered(100, {"product_id": "bought"})
    recent = shown(*events, order)["recent_products"]
    assert recent == ["bought", *(f"p{n % 60}" for n in range(79, 30, -1))]
    assert len(set(recent)) == len(recent) == 50


def test_banners_are_counted_by_campaign() -> None:
    """Views, clicks and dismissals, and when one was last seen."""
    decision = {"decision": {"placement": "top", "campaign_id": "sale"}}
    context = shown(
        event_at(0, "BANNER_VIEWED", decision), event_at(3, "BANNER_VIEWED", decision), event_at(4, "BANNER_CLICKED", decision),
        event_at(5, "BANNER_DISMISSED", decision), event_at(6, "BANNER_VIEWED", {"decision": {"placement": "top"}}),
    )  # fmt: skip
    last = format_time_ms(START_MS + 3 * MINUTE_MS)
    assert list(context["banners"]) == ["sale"]
    assert context["banners"]["sale"].items() >= {"views": 2, "clicks": 1, "dismissals": 1, "last_viewed_at": last}.items()


def test_traits_keep_the_latest_and_drop_what_is_null() -> None:
    """By event time; null deletes a trait."""
    events = [
        event_at(2, "IDENTIFY", {"user_id": VISITOR, "traits": {"plan": "gold", "city": None}}),
        event_at(1, "IDENTIFY", {"user_id": VISITOR, "traits": {"plan": "free", "city": "Rome", "tags": ["a"]}}),
    ]
    assert shown(*events)["traits"] == {"plan": "gold", "tags": ["a"]}


def test_traits_are_bounded() -> None:
    """A caller that sends a new trait each time cannot grow a context forever: the oldest are dropped."""
    events = [event_at(n, "IDENTIFY", {"user_id": VISITOR, "traits": {f"t{n}-{i}": n for i in range(60)}}) for n in range(10)]
    kept = shown(*events)["traits"]
    assert len(kept) == 256
    assert "t9-0" in kept
    assert "t0-0" not in kept


def consent(minute: float, personalization: bool) -> Event:
    return event_at(minute, "CONSENT", {"personalization": personalization})


def test_an_answer_about_personalization_leaves_the_one_about_measurement() -> None:
    """Until the next answer about measurement; statistics count it the same way."""
    refused = event_at(0, "CONSENT", {"personalization": True, "measurement": False})
    silent = consent(1, personalization=True)
    agreed = event_at(2, "CONSENT", {"personalization": False, "measurement": True})
    assert shown(silent)["consent"] == {"personalization": True, "measurement": None}
    assert shown(refused, silent)["consent"] == {"personalization": True, "measurement": False}
    assert shown(refused, silent, agreed)["consent"] == {"personalization": False, "measurement": True}


def test_a_withdrawn_visitor_shows_nothing_but_the_withdrawal() -> None:
    """What was learned during the withdrawal is hidden too."""
    context = shown(added(0, category="tv"), consent(1, personalization=False), added(2, "p2", category="phones"))
    assert context["consent"] == {"personalization": False, "measurement": None}
    assert context["version"] == 3
    empty = view(State(VISITOR))
    same = ("interested_category", "interests", "cart", "recent_products", "last_search", "purchases", "banners", "traits")
    assert {key: context[key] for key in same} == {key: empty[key] for key in same}


@pytest.mark.parametrize(("minutes", "recent"), [(10, ["p3", "p2", "p1"]), (10.01, ["p3"])])
def test_a_withdrawal_longer_than_the_grace_time_forgets(minutes: float, recent: list[str]) -> None:
    """If it is revoked within ten minutes, nothing is forgotten; later, everything from before and during it is."""
    events = [added(0), consent(1, personalization=False), added(1.5, "p2"), consent(1 + minutes, personalization=True)]
    assert shown(*events, added(30, "p3"))["recent_products"] == recent


def test_an_alias_names_its_visitor_and_nothing_else() -> None:
    """The profile is in the context of the known visitor."""
    state, _ = absorb(State(VISITOR), logged([added(0)]))
    alias = State(VISITOR, state.parts, replace(state.positions, log_epoch=3), alias_of="u1")
    assert view(alias) == {"user_id": VISITOR, "alias_of": "u1", "positions": {"user_actions/0": 0}, "log_epoch": 3}


def test_a_context_is_plain_json() -> None:
    """As it is stored in Redis, for other systems to read."""
    context = shown(added(0, "p\N{LATIN SMALL LETTER E WITH ACUTE}", price="1.50", currency="EUR"), ordered(1, value="2", currency="EUR"))
    assert json.loads(encode_context(context)) == context
    assert encode_context(context).decode().count("pé") == 2
