"""Recorded events: what each row becomes, how times move, and how a mistake is named."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from pathlib import Path

import pytest

from gateway.commands.recorded import MalformedFile, RecordedEvent, inputs_ending_at, parse_events, read_events
from gateway.model.times import parse_time_ms

DATA_FILE = Path(__file__).parents[3] / "examples" / "storefront" / "data" / "rees46-2019-10-01.csv.gz"
HEADER = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
VIEW = "2019-10-01 00:00:00 UTC,view,p1,7,electronics.smartphone,samsung,99.50,u1,s1\n"
CART = "2019-10-01 00:00:02 UTC,cart,p1,7,electronics.smartphone,,99.50,u1,s1\n"
REMOVED = "2019-10-01 00:00:03 UTC,remove_from_cart,p1,7,,,99.50,u1,\n"
PURCHASE = "2019-10-01 00:00:04 UTC,purchase,p1,7,electronics.smartphone,samsung,99.50,u1,s1\n"


def parse(*rows: str) -> list[RecordedEvent]:
    return list(parse_events([HEADER, *rows], "events.csv"))


def test_each_kind_of_row_becomes_its_event_type() -> None:
    """view, cart, remove_from_cart and purchase map to the four event types of the API."""
    assert [event.type for event in parse(VIEW, CART, REMOVED, PURCHASE)] == [
        "PRODUCT_VIEWED",
        "PRODUCT_ADDED",
        "PRODUCT_REMOVED",
        "ORDER_COMPLETED",
    ]


def test_a_view_becomes_the_input_of_track() -> None:
    """Ids, session, sequence, moved time and product are as the API wants them."""
    (found,) = inputs_ending_at(parse(VIEW), 1_800_000_000_123, "run")
    assert found == {
        "messageId": "run-1",
        "type": "PRODUCT_VIEWED",
        "userId": "u1",
        "timestamp": "2027-01-15T08:00:00.123Z",
        "sequence": 1,
        "sessionId": "s1",
        "product": {"productId": "p1", "category": "smartphone", "brand": "samsung", "price": "99.50", "currency": "USD"},
    }


def test_a_purchase_becomes_an_order_of_one_product() -> None:
    """The order id is made of the row, its value is the price of the one product."""
    found = inputs_ending_at(parse(VIEW, PURCHASE), 0, "run")[1]
    assert "product" not in found
    assert found["order"] == {
        "orderId": "order-2",
        "value": "99.50",
        "currency": "USD",
        "products": [{"productId": "p1", "category": "smartphone", "brand": "samsung", "price": "99.50", "currency": "USD", "quantity": 1}],
    }


def test_what_is_empty_in_the_file_is_absent() -> None:
    """No category, brand or session is made up for an empty column."""
    (found,) = inputs_ending_at(parse(REMOVED), 0, "run")
    assert "sessionId" not in found
    assert found["product"] == {"productId": "p1", "price": "99.50", "currency": "USD"}


def test_times_move_together_so_that_the_latest_is_the_end() -> None:
    """Distances between events stay, also when the file is not in order."""
    found = inputs_ending_at(parse(PURCHASE, VIEW, CART), 1_800_000_000_000, "run")
    times = [parse_time_ms(one["timestamp"], "timestamp") - 1_800_000_000_000 for one in found]
    assert times == [0, -4000, -2000]


def test_no_events_give_no_inputs() -> None:
    """A file with a header alone is empty, not wrong."""
    assert inputs_ending_at(parse(), 0, "run") == []


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        (VIEW.replace("view", "look"), "event_type must be one of view, cart, remove_from_cart, purchase, not 'look'"),
        (VIEW.replace("99.50", "abc"), "price must be an amount such as 19.90, not 'abc'"),
        (VIEW.replace("99.50", "-1"), "price must be an amount such as 19.90, not '-1'"),
        (VIEW.replace("99.50", "١٩"), "price must be an amount such as 19.90, not '١٩'"),
        (VIEW.replace(",u1,", ",,"), "user_id is empty"),
        (VIEW.replace(",p1,", ",,"), "product_id is empty"),
        (VIEW.replace(" UTC", ""), "event_time must look like 2019-10-01 00:00:00 UTC, not '2019-10-01 00:00:00'"),
        ("2019-10-01 00:00:00 UTC,view\n", "the row ends before product_id"),
        (VIEW.strip() + ",more\n", "1 column too many"),
        ('"2019-10-01 00:00:00 UTC"x,view\n', "not CSV"),
    ],
)
def test_a_malformed_row_is_named_by_file_line_and_column(row: str, cause: str) -> None:
    """The error begins with file:line and says which column is wrong, and how."""
    with pytest.raises(MalformedFile, match=f"^events.csv:3: {re.escape(cause)}"):
        parse(VIEW, row)


def test_a_header_without_a_needed_column_is_refused() -> None:
    """Another kind of file is told from ours by its first line."""
    with pytest.raises(MalformedFile, match=r"^x:1: the header has no product_id, category_code"):
        list(parse_events(["event_time,event_type\n"], "x"))


def test_plain_and_gzipped_files_give_the_same(tmp_path: Path) -> None:
    """The form is told by the content, not by the name."""
    text = HEADER + VIEW + CART
    plain, packed = tmp_path / "a", tmp_path / "b"
    plain.write_text(text)
    packed.write_bytes(gzip.compress(text.encode()))
    assert read_events(plain) == read_events(packed)
    assert len(read_events(packed, limit=1)) == 1


def test_a_damaged_file_is_an_error_of_its_own(tmp_path: Path) -> None:
    """A gzip file that was cut off, and bytes that are no text, are told with file and line."""
    packed, latin = tmp_path / "cut.gz", tmp_path / "latin.csv"
    packed.write_bytes(gzip.compress((HEADER + VIEW).encode())[:-12])
    latin.write_bytes((HEADER + VIEW).encode() + b"\xff\n")
    with pytest.raises(MalformedFile, match=r"cut.gz:\d: the gzip file is damaged"):
        read_events(packed)
    with pytest.raises(MalformedFile, match=r"latin.csv:\d: not UTF-8"):
        read_events(latin)


def test_the_real_file_is_read_whole() -> None:
    """Counts are those that the data's own README tells."""
    events = read_events(DATA_FILE)
    assert Counter(event.type for event in events) == {"PRODUCT_VIEWED": 4915, "PRODUCT_ADDED": 50, "ORDER_COMPLETED": 54}
    assert len({event.user_id for event in events}) == 1755
    assert [event.row for event in events] == list(range(1, 5020))
