"""How fresh is an open page? From sending an event (HTTP `track`) to receiving its frame (SSE, WebSocket), on the real stack.

In one run, on one machine, with one monotonic clock: Kafka alone, then end to end with the real-time trigger, then end to end
with micro-batches of one second. Absolute figures depend on the machine; the ratios are the result.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import uvloop
from aiokafka.errors import KafkaError

from bench import end_to_end, kafka_alone
from bench.end_to_end import BenchFailed, EventLoad
from bench.freshness_report import FreshnessRun, as_json, freshness_run, show
from gateway.commands.percentiles import Percentiles, percentiles
from local_stack.console import say
from local_stack.data.folder import DataFolder
from local_stack.errors import StackError
from local_stack.project import PROJECT_ROOT
from local_stack.stack.info import StackInfo, read_info
from local_stack.stack.local_stack import LocalStack
from local_stack.stack.supervisor_lock import SupervisorLock

REAL_TIME: Final = "realtime"
MICRO_BATCH: Final = "1 second"
RESULT_FILE: Final = PROJECT_ROOT / "bench" / "results" / "freshness.json"
_EXAMPLES: Final = """\
examples:
  scripts/bench freshness                                    200 events/s for 60 s, on its own stack
  scripts/bench freshness --rate 500 --seconds 30
  scripts/bench freshness --stack .local/stack.json          on a running stack; without micro-batches
"""

T = TypeVar("T")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; returns 0 if every event was accepted and shown (or overtaken), 1 if not, 2 if it cannot run."""
    options = _parser().parse_args(arguments)
    load = EventLoad(options.rate, options.seconds, options.warmup, options.visitors, options.websocket_every)
    runs: list[FreshnessRun] = []
    kafka: Percentiles | None = None
    try:
        if options.stack is not None:
            kafka, runs = _measure_running(options.stack, load)
        else:
            kafka, runs = _measure_own(options, load)
    except (StackError, BenchFailed, KafkaError, OSError) as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    show(load, kafka, runs)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(as_json(load, kafka, runs), indent=2) + "\n")
    print(f"written to {options.output}")
    return 0 if all(run.is_sound for run in runs) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench freshness",
        description=(__doc__ or "").partition("\n")[0],
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--rate", type=_positive, default=200.0, help="events per second (default 200)")
    add("--seconds", type=_positive, default=60.0, help="duration of each measurement (default 60)")
    add("--warmup", type=_positive, default=20.0, help="seconds at the same rate before each measurement (default 20)")
    add("--visitors", type=int, default=50, help="number of visitors, each with an open page (default 50)")
    add("--websocket-every", type=int, default=5, metavar="N", help="every n-th page uses WebSocket, the others SSE (default 5)")
    add("--no-micro-batch", action="store_true", help="do not measure micro-batches")
    add("--data-dir", type=Path, default=PROJECT_ROOT / ".local" / "bench", help="folder of its own stack; data in it is deleted first")
    add("--port-base", type=int, default=25000, metavar="N", help="first port of its own stack (default 25000)")
    add("--stack", type=Path, metavar="FILE", help="stack.json of a running stack, to measure that stack")
    add("--output", type=Path, default=RESULT_FILE, metavar="FILE", help="file for the JSON (default bench/results/freshness.json)")
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("must be greater than 0")
    return value


def _measure_running(stack_file: Path, load: EventLoad) -> tuple[Percentiles | None, list[FreshnessRun]]:
    info = read_info(stack_file)
    if info is None:
        raise BenchFailed(f"{stack_file} does not exist: is the stack running?")
    return _kafka(info, load), [_end_to_end(info, load, REAL_TIME)]


def _measure_own(options: argparse.Namespace, load: EventLoad) -> tuple[Percentiles | None, list[FreshnessRun]]:
    _reset(options.data_dir)
    with LocalStack(options.data_dir, options.port_base, _PARTS) as stack:
        kafka = _kafka(stack.info(), load)
        runs = [_end_to_end(stack.info(), load, REAL_TIME)]
        if not options.no_micro_batch:
            say(f"restarting the context stream with --trigger '{MICRO_BATCH}'")
            stack.restart("context_stream", ["--trigger", MICRO_BATCH])
            runs.append(_end_to_end(stack.info(), load, MICRO_BATCH))
    return kafka, runs


_PARTS: Final = ("kafka", "valkey", "context_writer", "context_stream", "gateway")


def _reset(data_dir: Path) -> None:
    """Empty the stores, with which every run starts. Raises AlreadyRunning if a stack is running there."""
    folder = DataFolder(data_dir)
    folder.make()
    lock = SupervisorLock(folder.lock_file)
    lock.acquire()
    try:
        folder.reset()
    finally:
        lock.release()


def _kafka(info: StackInfo, load: EventLoad) -> Percentiles | None:
    say(f"Kafka alone: {load.rate:g} records/s for {load.seconds:g} s")
    return percentiles(_run_on_uvloop(kafka_alone.measure(info.kafka.bootstrap, load.rate, load.seconds)))


def _end_to_end(info: StackInfo, load: EventLoad, trigger: str) -> FreshnessRun:
    say(f"trigger {trigger}: warming up for {load.warmup_s:g} s, then measuring for {load.seconds:g} s")
    return freshness_run(trigger, _run_on_uvloop(end_to_end.measure(info, load)))


def _run_on_uvloop(work: Coroutine[Any, Any, T]) -> T:
    # Objects that exist now are not collected again: pauses of this process would be counted as the system's.
    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


if __name__ == "__main__":
    sys.exit(main())
