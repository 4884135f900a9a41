"""The names that other trackers use for the events of this project, for shops that send from an existing data layer.

Sources: Segment's e-commerce spec (V2) and page spec; Google Analytics 4, recommended and automatically collected events;
Shopify's web pixels, standard events; Snowplow's `snowplow_ecommerce_action` (values of its `type`), `page_view` and `site_search`.
A name without a counterpart (a wish list, a step of the checkout) is a CUSTOM event, which keeps its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final

from gateway.model.events.event_kinds import EventType


class Tracker(StrEnum):
    """A tracker whose event names are known."""

    SEGMENT = "segment"
    GA4 = "ga4"
    SHOPIFY = "shopify"
    SNOWPLOW = "snowplow"


NAMES: Final[Mapping[EventType, Mapping[Tracker, tuple[str, ...]]]] = {
    EventType.PAGE_VIEWED: {
        Tracker.SEGMENT: ("page",),
        Tracker.GA4: ("page_view",),
        Tracker.SHOPIFY: ("page_viewed",),
        Tracker.SNOWPLOW: ("page_view",),
    },
    EventType.PRODUCTS_SEARCHED: {
        Tracker.SEGMENT: ("Products Searched",),
        Tracker.GA4: ("search", "view_search_results"),
        Tracker.SHOPIFY: ("search_submitted",),
        Tracker.SNOWPLOW: ("site_search",),
    },
    EventType.PRODUCT_LIST_VIEWED: {
        Tracker.SEGMENT: ("Product List Viewed", "Product List Filtered"),
        Tracker.GA4: ("view_item_list",),
        Tracker.SHOPIFY: ("collection_viewed",),
        Tracker.SNOWPLOW: ("list_view",),
    },
    EventType.PRODUCT_CLICKED: {
        Tracker.SEGMENT: ("Product Clicked",),
        Tracker.GA4: ("select_item",),
        Tracker.SNOWPLOW: ("list_click",),
    },
    EventType.PRODUCT_VIEWED: {
        Tracker.SEGMENT: ("Product Viewed",),
        Tracker.GA4: ("view_item",),
        Tracker.SHOPIFY: ("product_viewed",),
        Tracker.SNOWPLOW: ("product_view",),
    },
    EventType.PRODUCT_ADDED: {
        Tracker.SEGMENT: ("Product Added",),
        Tracker.GA4: ("add_to_cart",),
        Tracker.SHOPIFY: ("product_added_to_cart",),
        Tracker.SNOWPLOW: ("add_to_cart",),
    },
    EventType.PRODUCT_REMOVED: {
        Tracker.SEGMENT: ("Product Removed",),
        Tracker.GA4: ("remove_from_cart",),
        Tracker.SHOPIFY: ("product_removed_from_cart",),
        Tracker.SNOWPLOW: ("remove_from_cart",),
    },
    EventType.CART_UPDATED: {
        Tracker.SEGMENT: ("Cart Viewed",),
        Tracker.GA4: ("view_cart",),
        Tracker.SHOPIFY: ("cart_viewed",),
    },
    EventType.CHECKOUT_STARTED: {
        Tracker.SEGMENT: ("Checkout Started",),
        Tracker.GA4: ("begin_checkout",),
        Tracker.SHOPIFY: ("checkout_started",),
    },
    EventType.ORDER_COMPLETED: {
        Tracker.SEGMENT: ("Order Completed",),
        Tracker.GA4: ("purchase",),
        Tracker.SHOPIFY: ("checkout_completed",),
        Tracker.SNOWPLOW: ("transaction",),
    },
    EventType.ORDER_REFUNDED: {
        Tracker.SEGMENT: ("Order Refunded", "Order Cancelled"),
        Tracker.GA4: ("refund",),
        Tracker.SNOWPLOW: ("refund",),
    },
    EventType.BANNER_VIEWED: {
        Tracker.SEGMENT: ("Promotion Viewed",),
        Tracker.GA4: ("view_promotion",),
        Tracker.SNOWPLOW: ("promo_view",),
    },
    EventType.BANNER_CLICKED: {
        Tracker.SEGMENT: ("Promotion Clicked",),
        Tracker.GA4: ("select_promotion",),
        Tracker.SNOWPLOW: ("promo_click",),
    },
}
"""The names in each tracker, by our type. A cart view is CART_UPDATED: it carries the whole cart, which corrects ours."""

_TITLES: Final = {Tracker.SEGMENT: "Segment", Tracker.GA4: "GA4", Tracker.SHOPIFY: "Shopify", Tracker.SNOWPLOW: "Snowplow"}
_TYPE_OF: Final = {
    (tracker, name): event_type for event_type, names_of in NAMES.items() for tracker, names in names_of.items() for name in names
}


def event_type_of(tracker: Tracker, name: str) -> EventType:
    """Our type for another tracker's event; CUSTOM if there is no counterpart. Names are case-sensitive."""
    return _TYPE_OF.get((tracker, name), EventType.CUSTOM)


def names_table() -> str:
    """The table of `docs/event-names.md`, in Markdown."""
    return "\n".join(_rows()) + "\n"


def _rows() -> Iterator[str]:
    yield "| here | " + " | ".join(_TITLES[tracker] for tracker in Tracker) + " |"
    yield "|---|" + "---|" * len(Tracker)
    for event_type, names_of in NAMES.items():
        cells = (", ".join(f"`{name}`" for name in names_of.get(tracker, ())) or "none" for tracker in Tracker)
        yield f"| `{event_type}` | " + " | ".join(cells) + " |"
    yield "| `CUSTOM` | " + " | ".join("all others" for _ in Tracker) + " |"
