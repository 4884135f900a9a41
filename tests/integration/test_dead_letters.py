"""Poison on the real stack: records put straight into the topics become dead letters, and the rest goes on."""

from __future__ import annotations

import asyncio
import base64
import json
import time
import uuid
from typing import Any, Final

import pytest

from gateway.model.events.topics import SOURCE_TOPICS, Topic
from local_stack.api import deals_on, product_added
from tests.support.stack_site import Site

pytestmark = pytest.mark.integration

PRODUCT: Final = {"product_id": "p1", "category": "televisions"}


def record(visitor_id: str, **changes: Any) -> bytes:
    """A good record of a PRODUCT_ADDED, with changes."""
    now_ms = int(time.time() * 1000)
    good = {
        "message_id": str(uuid.uuid4()), "type": "PRODUCT_ADDED", "visitor_id": visitor_id, "event_time_ms": now_ms - 60_000,
        "received_at_ms": now_ms, "sequence": None, "session_id": None, "payload": {"product": PRODUCT},
    }  # fmt: skip
    return json.dumps(good | changes).encode()


def poison_of(visitor_id: str) -> dict[str, tuple[bytes, str, str, str]]:
    """By name: the value, and the stage, the code and a word of the message of its dead letter."""
    spark, writer = "context-stream", "context-writer"
    return {
        "no JSON": (b"{", spark, "MALFORMED", "one JSON object"),
        "not UTF-8": (b"\xff\xfe", spark, "MALFORMED", "UTF-8"),
        "another visitor's": (record("somebody"), spark, "INVALID_VALUE", "must equal the record's key"),
        "no time": (record(visitor_id, event_time_ms=None), spark, "REQUIRED", "event_time_ms is required"),
        "unknown type": (record(visitor_id, type="JUMPED"), writer, "INVALID_VALUE", "type must be one of"),
        "no product": (record(visitor_id, payload={}), writer, "REQUIRED", "product is required"),
        "price in words": (record(visitor_id, payload={"product": {**PRODUCT, "price": "abc"}}), writer, "INVALID_VALUE", "product.price"),
        "unknown field": (record(visitor_id, payload={"product": PRODUCT, "colour": "red"}), writer, "UNKNOWN_FIELD", "colour"),
        "dated ahead": (record(visitor_id, event_time_ms=int(time.time() * 1000) + 3_600_000), writer, "TIMESTAMP_AHEAD", "ahead"),
        "lone surrogate": (
            record(visitor_id, payload={"product": {**PRODUCT, "name": "\ud800"}}), spark, "MALFORMED", "one JSON object",
        ),
        "deep properties": (
            record(visitor_id, payload={"product": PRODUCT, "properties": json.loads("[" * 90 + "]" * 90)}), writer, "TOO_LARGE", "levels",
        ),
        "joins a joined one": (
            record(visitor_id, type="IDENTIFY", payload={"user_id": "other"}), writer, "INVALID_VALUE", "visitor_id",
        ),
    }  # fmt: skip


@pytest.mark.parametrize("topic", [Topic.USER_ACTIONS, Topic.PURCHASE_EVENTS])
async def test_poison_becomes_dead_letters_and_the_rest_goes_on(site: Site, topic: Topic) -> None:
    """Each keeps its bytes, its position in the event log and the reason; the visitor's positions move on past it."""
    visitor_id, visitor = site.known()
    poison = poison_of(visitor_id)
    since = await site.ends([Topic.DEAD_LETTERS])
    key = visitor_id.encode()
    positions = await site.write((topic, key, value) for value, *_ in poison.values())
    letters = await site.records(since, lambda found: len({letter.body["offset"] for letter in found}) == len(poison))
    found = {(letter.body["topic"], letter.body["partition"], letter.body["offset"]): letter for letter in letters}
    for position, (name, (value, stage, code, word)) in zip(positions, poison.items(), strict=True):
        body = found[position].body
        assert (body["stage"], body["code"], found[position].key) == (stage, code, key), (name, body)
        assert word in body["message"], (name, body)
        kept = base64.b64decode(body["value_base64"])
        assert value == kept or value in kept, name
        assert abs(body["at_ms"] / 1000 - time.time()) < 300
    last_topic, partition, last_offset = positions[-1]
    place = f"{last_topic}/{partition}"
    context = await site.context_when(visitor_id, lambda context: context["positions"].get(place) == last_offset)
    assert (context["version"], context["cart"]) == (0, [])
    result = await visitor.track(product_added("phone", "smartphones"), ask=True)
    assert (result["decisions"][0]["fresh"], result["decisions"][0]["banner"]["headline"]) == (True, deals_on("smartphones"))


async def test_records_that_name_no_visitor_become_dead_letters(site: Site) -> None:
    """Without a key, with an empty one or one that is not UTF-8, in every topic; a good event right behind them counts."""
    since = await site.ends([Topic.DEAD_LETTERS])
    keys = [None, b"", b"\xff"]
    positions = await site.write((topic, key, record("x")) for topic in SOURCE_TOPICS for key in keys)
    _, visitor = await site.visit()
    result = await visitor.track(product_added("phone", "smartphones"), ask=True)
    assert result["decisions"][0]["banner"]["headline"] == deals_on("smartphones")
    letters = await site.records(since, lambda found: len(found) >= len(positions))
    places = {(letter.body["topic"], letter.body["partition"], letter.body["offset"]) for letter in letters}
    assert places == set(positions)
    assert {letter.body["stage"] for letter in letters} == {"context-stream"}


async def test_records_put_into_the_updates_are_dead_letters_too(site: Site) -> None:
    """What is no context update keeps its place in `context_updates`; the writer goes on."""
    visitor_id, visitor = site.known()
    since = await site.ends([Topic.DEAD_LETTERS])
    key = visitor_id.encode()
    values = [
        b"", b"{", b"[]", b"5", b'{"topic":"nowhere","partition":0,"offset":1,"log_epoch":1,"event":null}',
        b'{"topic":"page_views","partition":"0","offset":1,"log_epoch":1,"event":null}',
    ]  # fmt: skip
    positions = await site.write((Topic.CONTEXT_UPDATES, key, value) for value in values)
    letters = await site.records(since, lambda found: len(found) >= len(values))
    assert {letter.body["code"] for letter in letters} == {"MALFORMED"}
    told = {(letter.body["topic"], letter.body["partition"], letter.body["offset"]) for letter in letters}
    assert told >= set(positions[:4])
    result = await visitor.track(product_added("phone", "smartphones"), ask=True)
    assert result["decisions"][0]["fresh"]


async def test_a_flood_of_poison_does_not_hold_up_others(site: Site) -> None:
    """Five hundred bad records among good events: every good one reaches its context, every bad one the dead letters."""
    since = await site.ends([Topic.DEAD_LETTERS])
    bad = [(topic, b"flood-%d" % (n % 7), b"{%d" % n) for n in range(125) for topic in SOURCE_TOPICS]
    visits = [await site.visit() for _ in range(10)]
    writing = asyncio.create_task(site.write(bad))
    results = await asyncio.gather(*(api.track(product_added("phone", "smartphones"), ask=True) for _, api in visits))
    assert all(result["decisions"][0]["fresh"] for result in results)
    await writing
    letters = await site.records(since, lambda found: len(found) >= len(bad))
    assert {base64.b64decode(letter.body["value_base64"]) for letter in letters} == {value for _, _, value in bad}
