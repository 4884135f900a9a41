"""The checks of events: the processors accept what the gateway accepts, and a refusal names the field and the remedy."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.kafka.records import record_of
from gateway.model.events.contribution import Position
from gateway.model.events.event import AHEAD_LIMIT_MS, LATE_WINDOW_MS, Event, check_record, corrected_time_ms
from gateway.model.events.event_kinds import EventType, topic_of
from gateway.model.events.fields import InvalidEvent
from gateway.model.events.topics import Topic
from gateway.model.times import InvalidTime, format_time_ms, parse_time_ms
from gateway.model.visitors.context_view import encode_context, view
from gateway.model.visitors.state import State, Update, absorb
from gateway.model.visitors.state_codec import decode_state, encode_state
from processors.context.reshape import MAX_HEADERS_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES
from processors.context.writer import parse_update
from tests.support.strategies import DAY_MS, MINUTE_MS, SETTINGS, START_MS, events, payloads, wild_values

Record = dict[str, Any]


def record(type_name: str = "PRODUCT_VIEWED", payload: Any = None, **fields: Any) -> Record:
    if payload is None and type_name == "PRODUCT_VIEWED":
        payload = {"product": {"product_id": "p1"}}
    base = {"message_id": "m1", "type": type_name, "visitor_id": "u1", "event_time_ms": START_MS, "received_at_ms": START_MS}
    return {**base, "payload": payload, **fields}


def product(**fields: Any) -> Record:
    return record(payload={"product": {"product_id": "p1", **fields}})


def order(**fields: Any) -> Record:
    return record("ORDER_COMPLETED", {"order": {"order_id": "o1", "currency": "EUR", **fields}})


def decision(**fields: Any) -> Record:
    return record("BANNER_VIEWED", {"decision": {"placement": "top", **fields}})


def page(**fields: Any) -> Record:
    return record("PAGE_VIEWED", {"page": fields})


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def refusal(value: object) -> InvalidEvent:
    with pytest.raises(InvalidEvent) as raised:
        check_record(value)
    return raised.value


STRING = "must be a string"
INTEGER = "must be an integer from"
AMOUNT = "must be an amount such as 19.90"

WRONG: list[tuple[str, Record, str]] = [
    ("message_id", record(message_id=None), "is required"),
    ("message_id", record(message_id=""), "must have 1 to 128 characters, it has 0"),
    ("message_id", record(message_id="x" * 129), "must have 1 to 128 characters, it has 129"),
    ("message_id", record(message_id=7), STRING),
    ("message_id", record(message_id="a\ud800"), "lone surrogates"),
    ("message_id", record(message_id="a\x00b"), "control characters"),
    ("type", record("LOGIN"), "must be one of PAGE_VIEWED"),
    ("type", record("page_viewed"), "must be one of"),
    ("type", record(type=["PAGE_VIEWED"]), "must be one of"),
    ("visitor_id", record(visitor_id=None), "is required"),
    ("visitor_id", record(visitor_id="x" * 129), "must have 1 to 128"),
    ("visitor_id", record(visitor_id="u\x1b[2J"), "control characters"),
    ("session_id", record(session_id="x" * 129), "must have 1 to 128"),
    ("session_id", record(session_id={}), STRING),
    ("event_time_ms", record(event_time_ms=None), "is required"),
    ("event_time_ms", record(event_time_ms="yesterday"), INTEGER),
    ("event_time_ms", record(event_time_ms=-1), INTEGER),
    ("event_time_ms", record(event_time_ms=1.5), INTEGER),
    ("event_time_ms", record(event_time_ms=253_402_300_800_000, received_at_ms=253_402_300_799_999), INTEGER),
    ("received_at_ms", record(received_at_ms=None), "is required"),
    ("received_at_ms", record(received_at_ms=2**53, event_time_ms=2**53), INTEGER),
    ("sequence", record(sequence=-1), INTEGER),
    ("sequence", record(sequence=2**53 + 1), INTEGER),
    ("sequence", record(sequence=True), INTEGER),
    ("sequence", record(sequence=float("nan")), INTEGER),
    ("sequence", record(sequence=10**5000), INTEGER),
    ("sequence", record(sequence="12x"), INTEGER),
    ("timestamp", record(event_time_ms=START_MS + AHEAD_LIMIT_MS + 1), "correct the clock with serverTime, or send sentAt"),
    ("timestamp", record(event_time_ms=START_MS - LATE_WINDOW_MS - 1), "at most 7 days are accepted"),
    ("payload", record(payload=[]), "must be an object"),
    ("payload", record(payload="{}"), "must be an object"),
    ("colour", record("PAGE_VIEWED", {"colour": "red"}), "is not a field of this event"),
    ("product.colour", product(colour="red"), "is not a field of this event"),
    ("product", record(payload={}), "is required"),
    ("product", record(payload={"product": None}), "is required"),
    ("product", record(payload={"product": "p1"}), "must be an object"),
    ("product.product_id", record(payload={"product": {"product_id": None}}), "is required"),
    ("product.product_id", record(payload={"product": {}}), "is required"),
    ("product.product_id", product(product_id=12), STRING),
    ("product.product_id", product(product_id="x" * 129), "1 to 128"),
    ("product.variant_id", product(variant_id="x" * 129), "1 to 128"),
    ("product.sku", product(sku="x" * 129), "1 to 128"),
    ("product.category", product(category="x" * 129), "1 to 128"),
    ("product.category", product(category=""), "1 to 128"),
    ("product.brand", product(brand="x" * 129), "1 to 128"),
    ("product.name", product(name="x" * 257), "1 to 256"),
    ("product.url", product(url="x" * 2049), "1 to 2048"),
    ("product.image_url", product(image_url="x" * 2049), "1 to 2048"),
    ("product.list_id", product(list_id="x" * 129), "1 to 128"),
    ("product.position", product(position=-1), INTEGER),
    ("product.quantity", product(quantity=0), "must be an integer from 1 to 1000000"),
    ("product.quantity", product(quantity=1_000_001), INTEGER),
    ("product.quantity", product(quantity=1.5), INTEGER),
    ("product.currency", product(currency="eur"), "ISO 4217"),
    ("product.currency", product(currency="EURO"), "ISO 4217"),
    ("product.currency", product(currency=978), "ISO 4217"),
    ("products", record("CART_UPDATED", {}), "is required"),
    ("products", record("CART_UPDATED", {"products": {}}), "must be a list"),
    ("products", record("CART_UPDATED", {"products": [{"product_id": "p"}] * 101}), "at most 100 products, it holds 101"),
    ("products[1]", record("CART_UPDATED", {"products": [{"product_id": "p"}, None]}), "must be a product"),
    ("products[0].price", record("CART_UPDATED", {"products": [{"product_id": "p", "price": "abc"}]}), AMOUNT),
    ("search", record("PRODUCTS_SEARCHED", {}), "is required"),
    ("search", record("PRODUCTS_SEARCHED", {"search": "x" * 257}), "1 to 256"),
    ("name", record("CUSTOM", {}), "is required"),
    ("order", record("ORDER_COMPLETED", {}), "is required"),
    ("order.order_id", record("ORDER_COMPLETED", {"order": {}}), "is required"),
    ("order.currency", record("ORDER_COMPLETED", {"order": {"order_id": "o1", "value": 1}}), "page.currency"),
    ("order.value", order(value=-1), AMOUNT),
    ("order.products[0].product_id", order(products=[{"sku": "x"}]), "is required"),
    ("decision", record("BANNER_CLICKED", {}), "is required"),
    ("decision.placement", record("BANNER_VIEWED", {"decision": {}}), "is required"),
    ("decision.ruleset_version", decision(ruleset_version=-1), INTEGER),
    ("decision.id", decision(id="x" * 2049), "1 to 2048"),
    ("page.url", page(url="x" * 2049), "1 to 2048"),
    ("page.title", page(title="x" * 513), "1 to 512"),
    ("page.locale", page(locale="x" * 36), "1 to 35"),
    ("page.type", page(type="x" * 65), "1 to 64"),
    ("properties", record("CUSTOM", {"name": "n", "properties": {"x": "y" * 4096}}), "at most 4096 bytes of JSON"),
    ("properties", record("CUSTOM", {"name": "n", "properties": nested(8)}), "at most 8 levels"),
    ("properties", record("CUSTOM", {"name": "n", "properties": nested(5000)}), "at most 8 levels"),
    ("properties", record("CUSTOM", {"name": "n", "properties": {"x": float("inf")}}), "must be JSON"),
    ("properties", record("CUSTOM", {"name": "n", "properties": {"x": "\udfff"}}), "must be JSON"),
    ("properties", record("CUSTOM", {"name": "n", "properties": {"x": 2**63}}), "beyond 64 bits; send those as strings"),
    ("traits", record("IDENTIFY", {"user_id": "u1", "traits": {"": 1}}), "keys of 1 to 64 characters"),
    ("traits", record("IDENTIFY", {"user_id": "u1", "traits": {f"t{n}": n for n in range(65)}}), "at most 64 keys"),
    ("traits", record("IDENTIFY", {"user_id": "u1", "traits": ["plan"]}), "must be an object"),
    ("traits", record("IDENTIFY", {"user_id": "u1", "traits": {"x": 10**30}}), "beyond 64 bits"),
    ("user_id", record("IDENTIFY", {}), "is required"),
    ("user_id", record("IDENTIFY", {"user_id": "anon_1"}), "must be a known visitor"),
    ("visitor_id", record("IDENTIFY", {"user_id": "u2"}), "a known visitor joins no other"),
    ("personalization", record("CONSENT", {}), "is required"),
    ("personalization", record("CONSENT", {"personalization": "yes"}), "must be true or false"),
    ("measurement", record("CONSENT", {"personalization": True, "measurement": 1}), "must be true or false"),
    ("product", record("CONSENT", {"personalization": True, "product": {"product_id": "p"}}), "is not a field"),
    ("reason", record("DELETE", {"reason": "gdpr"}), "is not a field"),
]


@pytest.mark.parametrize(("field", "wrong", "remedy"), WRONG, ids=[f"{n}-{row[0]}" for n, row in enumerate(WRONG)])
def test_a_wrong_value_is_refused_with_its_field_and_remedy(field: str, wrong: Record, remedy: str) -> None:
    """Every limit of every field: the message names the field and what would be accepted."""
    problem = refusal(wrong)
    assert problem.field == field
    assert remedy in problem.message
    assert len(problem.message) < 500
    assert problem.message.encode()


NO_AMOUNTS = ["abc", "", "NaN", "sNaN", "Infinity", float("nan"), float("inf"), -1, "-0.01", "19,90", "1_000",
              "١٩", " 19.90", "19.90 ", "1e400", 10**13, 10**5000, "9" * 5000, "0e-999999", 0.1 + 0.2, "1.0000001",
              True, [], {}, ["19.90"], "0x10", "1000000000000.01"]  # fmt: skip


@pytest.mark.parametrize("price", NO_AMOUNTS, ids=range(len(NO_AMOUNTS)))
def test_an_invalid_amount_is_refused(price: Any) -> None:
    """It is neither rounded nor guessed, and the check is never slow."""
    problem = refusal(product(price=price, currency="EUR"))
    assert (problem.code, problem.field) == ("INVALID_VALUE", "product.price")
    assert AMOUNT in problem.message


@pytest.mark.parametrize(
    ("price", "kept"),
    [("19.90", "19.90"), (19.9, "19.9"), (0, "0"), ("-0", "0"), (-0.0, "0.0"), (".5", "0.5"), ("5.", "5"), (1e3, "1000.0"), ("1E2", "100"),
     (10**12, "1000000000000"), ("0.000001", "0.000001"), (1e-6, "0.000001"), ("0e-99", "0.000000"), ("0e99", "0"),
     ("007.50", "7.50"), ("1.50000000000", "1.500000"), (99.99, "99.99")],
)  # fmt: skip
def test_an_amount_is_kept_as_an_exact_string(price: Any, kept: str) -> None:
    """Numbers stay as they were written, never as binary fractions."""
    assert check_record(product(price=price)).payload["product"]["price"] == kept


def test_a_sequence_of_milliseconds_is_fine() -> None:
    """Most clients send `Date.now()`; numeric strings are accepted too."""
    assert check_record(record(sequence=1_790_000_000_123)).sequence == 1_790_000_000_123
    assert check_record(record(sequence="1790000000123")).sequence == 1_790_000_000_123
    assert check_record(record(sequence=5.0)).sequence == 5


@pytest.mark.parametrize("ahead_ms", [AHEAD_LIMIT_MS, -LATE_WINDOW_MS, 0])
def test_the_time_window_includes_its_ends(ahead_ms: int) -> None:
    """A minute ahead and seven days late are still accepted."""
    assert check_record(record(event_time_ms=START_MS + ahead_ms)).event_time_ms == START_MS + ahead_ms


def test_the_limits_themselves_are_accepted() -> None:
    """A limit is the largest value that is accepted."""
    check_record(product(name="x" * 256, quantity=1_000_000, url="x" * 2048, price=10**12))
    check_record(record("CART_UPDATED", {"products": [{"product_id": "x" * 128}] * 100}))
    check_record(record("CUSTOM", {"name": "n", "properties": nested(7)}))
    check_record(record("CUSTOM", {"name": "n", "properties": {"x": 2**63 - 1, "y": -(2**63)}}))
    check_record(record("IDENTIFY", {"user_id": "u1", "traits": {f"{n:050d}": n for n in range(64)}}))
    check_record(record("PRODUCTS_SEARCHED", {"search": "two\nlines\tand \N{GRINNING FACE}"}))


@pytest.mark.parametrize("value", [None, [], "", 1, True, b"{}"])
def test_a_record_that_is_not_an_object_is_malformed(value: object) -> None:
    """A topic can contain any JSON."""
    assert refusal(value).code == "MALFORMED"


def test_an_unknown_field_is_shown_short_and_printable() -> None:
    """The name comes from the client and appears in answers, logs and dead letters."""
    problem = refusal(record("PAGE_VIEWED", {"\ud800\x1b" + "x" * 10_000: 1}))
    assert problem.field == "??" + "x" * 62
    assert len(problem.message) < 200


@SETTINGS
@given(st.sampled_from([kind for kind in EventType if kind is not EventType.DELETE]).flatmap(lambda kind: events("m1", types=[kind])))
def test_a_checked_event_passes_the_checks_again(event: Event) -> None:
    """The context writer's check of what the gateway wrote leads to an equal event, even after JSON."""
    assert check_record(event.record()) == event
    assert check_record(json.loads(json.dumps(event.record()))) == event
    assert check_record(orjson.loads(record_of(event, None).value)) == event


def accepted_everywhere(value: object) -> None:
    """What the check accepts can be logged, stored and shown; no other error than InvalidEvent is raised."""
    try:
        event = check_record(value)
    except InvalidEvent as problem:
        assert problem.field.encode() is not None  # noqa: PT017 - either outcome is right
        assert problem.message.encode()  # noqa: PT017 - either outcome is right
        return
    again = check_record(orjson.loads(record_of(event, None).value))
    assert again == check_record(event.record())
    outgoing = record_of(event, None)
    source = orjson.loads(outgoing.value)
    update = {"topic": outgoing.topic, "partition": 0, "offset": 1, "log_epoch": 1, "event": source}
    assert parse_update(outgoing.key, orjson.dumps(update)).event == again
    assert len(outgoing.key) <= MAX_KEY_BYTES
    assert len(outgoing.value) <= MAX_VALUE_BYTES
    assert sum(len(name) + len(value) for name, value in outgoing.headers) <= MAX_HEADERS_BYTES
    state, _ = absorb(State(event.visitor_id), [Update(event.visitor_id, Position("user_actions", 0, 1), 1, event)])
    assert encode_context(view(decode_state(encode_state(state, bytes(16))))) == encode_context(view(state))


@SETTINGS
@given(wild_values)
def test_anything_is_an_event_or_an_invalid_event(value: object) -> None:
    """No value makes the check raise another error."""
    accepted_everywhere(value)


@SETTINGS
@given(st.data())
def test_a_good_record_with_one_wild_value_is_an_event_or_an_invalid_event(data: st.DataObject) -> None:
    """Any field of any type replaced by anything; what is accepted can be logged, stored and shown."""
    kind = data.draw(st.sampled_from(EventType))
    value = record(kind.value, data.draw(payloads(kind)))
    target = value
    while True:
        key = data.draw(st.sampled_from(sorted(target)) | st.text(st.characters(), max_size=3))
        inner = target.get(key)
        if not isinstance(inner, dict) or not inner or data.draw(st.booleans()):
            break
        target = inner
    target[key] = data.draw(wild_values)
    accepted_everywhere(value)


@SETTINGS
@given(st.dictionaries(st.text(max_size=5), wild_values, max_size=4))
@example({"big": 10**400})
@example({"tags": [[["x"]]], "n": None})
def test_wild_traits_are_refused_or_kept(traits: Record) -> None:
    """Traits are any JSON, so they get the widest variety of it."""
    accepted_everywhere(record("IDENTIFY", {"user_id": "u1", "traits": traits}))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-02-30T12:00:00Z",
        "2026-01-31T25:00:00Z",
        "31.01.2026",
        "2026-01-31T12:00Z",
        "2026-01-31T12:00:00.1234567890Z",
        "1790000000000",
        1_790_000_000_000,
        None,
        True,
        "2026-01-31T12:00:00+99:99",
        "٢٠٢٦-01-31T12:00:00Z",
        "2026-01-31T12:00:00Z\n",
        "\ud800",
        "9" * 10_000,
    ],
)
def test_a_bad_timestamp_is_refused_with_an_example(text: object) -> None:
    """A time without an offset is ambiguous, so it is refused."""
    with pytest.raises(InvalidTime, match=re.escape("timestamp must be an RFC 3339 time with offset, such as 2026-01-31T12:00:00.000Z")):
        parse_time_ms(text, "timestamp")


@SETTINGS
@given(st.integers(0, 253_402_300_799_999))
def test_a_formatted_time_is_parsed_back(time_ms: int) -> None:
    """To the millisecond."""
    assert parse_time_ms(format_time_ms(time_ms), "t") == time_ms


@SETTINGS
@given(st.datetimes(datetime(1970, 1, 2), datetime(9990, 1, 1)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001 - the zone comes below
def test_a_time_with_microseconds_is_rounded_down(moment: datetime, offset_minutes: int) -> None:
    """Exactly, in any zone: two strings within one millisecond are equal."""
    moment = moment.replace(tzinfo=UTC)
    sign = "-" if offset_minutes < 0 else "+"
    hours, minutes = divmod(abs(offset_minutes), 60)
    local = (moment + timedelta(minutes=offset_minutes)).replace(tzinfo=None)
    expected = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert parse_time_ms(f"{local.isoformat(timespec='microseconds')}{sign}{hours:02d}:{minutes:02d}", "t") == expected


def test_only_a_skew_above_five_minutes_is_corrected() -> None:
    """Jitter must not reorder a visitor's events."""
    assert corrected_time_ms(START_MS, None, START_MS + DAY_MS) == START_MS
    assert corrected_time_ms(START_MS, START_MS, START_MS + 5 * MINUTE_MS) == START_MS
    assert corrected_time_ms(START_MS, START_MS + 10, START_MS + 10 + 6 * MINUTE_MS) == START_MS + 6 * MINUTE_MS
    assert corrected_time_ms(START_MS, START_MS, START_MS - DAY_MS) == START_MS - DAY_MS


def test_every_type_has_its_topic() -> None:
    """Views, clicks and purchases apart; everything else is an action of the visitor."""
    by_topic = {topic: {kind.value for kind in EventType if topic_of(kind) is topic} for topic in Topic}
    assert by_topic[Topic.PAGE_VIEWS] == {
        "PAGE_VIEWED", "PRODUCTS_SEARCHED", "PRODUCT_LIST_VIEWED", "PRODUCT_VIEWED", "BANNER_VIEWED",
    }  # fmt: skip
    assert by_topic[Topic.USER_CLICKS] == {"PRODUCT_CLICKED", "BANNER_CLICKED", "BANNER_DISMISSED"}
    assert by_topic[Topic.PURCHASE_EVENTS] == {"ORDER_COMPLETED", "ORDER_REFUNDED"}
    assert len(by_topic[Topic.USER_ACTIONS]) == len(EventType) - 10
