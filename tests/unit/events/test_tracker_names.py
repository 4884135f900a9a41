"""Names of other trackers' events, and the table of them in the docs."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.model.events.event_kinds import EventType
from gateway.model.events.tracker_names import NAMES, Tracker, event_type_of, names_table

DOCS = Path(__file__).parents[3] / "docs" / "event-names.md"


@pytest.mark.parametrize(
    ("tracker", "name", "ours"),
    [
        (Tracker.SEGMENT, "Product Added", EventType.PRODUCT_ADDED),
        (Tracker.GA4, "purchase", EventType.ORDER_COMPLETED),
        (Tracker.SHOPIFY, "collection_viewed", EventType.PRODUCT_LIST_VIEWED),
        (Tracker.SNOWPLOW, "promo_click", EventType.BANNER_CLICKED),
        (Tracker.SEGMENT, "Product Added to Wishlist", EventType.CUSTOM),
        (Tracker.SHOPIFY, "add_to_cart", EventType.CUSTOM),
    ],
)
def test_a_name_of_another_tracker_has_one_type_here(tracker: Tracker, name: str, ours: EventType) -> None:
    """A name is looked up in its own tracker; without a counterpart the event is CUSTOM."""
    assert event_type_of(tracker, name) is ours


def test_no_name_of_a_tracker_is_listed_more_than_once() -> None:
    """Otherwise the later row would silently win."""
    names = [(tracker, name) for theirs in NAMES.values() for tracker, listed in theirs.items() for name in listed]
    assert len(names) == len(set(names))


def test_every_type_that_track_takes_but_the_banner_s_dismissal_has_counterparts() -> None:
    """A new type of event must be looked up in the other trackers."""
    sent = {
        event_type
        for event_type in EventType
        if event_type not in (EventType.IDENTIFY, EventType.CONSENT, EventType.DELETE, EventType.CUSTOM)
    }
    assert sent - set(NAMES) == {EventType.BANNER_DISMISSED}


def test_the_docs_show_the_table_as_the_code_has_it() -> None:
    """The table in the docs is the code's."""
    assert names_table() in DOCS.read_text(encoding="utf-8")
