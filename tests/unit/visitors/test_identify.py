"""Identify: an anonymous part joins a known visitor in two steps, in any order of arrival, across crashes and redelivery.

The writer is the real one; its store is in memory and writes one state after the other, so that a crash can happen between any two.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.model.events.event_kinds import EventType
from gateway.model.visitors.state import State, Update, absorb
from gateway.store.writer import ContextWriter
from tests.support.memory.state_store import MemoryStateStore
from tests.support.strategies import CONTRIBUTING, SETTINGS, START_MS, deliveries, erasures, event_at, events, logged

ANONYMOUS, OTHER_DEVICE, KNOWN, STRANGER = "anon_1", "anon_2", "u1", "u2"
TYPES = tuple(kind for kind in CONTRIBUTING if kind is not EventType.IDENTIFY)


class Crash(Exception):
    """The writer died between two writes."""


class Store:
    """The stored states. `crash_after`: how many more writes succeed."""

    def __init__(self) -> None:
        self.memory = MemoryStateStore()
        self.refused: set[str] = set()
        self.crash_after: int | None = None

    @property
    def states(self) -> dict[str, State]:
        return {visitor_id: self.memory.state(visitor_id) for visitor_id in self.memory.stored}

    def apply(self, updates: Iterable[Update]) -> None:
        self.memory.writing.recover()
        if self.crash_after is not None:
            self.memory.writing.let_pass(self.crash_after)
            self.memory.writing.fail(Crash())
        applied = asyncio.run(ContextWriter(self.memory, lambda: START_MS).apply(updates))
        self.refused |= {refusal.update.event.message_id for refusal in applied.refused if refusal.update.event}

    def context(self, visitor_id: str) -> dict[str, Any]:
        return self.memory.context(visitor_id)


def identify(minute: float, visitor_id: str = ANONYMOUS, user_id: str = KNOWN, **traits: Any) -> Any:
    payload = {"user_id": user_id, "traits": traits}
    return event_at(minute, "IDENTIFY", payload, visitor_id=visitor_id, message_id=f"join-{visitor_id}-{user_id}")


@st.composite
def joined_logs(draw: st.DrawFn) -> list[Update]:
    """The events of a known visitor and of two devices that join; some message ids occur on several of them."""
    drawn = []
    for visitor_id, prefix in ((ANONYMOUS, "a"), (OTHER_DEVICE, "b"), (KNOWN, "k")):
        for index in range(draw(st.integers(0, 4))):
            shared = draw(st.integers(0, 5)) == 0
            drawn.append(draw(events(f"shared{index}" if shared else f"{prefix}{index}", visitor_id, TYPES)))
    drawn += [identify(draw(st.integers(0, 600)), plan="gold"), identify(draw(st.integers(0, 600)), OTHER_DEVICE, city="Rome")]
    return logged(draw(st.permutations(drawn)))


def in_order(log: Iterable[Update]) -> Store:
    store = Store()
    store.apply(log)
    return store


@SETTINGS
@given(st.data())
def test_identify_anywhere_in_between_gives_the_same_known_context(data: st.DataObject) -> None:
    """Any order of arrival, duplication and split of all parts' events and both identifies: always the same context."""
    log = data.draw(joined_logs())
    store = Store()
    for batch in data.draw(deliveries(log)):
        store.apply(batch)
    assert store.context(KNOWN) == in_order(log).context(KNOWN)


@SETTINGS
@given(st.data())
def test_a_crash_between_any_two_writes_does_no_harm(data: st.DataObject) -> None:
    """The writer dies after any write, even between alias and union; the batch is delivered again; nothing is lost or counted twice."""
    log = data.draw(joined_logs())
    store = Store()
    for batch in data.draw(deliveries(log)):
        store.crash_after = data.draw(st.none() | st.integers(0, 3))
        try:
            store.apply(batch)
        except Crash:
            store.crash_after = None
            store.apply(batch)
        store.crash_after = None
    assert store.context(KNOWN) == in_order(log).context(KNOWN)
    store.apply(log)
    assert store.context(KNOWN) == in_order(log).context(KNOWN)


@SETTINGS
@given(st.data())
def test_an_erasure_of_the_known_visitor_removes_every_part(data: st.DataObject) -> None:
    """Erased after all have joined: nothing dated or received up to it is left anywhere, and a replay brings nothing back."""
    log = data.draw(joined_logs())
    delete = data.draw(erasures(KNOWN))
    store = in_order(log)
    store.apply(logged([delete], first_offset=100))
    for _ in range(2):
        for state in store.states.values():
            for part in state.parts.values():
                assert all(c.lasts_until_ms > delete.received_at_ms for c in part.contributions.values())
        store.apply(log)


@SETTINGS
@given(st.data())
def test_once_known_a_visitor_keeps_the_stable_id(data: st.DataObject) -> None:
    """Only the first login can change the id that splits depend on; no later login and no event, however old, does."""
    store = Store()
    for update in sorted(
        data.draw(joined_logs()), key=lambda item: (item.event.received_at_ms, item.visitor_id) if item.event else (0, "")
    ):
        before = store.context(KNOWN)
        store.apply([update])
        after = store.context(KNOWN)
        if before["version"]:
            assert after["stable_id"] == before["stable_id"]
        elif after["version"]:
            assert after["stable_id"] == update.visitor_id


def viewed(minute: float, product_id: str, visitor_id: str, received: float | None = None) -> Any:
    payload = {"product": {"product_id": product_id, "category": "tv"}}
    message_id = f"{visitor_id}-{product_id}"
    return event_at(minute, "PRODUCT_VIEWED", payload, visitor_id=visitor_id, message_id=message_id, received=received)


def test_a_second_device_does_not_change_the_first_ones_variant() -> None:
    """The phone was used before the laptop and logs in after it; even later an old event of the shop's server arrives."""
    log = logged(
        [
            viewed(10, "laptop", ANONYMOUS), identify(11), viewed(12, "p", KNOWN),
            viewed(1, "phone", OTHER_DEVICE), identify(40, OTHER_DEVICE), viewed(5, "old", KNOWN, received=50),
        ]
    )  # fmt: skip
    for count in range(2, len(log) + 1):
        assert in_order(log[:count]).context(KNOWN)["stable_id"] == ANONYMOUS
    assert in_order(log[:4]).context(OTHER_DEVICE)["stable_id"] == OTHER_DEVICE


def test_a_visitor_who_was_known_before_the_first_login_keeps_their_own_id() -> None:
    """The shop's server sent an event first, so a device that logs in later is a second one."""
    log = logged([viewed(0, "p", ANONYMOUS), viewed(1, "p", KNOWN), identify(2)])
    assert in_order(log).context(KNOWN)["stable_id"] == KNOWN


def test_the_alias_exists_and_the_union_does_not_yet() -> None:
    """After a crash between the steps, any later update of the anonymous id completes the union."""
    log = logged([viewed(0, "p1", ANONYMOUS), viewed(1, "p2", KNOWN), identify(2)])
    store = Store()
    store.apply(log[:2])
    store.crash_after = 1
    with contextlib.suppress(Crash):
        store.apply(log[2:])
    store.crash_after = None
    assert store.context(ANONYMOUS)["alias_of"] == KNOWN
    assert store.context(KNOWN)["anonymous_ids"] == []
    store.apply(logged([viewed(3, "p3", ANONYMOUS)], first_offset=3))
    assert store.context(KNOWN)["recent_products"] == ["p3", "p2", "p1"]


def test_the_first_identify_in_the_partition_wins() -> None:
    """The second one, to another user, is refused and has no effect: in one batch, in two, and after redelivery."""
    log = logged([viewed(0, "p1", ANONYMOUS), identify(1, plan="gold"), identify(2, user_id=STRANGER, plan="stolen")])
    for batches in ([log], [log[:2], log[2:]], [log[:1], log[1:]], [log[:2], log[2:], log]):
        store = Store()
        for batch in batches:
            store.apply(batch)
        assert store.context(KNOWN)["traits"] == {"plan": "gold"}
        assert store.context(KNOWN)["recent_products"] == ["p1"]
        assert store.context(STRANGER)["version"] == 0
        assert store.refused == {f"join-{ANONYMOUS}-{STRANGER}"}


def test_within_a_batch_the_position_decides_which_identify_was_first() -> None:
    """A batch need not be sorted."""
    log = logged([identify(1), identify(2, user_id=STRANGER)])
    store = in_order(log[::-1])
    assert store.context(ANONYMOUS)["alias_of"] == KNOWN
    assert store.refused == {f"join-{ANONYMOUS}-{STRANGER}"}


def test_a_refused_identify_still_moves_the_position() -> None:
    """A cursor that names it is covered all the same."""
    log = logged([identify(1), identify(2, user_id=STRANGER)])
    assert in_order(log).context(KNOWN)["positions"] == {"user_actions/0": 1}


def test_two_anonymous_ids_join_one_known_visitor() -> None:
    """Both parts count, and the known context names both."""
    log = logged([viewed(0, "p1", ANONYMOUS), viewed(1, "p2", OTHER_DEVICE), identify(2), identify(3, OTHER_DEVICE)])
    context = in_order(log).context(KNOWN)
    assert context["anonymous_ids"] == [ANONYMOUS, OTHER_DEVICE]
    assert context["recent_products"] == ["p2", "p1"]
    assert context["version"] == 4


def test_a_message_of_two_parts_counts_once() -> None:
    """The same message id sent under the anonymous and the known id is one message."""
    payload = {"product": {"product_id": "p1", "category": "tv"}}
    both = [event_at(0, "PRODUCT_ADDED", payload, message_id="m", visitor_id=visitor) for visitor in (ANONYMOUS, KNOWN)]
    context = in_order(logged([*both, identify(1)])).context(KNOWN)
    assert (context["version"], context["cart"][0]["quantity"]) == (2, 1)


def test_an_order_of_two_parts_counts_once() -> None:
    """The shop's server reports the order for the known id, the page for the anonymous one."""
    payload = {"order": {"order_id": "o1", "value": "9.99", "currency": "EUR"}}
    both = [event_at(n, "ORDER_COMPLETED", payload, visitor_id=visitor) for n, visitor in enumerate((ANONYMOUS, KNOWN))]
    context = in_order(logged([*both, identify(2)])).context(KNOWN)
    assert context["purchases"]["count"] == 1
    assert context["purchases"]["totals"] == {"EUR": "9.99"}


def test_the_strictest_consent_of_the_parts_applies() -> None:
    """A withdrawal on one device applies to the visitor until that device revokes it."""
    grants = [event_at(0, "CONSENT", {"personalization": True}, visitor_id=KNOWN), viewed(1, "p1", KNOWN)]
    withdrawal = event_at(2, "CONSENT", {"personalization": False}, visitor_id=ANONYMOUS)
    taken_back = event_at(3, "CONSENT", {"personalization": True}, visitor_id=ANONYMOUS)
    store = in_order(logged([*grants, withdrawal, identify(2.5)]))
    assert store.context(KNOWN)["consent"]["personalization"] is False
    assert store.context(KNOWN)["recent_products"] == []
    store.apply(logged([taken_back], first_offset=9))
    assert store.context(KNOWN)["consent"]["personalization"] is True
    assert store.context(KNOWN)["recent_products"] == ["p1"]


def test_a_later_grant_of_another_part_does_not_revoke_a_withdrawal() -> None:
    """The order of the parts' answers does not matter, only the latest answer of each part."""
    withdrawal = event_at(0, "CONSENT", {"personalization": False}, visitor_id=KNOWN)
    grant = event_at(1, "CONSENT", {"personalization": True}, visitor_id=ANONYMOUS)
    assert in_order(logged([withdrawal, grant, identify(2)])).context(KNOWN)["consent"]["personalization"] is False


def test_absorb_itself_keeps_the_link_of_the_smallest_position() -> None:
    """Without screening the identifies first, the state still has the first one's user."""
    log = logged([identify(1), identify(2, user_id=STRANGER)])
    for order in (log, log[::-1]):
        state, _ = absorb(State(ANONYMOUS), order)
        assert state.link is not None
        assert state.link.user_id == KNOWN


def test_what_an_anonymous_id_erased_stays_erased_after_it_joined() -> None:
    """A redelivery of its old events reaches the known visitor through the alias, and meets the erasure there."""
    log = logged([viewed(0, "p1", ANONYMOUS), event_at(5, "DELETE", visitor_id=ANONYMOUS), viewed(6, "p2", ANONYMOUS), identify(7)])
    store = in_order(log)
    assert store.context(KNOWN)["recent_products"] == ["p2"]
    store.apply(log[:1])
    assert store.context(KNOWN)["recent_products"] == ["p2"]


def test_an_erased_visitor_and_its_devices_start_over() -> None:
    """After an erasure the anonymous id is not an alias any more; its next events are its own, until it joins again."""
    log = logged([viewed(0, "p1", ANONYMOUS), identify(1), event_at(5, "DELETE", visitor_id=KNOWN), viewed(6, "p2", ANONYMOUS)])
    store = Store()
    for update in log:
        store.apply([update])
    assert store.context(ANONYMOUS)["recent_products"] == ["p2"]
    assert store.context(KNOWN)["recent_products"] == []
