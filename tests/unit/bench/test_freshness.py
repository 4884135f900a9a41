"""The matching of frames to events, on which the measurement of freshness rests."""

from __future__ import annotations

from bench.freshness_record import FreshnessRecord
from gateway.commands.percentiles import percentiles


def deals_on(category: str) -> str:
    return f"Exclusive deals on {category} and accessories!"


def record_of(*sent_at: float) -> FreshnessRecord:
    """Events 0, 1, 2, … of visitor 7, all measured."""
    record = FreshnessRecord("run")
    for number, at in enumerate(sent_at):
        record.sent(7, number, at, measured=True)
    return record


def test_a_frame_that_names_its_event_gives_the_latency() -> None:
    """The time from sending to the frame counts, under the transport it came over."""
    record = record_of(1.0)
    record.frame(7, deals_on("run-0"), 1.25, "sse")
    assert record.shown_ms == {"sse": [250.0]}
    assert (record.pending, record.overtaken_ms) == (0, [])


def test_an_event_that_a_newer_one_overtook_is_counted_apart() -> None:
    """Latest wins: the page never showed the first, but something newer after 3 s."""
    record = record_of(1.0, 2.0)
    record.frame(7, deals_on("run-1"), 4.0, "sse")
    assert (record.shown_ms["sse"], record.overtaken_ms, record.pending) == ([2000.0], [3000.0], 0)


def test_an_event_without_a_frame_stays_pending() -> None:
    """What is pending at the end is reported as lost."""
    record = record_of(1.0, 2.0)
    record.frame(7, deals_on("run-0"), 1.5, "sse")
    assert record.pending == 1


def test_a_frame_of_an_older_event_is_a_defect() -> None:
    """A banner that goes back to what was overtaken is counted, and gives no latency."""
    record = record_of(1.0, 2.0)
    record.frame(7, deals_on("run-1"), 3.0, "sse")
    record.frame(7, deals_on("run-0"), 4.0, "sse")
    assert record.went_back == 1
    assert record.all_shown_ms == [1000.0]


def test_frames_of_others_and_unmeasured_events_count_for_nothing() -> None:
    """The fallback, another run's category and the warm-up leave the figures alone."""
    record = FreshnessRecord("run")
    record.sent(7, 0, 1.0, measured=False)
    for headline in ("Welcome!", deals_on("other-0"), deals_on("run-0")):
        record.frame(7, headline, 2.0, "sse")
    assert (record.all_shown_ms, record.overtaken_ms, record.pending) == ([], [], 0)


def test_percentiles_are_durations_that_were_measured() -> None:
    """Nearest rank: of 1 to 200 the 99th percentile is 198; nothing measured gives nothing."""
    found = percentiles([float(value) for value in range(200, 0, -1)])
    assert found is not None
    assert (found.count, found.p50_ms, found.p95_ms, found.p99_ms, found.max_ms) == (200, 100.0, 190.0, 198.0, 200.0)
    assert percentiles([]) is None
