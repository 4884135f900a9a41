"""The report of `bench/freshness`: a table for people, and the same as JSON for programs."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bench.cpu_share import CpuShare
from bench.end_to_end import EndToEnd, EventLoad
from gateway.commands.percentiles import Percentiles, percentiles

BUSY_PERCENT: Final = 10.0
"""If other programs used more than this share of the processors, the figures say more about them."""


@dataclass(frozen=True, slots=True)
class FreshnessRun:
    """The figures of one trigger of the context stream, end to end."""

    trigger: str
    events: int
    shown: Percentiles | None
    """From sending an event to the frame that shows it."""
    shown_by_transport: dict[str, Percentiles | None]
    overtaken: int
    """Events that no frame showed because a newer event of the visitor was shown instead (latest wins)."""
    shown_or_overtaken: Percentiles | None
    """From sending an event to the frame that shows it or a newer event of the visitor: all events."""
    answered: Percentiles | None
    lost: int
    went_back: int
    sent_behind: Percentiles | None
    cpu: CpuShare | None
    failures: list[str]

    @property
    def is_sound(self) -> bool:
        """Whether every event was accepted and shown or overtaken, and no banner went back to an older event."""
        return not self.lost and not self.went_back and not self.failures


def freshness_run(trigger: str, result: EndToEnd) -> FreshnessRun:
    """The figures of a run."""
    record = result.record
    return FreshnessRun(
        trigger=trigger,
        events=result.events,
        shown=percentiles(record.all_shown_ms),
        shown_by_transport={transport: percentiles(durations_ms) for transport, durations_ms in sorted(record.shown_ms.items())},
        overtaken=len(record.overtaken_ms),
        shown_or_overtaken=percentiles([*record.all_shown_ms, *record.overtaken_ms]),
        answered=percentiles(result.answered_ms),
        lost=record.pending,
        went_back=record.went_back,
        sent_behind=percentiles(result.behind_ms),
        cpu=result.cpu,
        failures=result.failures[:20],
    )


def ratios(kafka: Percentiles | None, runs: Sequence[FreshnessRun]) -> dict[str, float]:
    """Ratios at p50 and p99: of end to end to Kafka alone, and of micro-batches to the first run."""
    quotients: dict[str, float] = {}
    first = runs[0]
    if kafka is not None and first.shown is not None:
        quotients["real_time_to_kafka_p50"] = first.shown.p50_ms / kafka.p50_ms
        quotients["real_time_to_kafka_p99"] = first.shown.p99_ms / kafka.p99_ms
    for other in runs[1:]:
        if first.shown is not None and other.shown is not None:
            quotients["micro_batch_to_real_time_p50"] = other.shown.p50_ms / first.shown.p50_ms
            quotients["micro_batch_to_real_time_p99"] = other.shown.p99_ms / first.shown.p99_ms
        if first.shown_or_overtaken is not None and other.shown_or_overtaken is not None:
            quotients["micro_batch_to_real_time_p50_all_events"] = other.shown_or_overtaken.p50_ms / first.shown_or_overtaken.p50_ms
    return {name: round(value, 2) for name, value in quotients.items()}


def as_json(load: EventLoad, kafka: Percentiles | None, runs: Sequence[FreshnessRun]) -> dict[str, Any]:
    """All figures; durations are in milliseconds."""
    return {
        "machine": {"cpus": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()},
        "load": asdict(load),
        "kafka_alone": None if kafka is None else asdict(kafka),
        "end_to_end": [asdict(run) for run in runs],
        "ratios": ratios(kafka, runs),
    }


def show(load: EventLoad, kafka: Percentiles | None, runs: Sequence[FreshnessRun]) -> None:
    """Print the table, the ratios and the failures."""
    table = Table(title=f"{load.rate:g} events/s, {load.visitors} visitors with an open page each, {load.seconds:g} s after warm-up")
    table.add_column("milliseconds")
    for name in ("events", "p50", "p95", "p99", "max"):
        table.add_column(name, justify="right")
    _add_row(table, "Kafka alone: produce → consume", kafka)
    for run in runs:
        table.add_section()
        _add_row(table, f"trigger {run.trigger}: event → frame that shows it", run.shown)
        for transport, shown in run.shown_by_transport.items():
            _add_row(table, f"    over {transport}", shown)
        _add_row(table, "  event → frame that shows it or a newer one", run.shown_or_overtaken)
        _add_row(table, "  event → answer of track", run.answered)
    console = Console(width=110)
    console.print(table)
    for run in runs:
        share = 100 * run.overtaken / max(1, run.events)
        behind = run.sent_behind.p99_ms if run.sent_behind else 0.0
        console.print(
            f"trigger {run.trigger}: {run.overtaken} of {run.events} events ({share:.1f} %) overtaken by a newer one, "
            f"{run.lost} lost, {run.went_back} frames went back;\n    events were sent {behind:.1f} ms late (p99)"
        )
        if run.cpu is not None:
            parts = ", ".join(f"{name} {share} %" for name, share in run.cpu.parts.items())
            busy = " (the machine is busy: measure again)" if run.cpu.others > BUSY_PERCENT else ""
            console.print(f"    processors: {parts}, load generator {run.cpu.load_generator} %, other programs {run.cpu.others} %{busy}")
        for failure in run.failures[:5]:
            console.print(f"  ! {failure}", markup=False)
    for name, value in ratios(kafka, runs).items():
        console.print(f"{name.replace('_', ' ')}: {value:g} times")


def _add_row(table: Table, name: str, durations: Percentiles | None) -> None:
    if durations is None:
        table.add_row(name, "0", "-", "-", "-", "-")
    else:
        times = (durations.p50_ms, durations.p95_ms, durations.p99_ms, durations.max_ms)
        table.add_row(name, str(durations.count), *(f"{value:.1f}" for value in times))
