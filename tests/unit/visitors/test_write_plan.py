"""The plan of a visitor's write: pure, and right whatever comes in between reading and storing."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.visitors.state import State, Update, absorb, unite
from gateway.model.visitors.write_plan import Apply, Arrive, Erase, EraseAlias, Forward, Purge, PurgeAlias, VisitorPlan, plan_visitor
from gateway.store.connection import StoreUnavailable
from gateway.store.writer import ContextWriter
from tests.support.memory.state_store import MemoryStateStore
from tests.support.strategies import HOUR_MS, SETTINGS, START_MS, deliveries, event_at, logged
from tests.unit.visitors.test_identify import ANONYMOUS, KNOWN, OTHER_DEVICE, identify, in_order, joined_logs, viewed


def update(event: Any, offset: int = 0) -> Update:
    return logged([event], first_offset=offset)[0]


def planned(visitor_id: str, state: State, *work: Any) -> VisitorPlan:
    plan = plan_visitor(visitor_id, state, work, START_MS + 24 * HOUR_MS)
    assert isinstance(plan, VisitorPlan)
    return plan


JOINING = [update(viewed(0, "p1", ANONYMOUS), 0), update(identify(1), 1)]
ALIAS = planned(ANONYMOUS, State(ANONYMOUS), *map(Apply, JOINING)).state


def test_an_identify_makes_an_alias_and_leads_it_to_its_visitor() -> None:
    """First the alias is stored; the union is work for later, so a crash in between loses nothing."""
    plan = planned(ANONYMOUS, State(ANONYMOUS), *map(Apply, JOINING))
    assert plan.has_changed
    assert plan.state.alias_of == KNOWN
    assert plan.elsewhere == ()
    assert plan.afterwards == ((KNOWN, Arrive(plan.state)),)


def test_an_alias_forwards_what_comes_for_it() -> None:
    """With the part that it holds, in case the union was never stored."""
    late = Apply(update(viewed(2, "p2", ANONYMOUS), 2))
    plan = plan_visitor(ANONYMOUS, ALIAS, [late, Purge()], START_MS)
    assert plan == Forward(((KNOWN, Arrive(ALIAS)), (KNOWN, late), (KNOWN, Purge())))


def test_nothing_is_stored_where_nothing_changes() -> None:
    """A redelivery, or an alias that arrived before."""
    known = planned(KNOWN, State(KNOWN), Arrive(ALIAS)).state
    again = planned(KNOWN, known, Arrive(ALIAS), Apply(JOINING[0]))
    assert not again.has_changed
    assert again.counts.duplicates == 1


def test_a_second_identify_is_refused_and_named() -> None:
    """It moves the position on and has no other effect."""
    second = update(identify(2, user_id="u2"), 5)
    plan = planned(KNOWN, planned(KNOWN, State(KNOWN), Arrive(ALIAS)).state, Apply(second))
    assert [(refused.update, refused.code) for refused in plan.refused] == [(second, "ALREADY_IDENTIFIED")]
    assert plan.state.positions.offsets["user_actions", 0] == 5


def test_an_erasure_of_the_visitor_lets_its_anonymous_ids_go_first() -> None:
    """They are stored before the visitor: after a crash between them the erasure comes again and still finds them."""
    known = planned(KNOWN, State(KNOWN), Arrive(ALIAS)).state
    erasure = event_at(5, "DELETE", visitor_id=KNOWN)
    plan = planned(KNOWN, known, Apply(update(erasure, 9)))
    assert plan.state.parts == {}
    assert plan.release == ((ANONYMOUS, Arrive(State(ANONYMOUS))), (ANONYMOUS, Erase(erasure.received_at_ms)))
    freed = planned(ANONYMOUS, ALIAS, *(work for _, work in plan.release))
    assert (freed.state.alias_of, freed.state.parts) == (None, {})


def test_an_alias_that_an_erasure_undid_gets_its_events_back() -> None:
    """They came for the visitor that it had joined, and are its own again."""
    erased = absorb(State(KNOWN), [update(event_at(5, "DELETE", visitor_id=KNOWN), 9)])[0]
    late = Apply(update(viewed(6, "p2", ANONYMOUS), 10))
    plan = planned(KNOWN, erased, Arrive(ALIAS), late)
    assert plan.elsewhere == ((ANONYMOUS, Erase(erased.cutoff_ms or 0)), (ANONYMOUS, late))
    assert plan.state.parts == {}


def test_an_alias_holds_nothing_that_its_visitor_erased() -> None:
    """It joined after the erasure, with events from before it."""
    erased = absorb(State(KNOWN), [update(event_at(0.5, "DELETE", visitor_id=KNOWN), 9)])[0]
    plan = planned(KNOWN, erased, Arrive(ALIAS))
    assert plan.elsewhere == ((ANONYMOUS, EraseAlias(KNOWN, erased.cutoff_ms or 0)),)
    cut = planned(ANONYMOUS, ALIAS, EraseAlias(KNOWN, erased.cutoff_ms or 0)).state
    assert cut.alias_of == KNOWN
    assert [c.message_id for c in cut.parts[ANONYMOUS].contributions.values()] == [f"join-{ANONYMOUS}-{KNOWN}"]
    assert planned(KNOWN, plan.state, Arrive(cut)).elsewhere == ()


def test_a_purge_of_an_alias_follows_that_of_its_visitor() -> None:
    """Only for the visitor that it joined."""
    assert planned(ANONYMOUS, ALIAS, PurgeAlias("somebody", START_MS + HOUR_MS)).state == ALIAS
    purged = planned(ANONYMOUS, ALIAS, PurgeAlias(KNOWN, START_MS + HOUR_MS))
    assert purged.is_purge
    assert [c.message_id for c in purged.state.parts[ANONYMOUS].contributions.values()] == [f"join-{ANONYMOUS}-{KNOWN}"]


@SETTINGS
@given(st.data())
def test_two_writers_at_once_leave_what_one_would(data: st.DataObject) -> None:
    """Each delivers a part of the batches; writes are refused in between and planned again."""
    log = data.draw(joined_logs())
    memory = MemoryStateStore()

    async def deliver(batches: list[list[Update]]) -> None:
        writer = ContextWriter(memory, lambda: START_MS)
        for batch in batches:
            await writer.apply(batch)

    async def both(first: list[list[Update]], second: list[list[Update]]) -> None:
        await asyncio.gather(deliver(first), deliver(second))

    batches = data.draw(deliveries(log))
    asyncio.run(both(batches[::2], batches[1::2]))
    assert memory.context(KNOWN) == in_order(log).context(KNOWN)


@SETTINGS
@given(st.data())
def test_a_store_that_comes_and_goes_loses_nothing(data: st.DataObject) -> None:
    """Reads and writes fail, before and after they took effect; the batch is applied again until it is stored."""
    log = data.draw(joined_logs())
    memory = MemoryStateStore()

    async def deliver(batches: list[list[Update]], failures: list[str]) -> None:
        writer = ContextWriter(memory, lambda: START_MS)
        for batch in batches:
            for failure in failures:
                faults = memory.reading if failure == "read" else memory.writing
                (faults.fail_afterwards if failure == "answer lost" else faults.fail)(StoreUnavailable("away"))
                with pytest.raises(StoreUnavailable) if failure == "read" and batch else _allowed():
                    await writer.apply(batch)
                memory.reading.recover()
                memory.writing.recover()
            await writer.apply(batch)

    kinds = st.lists(st.sampled_from(["read", "write", "answer lost"]), max_size=3)
    asyncio.run(deliver(data.draw(deliveries(log)), data.draw(kinds)))
    assert memory.context(KNOWN) == in_order(log).context(KNOWN)


def _allowed() -> Any:
    """A batch that changes nothing writes nothing, so a fault of writing may not be met."""
    return contextlib.suppress(StoreUnavailable)


def test_a_state_that_changes_all_the_time_is_given_up() -> None:
    """After forty refused writes: the caller hears of it, and may apply the batch again."""
    memory = MemoryStateStore()

    async def never(writes: Any) -> list[bool]:
        return [False for _ in writes]

    memory.compare_and_set = never  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable, match="changed 40 times"):
        asyncio.run(ContextWriter(memory, lambda: START_MS).apply([update(viewed(0, "p", OTHER_DEVICE))]))


def test_the_union_of_alias_and_visitor_is_the_plan_of_its_arrival() -> None:
    """No matter whether the visitor was known before."""
    known, _ = absorb(State(KNOWN), [update(viewed(3, "k", KNOWN), 3)])
    assert planned(KNOWN, known, Arrive(ALIAS)).state == unite(known, ALIAS)
