"""Limits of documents and connections, and the small pure parts of the transports."""

from __future__ import annotations

import pytest
from graphql import get_introspection_query

from bench.limits import ATTACKS, check_limits
from gateway.errors import Throttled
from gateway.transport.connections import ConnectionSlots, RateLimit
from gateway.transport.cors import check_origin_setting, origin_allowed, proves_no_forgery
from gateway.transport.documents.limits import DocumentTooLarge
from gateway.transport.parameters import EVENT_STREAM, JSON, RESPONSE_JSON, is_json_content, negotiate, trace_parent
from gateway.transport.sse.event_stream import next_event


@pytest.mark.parametrize(("limit", "text"), ATTACKS)
def test_hostile_documents_are_refused_by_the_limit_that_is_named(limit: str, text: str) -> None:
    """Each limit refuses its attack and names itself and its value. How long that takes is measured by `scripts/bench limits`."""
    with pytest.raises(DocumentTooLarge) as found:
        check_limits(text)
    assert found.value.limit == limit
    assert limit in str(found.value)
    assert str(found.value.allowed) in str(found.value)


@pytest.mark.parametrize(
    "text",
    [
        "{ hello }",
        'query ($a: [Int!]! = [1, 2]) { a(x: $a, y: {z: "}{"}) }',
        '{ a(x: """block " with \\""" quote { [ ( """) } # { { {',
        "{ ...F } fragment F on Query { ...F }",
        "{ ...Unknown }",
        get_introspection_query(),
    ],
)
def test_ordinary_documents_pass(text: str) -> None:
    """Ordinary documents, the introspection query, and cycles (which validation refuses) pass the limits."""
    check_limits(text)


def test_connection_slots_are_counted_by_address_and_given_back() -> None:
    """A slot is held for the length of the block, also when it fails; one address cannot take all."""
    slots = ConnectionSlots(3, 2)
    with slots.hold("a"), slots.hold("a"):
        with pytest.raises(Throttled), slots.hold("a"):
            pass
        with slots.hold("b"), pytest.raises(Throttled), slots.hold("c"):
            pass
        with pytest.raises(ValueError, match="inside"), slots.hold("b"):
            raise ValueError("inside")
        assert slots.open == 2
    assert slots.open == 0


def test_rate_limit_refills_with_time() -> None:
    """The bucket gives its burst at once, then so many a second."""
    now = [0.0]
    rate = RateLimit(2.0, 3, lambda: now[0])
    assert [rate.allow() for _ in range(4)] == [True, True, True, False]
    now[0] = 0.5
    assert [rate.allow() for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "https://evil.com",
        "https://shop.example.evil.com",
        "https://evilshop.example",
        "https://shop.example:444",
        "http://shop.example",
        "https://shop.example/",
        "",
        "https://SHOP.example",
    ],
)
def test_origins_that_only_look_allowed_are_refused(origin: str) -> None:
    """An Origin passes only when it equals an allowed one: no suffix, port, scheme or null trick."""
    assert not origin_allowed(origin, frozenset({"https://shop.example"}))


def test_allowed_and_absent_origins_pass() -> None:
    """A page of an allowed origin and a client that is no browser pass."""
    assert origin_allowed("https://shop.example", frozenset({"https://shop.example"}))
    assert origin_allowed(None, frozenset())


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "shop.example",
        "https://shop.example/",
        "https://shop.example:443",
        "https://Shop.example",
        "https://u@shop.example",
        "ftp://shop.example",
        "https://",
    ],
)
def test_a_setting_that_no_browser_would_send_is_refused(origin: str) -> None:
    """An allowed origin that could never match is an error at the start, not a silent refusal later."""
    with pytest.raises(ValueError, match="allowed origin"):
        check_origin_setting(origin)


def test_what_proves_that_a_get_is_no_forgery() -> None:
    """Only headers that force a preflight, or the browser's word for the same origin, prove it; Accept does not."""
    assert proves_no_forgery({"graphql-require-preflight": "1"})
    assert proves_no_forgery({"authorization": "Bearer t"})
    assert proves_no_forgery({"content-type": "application/json; charset=utf-8"})
    assert proves_no_forgery({"sec-fetch-site": "same-origin"})
    assert not proves_no_forgery({"accept": "text/event-stream", "content-type": "text/plain", "last-event-id": "1"})
    assert not proves_no_forgery({"sec-fetch-site": "same-site"})


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, [JSON]),
        ("*/*", [JSON]),
        ("application/json", [JSON]),
        ("application/graphql-response+json", [RESPONSE_JSON]),
        ("application/graphql-response+json, application/json;q=0.9", [RESPONSE_JSON, JSON]),
        ("application/json;q=0.5, application/graphql-response+json; charset=utf-8", [RESPONSE_JSON, JSON]),
        ("text/event-stream", [EVENT_STREAM]),
        ("application/json, text/event-stream", [JSON, EVENT_STREAM]),
        ("application/json;q=0", []),
        ("text/html", []),
        ("application/json;q=x", []),
    ],
)
def test_media_type_negotiation(accept: str | None, expected: list[str]) -> None:
    """The best media type by quality, then by the client's order; a wildcard means application/json."""
    assert negotiate(accept) == expected


@pytest.mark.parametrize(
    ("content_type", "good"),
    [
        ("application/json", True),
        ("Application/JSON; charset=UTF-8", True),
        ('application/json; charset="utf-8"', True),
        ("application/json; charset=latin-1", False),
        ("text/plain", False),
        ("application/x-www-form-urlencoded", False),
        (None, False),
    ],
)
def test_only_json_in_utf8_is_a_body(content_type: str | None, good: bool) -> None:
    """A POST is JSON in UTF-8; the types that a page can send without a preflight are not taken."""
    assert is_json_content(content_type) is good


def test_traceparent_is_taken_only_when_well_formed() -> None:
    """Anything else than a W3C traceparent is dropped."""
    good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert trace_parent(good) == good
    assert trace_parent(good + "\n") is None
    assert trace_parent(7) is None


def test_sse_next_event_is_one_data_line_whatever_the_texts_hold() -> None:
    """Line ends in the data are escaped, and an id that would break the framing is left out."""
    assert next_event({"data": "a\nb\r"}, "i1") == b'event: next\nid: i1\ndata: {"data":"a\\nb\\r"}\n\n'
    assert next_event({}, "i\ndata: x") == b"event: next\ndata: {}\n\n"
