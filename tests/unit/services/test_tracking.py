"""Events on their way into the log: each outcome, and what follows from it. The log fails in memory as Kafka does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from gateway.auth import Credential, CredentialKind
from gateway.errors import BadUserInput, Forbidden, PayloadTooLarge, Throttled
from gateway.kafka.publisher import LogUnavailable
from gateway.model.decisions.preview_token import ActivePreview, Preview
from gateway.model.events.contribution import Position
from gateway.model.events.cursor import decode_cursor
from gateway.model.events.positions import Positions
from gateway.model.events.visitor_ids import new_anonymous_id
from gateway.model.times import format_time_ms
from gateway.model.visitors.erasure import erasure_key
from gateway.services.tracking import BatchAnswer, EventRejection, error_of, status_of
from gateway.store.connection import StoreUnavailable
from tests.support.memory.gateway import LOG_EPOCH, TOKEN_SECRET, MemoryGateway
from tests.support.virtual_time import START_MS, now_ms
from tests.unit.services.pages import VISITOR, request, rules

SECRET = Credential(CredentialKind.SECRET)
TOKEN = Credential(CredentialKind.VISITOR, VISITOR)
DEADLINE_MS = 3_000
MAX_IN_FLIGHT = 10
KEY = TOKEN_SECRET.encode()


@pytest.fixture
async def gateway() -> AsyncIterator[MemoryGateway]:
    async with MemoryGateway(rules(), publish_deadline_ms=DEADLINE_MS, max_in_flight_events=MAX_IN_FLIGHT, max_batch_events=20) as gateway:
        yield gateway


def event(event_type: str = "PRODUCT_ADDED", **fields: Any) -> dict[str, Any]:
    """An event that happens now, in plain form."""
    fields = {"product": {"product_id": "p", "category": "tv"}, **fields} if event_type.startswith("PRODUCT_A") else fields
    return {"message_id": f"m-{len(fields)}-{event_type}", "type": event_type, "timestamp": format_time_ms(now_ms()), **fields}


def batch(count: int, event_type: str = "PRODUCT_ADDED") -> list[dict[str, Any]]:
    payload = {"order": {"order_id": "o", "value": "1.00", "currency": "EUR"}} if event_type.startswith("ORDER") else {}
    return [event(event_type, message_id=f"m{number}", **payload) for number in range(count)]


async def track(gateway: MemoryGateway, *events: dict[str, Any], credential: Credential = TOKEN, sent_at: object = None) -> BatchAnswer:
    return await gateway.tracking.track(credential, events, sent_at, None)


def statuses(answer: BatchAnswer) -> list[str]:
    return [status_of(one) for one in answer.answers]


def rejection(answer: BatchAnswer) -> EventRejection:
    """Why the only event was rejected."""
    (one,) = answer.answers
    error = error_of(one)
    assert error is not None
    return error


def counted(gateway: MemoryGateway, status: str) -> float:
    return gateway.metric("gateway_events_total", status=status)


# The outcomes of one event


async def test_an_acknowledged_event_is_accepted_with_its_cursor(gateway: MemoryGateway) -> None:
    """It stands in the topic of its type, under the visitor's id."""
    answer = await track(gateway, event())
    (record,) = gateway.event_log.records("user_actions")
    assert (statuses(answer), answer.visitor_id, counted(gateway, "ACCEPTED")) == (["ACCEPTED"], VISITOR, 1)
    assert (record.key, orjson.loads(record.value)["received_at_ms"]) == (VISITOR.encode(), START_MS)
    assert answer.cursor is not None
    ((partition, offset),) = decode_cursor(answer.cursor).positions.offsets.items()
    assert (partition[0], offset) == ("user_actions", 0)


async def test_an_invalid_event_is_rejected_alone(gateway: MemoryGateway) -> None:
    """The error names the field as the API does; the others of its batch are written."""
    answer = await track(gateway, event(), event("PRODUCT_ADDED", product={"product_id": ""}), event("PAGE_VIEWED"))
    assert statuses(answer) == ["ACCEPTED", "REJECTED", "ACCEPTED"]
    error = error_of(answer.answers[1])
    assert error is not None
    assert error.field == "product.productId"
    assert "product.productId" in error.message
    assert len(gateway.event_log.records("user_actions")) == 1


async def test_an_event_that_reached_no_batch_is_rejected(gateway: MemoryGateway) -> None:
    """Nothing was written, so it can be sent again."""
    gateway.event_log.writing.fail(ConnectionError())
    answer = await track(gateway, event())
    assert (statuses(answer), rejection(answer).code, answer.cursor) == (["REJECTED"], "UNAVAILABLE", None)
    assert gateway.event_log.records("user_actions") == []


async def test_an_event_that_is_too_large_is_rejected(gateway: MemoryGateway) -> None:
    """By the log, although its own checks let it pass."""
    gateway.event_log.max_bytes = 100
    assert rejection(await track(gateway, event())).code == "TOO_LARGE"


async def test_a_lost_answer_is_unknown(gateway: MemoryGateway) -> None:
    """The event may be in the log: here it is."""
    gateway.event_log.writing.fail_afterwards(ConnectionError())
    answer = await track(gateway, event())
    assert (statuses(answer), answer.cursor, counted(gateway, "UNKNOWN")) == (["UNKNOWN"], None, 1)
    assert len(gateway.event_log.records("user_actions")) == 1


async def test_a_duplicate_is_accepted_without_a_cursor(gateway: MemoryGateway) -> None:
    """Kafka does not say where the first copy is."""
    gateway.event_log.lost_positions = 1
    answer = await track(gateway, event(), event("PAGE_VIEWED"))
    assert (statuses(answer), answer.cursor) == (["ACCEPTED", "ACCEPTED"], None)


async def test_a_frozen_log_answers_unknown_at_the_deadline(gateway: MemoryGateway) -> None:
    """Not a millisecond later. What was handed over is written once the log thaws."""
    gateway.event_log.writing.freeze()
    answer = await track(gateway, event())
    assert (statuses(answer), answer.cursor, now_ms()) == (["UNKNOWN"], None, START_MS + DEADLINE_MS)
    assert gateway.event_log.records("user_actions") == []
    gateway.event_log.writing.recover()
    await asyncio.sleep(1)
    assert len(gateway.event_log.records("user_actions")) == 1


async def test_a_log_that_is_away_refuses_the_batch(gateway: MemoryGateway) -> None:
    """It counts as in flight no longer; a batch of invalid events alone needs no log."""
    gateway.event_log.is_away = True
    for _ in range(3):
        with pytest.raises(LogUnavailable) as refusal:
            await track(gateway, *batch(MAX_IN_FLIGHT // 2))
        assert refusal.value.retry_after_ms == 1_000
    assert statuses(await track(gateway, event("PRODUCT_ADDED", product={}))) == ["REJECTED"]


async def test_events_of_several_visitors_have_no_cursor(gateway: MemoryGateway) -> None:
    """Nothing could wait for it."""
    answer = await track(gateway, event(user_id="a"), event(user_id="b"), credential=SECRET)
    assert (statuses(answer), answer.visitor_id, answer.cursor) == (["ACCEPTED", "ACCEPTED"], None, None)


# Load shedding


async def test_events_are_shed_while_too_many_are_in_flight(gateway: MemoryGateway) -> None:
    """Orders last: they have the last fifth for themselves. The events that were UNKNOWN count until the log thaws."""
    gateway.event_log.writing.freeze()
    await track(gateway, *batch(8))
    with pytest.raises(Throttled) as refusal:
        await track(gateway, event())
    assert refusal.value.retry_after_ms == 500
    assert statuses(await track(gateway, *batch(2, "ORDER_COMPLETED"))) == ["UNKNOWN", "UNKNOWN"]
    with pytest.raises(Throttled):
        await track(gateway, *batch(1, "ORDER_COMPLETED"))
    gateway.event_log.writing.recover()
    await asyncio.sleep(1)
    assert set(statuses(await track(gateway, *batch(8)))) == {"ACCEPTED"}


async def test_a_sender_that_hangs_up_does_not_make_room(gateway: MemoryGateway) -> None:
    """Its events are still on their way."""
    gateway.event_log.writing.freeze()
    sending = asyncio.create_task(track(gateway, *batch(8)))
    await asyncio.sleep(1)
    sending.cancel()
    await asyncio.wait([sending])
    with pytest.raises(Throttled):
        await track(gateway, event())
    gateway.event_log.writing.recover()
    await asyncio.sleep(1)
    assert statuses(await track(gateway, event())) == ["ACCEPTED"]


# Consent and erasure


def consent(personalization: bool = False) -> dict[str, Any]:
    payload = {"personalization": personalization}
    return {"message_id": "consent", "type": "CONSENT", "visitor_id": VISITOR, "payload": payload}


DELETE = {"message_id": "delete", "type": "DELETE", "visitor_id": VISITOR, "payload": {}}


async def test_consent_is_applied_at_once(gateway: MemoryGateway) -> None:
    """Without the stream. It moves no position, because what stands before it in the log may still be on its way."""
    await gateway.add_to_cart(VISITOR, "tv")
    before = gateway.store.context(VISITOR)["positions"]
    assert statuses(await gateway.tracking.send(consent(), None, None, None)) == ["ACCEPTED"]
    context = gateway.store.context(VISITOR)
    assert (context["consent"]["personalization"], context["cart"], context["positions"]) == (False, [], before)


async def test_the_stream_applies_it_again_without_effect(gateway: MemoryGateway) -> None:
    """Its copy from the log has the same message id."""
    await gateway.tracking.send(consent(), None, None, None)
    before = gateway.store.context(VISITOR)
    await gateway.write(VISITOR, "CONSENT", {"personalization": False})
    assert gateway.store.context(VISITOR)["consent"] == before["consent"]


@pytest.mark.parametrize("outcome", ["rejected", "unknown", "frozen"])
async def test_nothing_is_applied_that_was_not_acknowledged(gateway: MemoryGateway, outcome: str) -> None:
    """Otherwise the context would hold what no replay of the log brings back."""
    writing = gateway.event_log.writing
    if outcome == "frozen":
        writing.freeze()
    else:
        (writing.fail if outcome == "rejected" else writing.fail_afterwards)(ConnectionError())
    answer = await gateway.tracking.send(consent(), None, None, None)
    assert statuses(answer) == ["REJECTED" if outcome == "rejected" else "UNKNOWN"]
    assert gateway.store.stored == {}


@pytest.mark.parametrize("is_answer_lost", [False, True])
async def test_a_store_that_is_away_makes_consent_no_failure(gateway: MemoryGateway, is_answer_lost: bool) -> None:
    """The log has it; the context writer applies it later."""
    if is_answer_lost:
        gateway.store.writing.fail_afterwards(StoreUnavailable("the answer got lost"))
    else:
        gateway.lose_store()
    assert statuses(await gateway.tracking.send(consent(), None, None, None)) == ["ACCEPTED"]
    assert bool(gateway.store.stored) == is_answer_lost


async def test_an_erasure_is_kept_and_applied(gateway: MemoryGateway) -> None:
    """Its record for the visitor and for each anonymous id that joined, before its event; by keys that name nobody."""
    await gateway.add_to_cart(VISITOR, "tv")
    await asyncio.sleep(1)
    assert statuses(await gateway.tracking.erase(DELETE, ["anon_1"], None)) == ["ACCEPTED"]
    kept = gateway.event_log.records("erasures")
    assert {record.key.decode() for record in kept} == {erasure_key(KEY, name) for name in (VISITOR, "anon_1")}
    assert {orjson.loads(record.value)["cutoff_ms"] for record in kept} == {now_ms()}
    assert len(gateway.event_log.records("user_actions")) == 1
    assert gateway.store.context(VISITOR)["cart"] == []


@pytest.mark.parametrize("lost", [0, 1])
async def test_an_erasure_that_is_not_kept_is_not_accepted(gateway: MemoryGateway, lost: int) -> None:
    """Although its event is in the log. It is UNKNOWN, and nothing is applied until it is sent again."""
    await gateway.add_to_cart(VISITOR, "tv")
    await asyncio.sleep(1)
    gateway.event_log.writing.let_pass(lost)
    gateway.event_log.writing.fail(ConnectionError())
    assert statuses(await gateway.tracking.erase(DELETE, ["anon_1"], None)) == ["UNKNOWN"]
    assert len(gateway.event_log.records("user_actions")) == 1
    assert gateway.store.context(VISITOR)["cart"] != []
    assert statuses(await gateway.tracking.erase(DELETE, ["anon_1"], None)) == ["ACCEPTED"]
    assert gateway.store.context(VISITOR)["cart"] == []


async def test_an_invalid_erasure_keeps_nothing(gateway: MemoryGateway) -> None:
    """Neither its event nor its records are written."""
    answer = await gateway.tracking.erase({**DELETE, "message_id": ""}, ["anon_1"], None)
    assert (statuses(answer), gateway.event_log.partitions) == (["REJECTED"], {})


# Who may send what


async def test_a_visitor_token_sends_events_of_its_visitor_only(gateway: MemoryGateway) -> None:
    """One event of another refuses the whole batch."""
    assert statuses(await track(gateway, event(), event(user_id=VISITOR))) == ["ACCEPTED", "ACCEPTED"]
    with pytest.raises(Forbidden, match="its own visitor"):
        await track(gateway, event(), event(user_id="another"))


@pytest.mark.parametrize("kind", [CredentialKind.NONE, CredentialKind.PUBLISHABLE])
async def test_no_other_credential_sends_events(gateway: MemoryGateway, kind: CredentialKind) -> None:
    """A publishable key is in every page, and names no visitor."""
    with pytest.raises(Forbidden):
        await track(gateway, event(user_id=VISITOR), credential=Credential(kind))


async def test_with_a_secret_key_the_visitor_is_named(gateway: MemoryGateway) -> None:
    """A forged anonymous id is rejected, a genuine one is not."""
    genuine = new_anonymous_id(KEY)
    nobody, forged, visitor = [
        await track(gateway, event(**fields), credential=SECRET) for fields in ({}, {"user_id": "anon_forged"}, {"user_id": genuine})
    ]
    assert (rejection(nobody).code, rejection(nobody).field) == ("REQUIRED", "userId")
    assert (rejection(forged).code, rejection(forged).field) == ("INVALID_VALUE", "userId")
    assert (statuses(visitor), visitor.visitor_id) == (["ACCEPTED"], genuine)


@pytest.mark.parametrize(("credential", "status"), [(TOKEN, "REJECTED"), (SECRET, "ACCEPTED")])
async def test_a_shop_may_take_orders_from_its_server_only(credential: Credential, status: str) -> None:
    """Because a visitor could invent one."""
    async with MemoryGateway(rules(), orders_from_browser=False) as gateway:
        answer = await track(gateway, *(one | {"user_id": VISITOR} for one in batch(1, "ORDER_COMPLETED")), credential=credential)
        assert statuses(answer) == [status]
        assert (error_of(answer.answers[0]) or EventRejection("", "")).code == ("FORBIDDEN" if status == "REJECTED" else "")


# Decisions


async def decision_id(gateway: MemoryGateway, visitor_id: str | None, preview: ActivePreview | None = None) -> str:
    (issued,) = await gateway.banners.decisions(request(visitor_id, preview=preview), None, 0)
    return issued.decision_id


async def test_a_banner_event_says_what_was_shown(gateway: MemoryGateway) -> None:
    """From its decision id, of this visitor or of none."""
    await gateway.add_to_cart(VISITOR, "tv")
    for visitor_id, campaign_id in ((VISITOR, "interest"), (None, None)):
        answer = await track(gateway, event("BANNER_VIEWED", decision_id=await decision_id(gateway, visitor_id)))
        assert statuses(answer) == ["ACCEPTED"]
        payload = orjson.loads(gateway.event_log.records("page_views")[-1].value)["payload"]
        assert (payload["decision"]["placement"], payload["decision"].get("campaign_id")) == ("hero", campaign_id)


@pytest.mark.parametrize(
    ("kind", "code"),
    [("missing", "REQUIRED"), ("forged", "INVALID_VALUE"), ("changed", "INVALID_VALUE"), ("other", "FORBIDDEN"), ("preview", "PREVIEW")],
)
async def test_a_decision_that_was_not_made_for_the_visitor_is_rejected(gateway: MemoryGateway, kind: str, code: str) -> None:
    """Missing, forged, changed, of another visitor, or of a preview; the error names the field."""
    preview = ActivePreview(Preview(None, None, None, START_MS + 60_000), None)
    given = {
        "missing": None,
        "forged": "AAAA",
        "changed": (await decision_id(gateway, VISITOR))[::-1],
        "other": await decision_id(gateway, "another"),
        "preview": await decision_id(gateway, VISITOR, preview),
    }[kind]
    error = rejection(await track(gateway, event("BANNER_CLICKED", decision_id=given)))
    assert (error.code, error.field) == (code, "decisionId")
    assert gateway.event_log.partitions == {}


# Times and sizes


async def test_a_clock_that_is_wrong_is_corrected_by_sent_at(gateway: MemoryGateway) -> None:
    """The event happened a minute before it was sent, whatever the client's clock says."""
    day_ms = 86_400_000
    occurred, sent = format_time_ms(START_MS - day_ms - 60_000), format_time_ms(START_MS - day_ms)
    await track(gateway, event(timestamp=occurred), sent_at=sent)
    (record,) = gateway.event_log.records("user_actions")
    assert orjson.loads(record.value)["event_time_ms"] == START_MS - 60_000


@pytest.mark.parametrize("timestamp", ["yesterday", 5, None, format_time_ms(START_MS + 120_000), format_time_ms(START_MS - 8 * 86_400_000)])
async def test_an_impossible_time_is_rejected(gateway: MemoryGateway, timestamp: Any) -> None:
    """No time, too far ahead, or too old; the error names `timestamp`."""
    assert rejection(await track(gateway, event(timestamp=timestamp))).field == "timestamp"
    assert rejection(await gateway.tracking.send(consent(), None, timestamp or "never", None)).field == "timestamp"


async def test_an_invalid_sent_at_refuses_the_batch(gateway: MemoryGateway) -> None:
    """It concerns all events."""
    with pytest.raises(BadUserInput) as refusal:
        await track(gateway, event(), sent_at="soon")
    assert refusal.value.field == "sentAt"


async def test_a_batch_has_a_limit(gateway: MemoryGateway) -> None:
    """The error says how many events are allowed."""
    with pytest.raises(PayloadTooLarge, match="at most 20 events"):
        await track(gateway, *batch(21))


async def test_a_cursor_covers_all_events_of_the_batch(gateway: MemoryGateway) -> None:
    """The greatest offset of each partition."""
    answer = await track(gateway, *batch(3), event("PAGE_VIEWED"))
    assert answer.cursor is not None
    positions = decode_cursor(answer.cursor).positions
    assert sorted(topic for topic, _ in positions.offsets) == ["page_views", "user_actions"]
    (partition,) = [partition for topic, partition in positions.offsets if topic == "user_actions"]
    assert positions.cover(Positions.of([Position("user_actions", partition, 2)], LOG_EPOCH))
