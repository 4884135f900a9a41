"""How fresh is the open page? Event sent (HTTP `track`) to frame received (SSE, WebSocket), on the real stack.

In one run, on one machine, by one monotonic clock: Kafka alone, then the whole way with the real-time trigger, then the
whole way with micro-batches of one second. Absolute figures depend on the machine; the ratios are the result.
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
from bench.end_to_end import BenchFailed, Load
from bench.freshness_report import Measured, as_json, measured, show
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
  scripts/bench freshness                                    200 events/s for 60 s, on a stack of its own
  scripts/bench freshness --rate 500 --seconds 30
  scripts/bench freshness --stack .local/stack.json          on the stack that runs; without the micro-batches
"""

T = TypeVar("T")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; 0 when every event was accepted and shown (or overtaken), 1 when not, 2 when it cannot run."""
    options = _parser().parse_args(arguments)
    load = Load(options.rate, options.seconds, options.warmup, options.visitors, options.websocket_every)
    runs: list[Measured] = []
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
    add("--rate", type=_positive, default=200.0, help="events a second (default 200)")
    add("--seconds", type=_positive, default=60.0, help="how long each is measured (default 60)")
    add("--warmup", type=_positive, default=20.0, help="seconds at the same rate before measuring (default 20)")
    add("--visitors", type=int, default=50, help="visitors, each with an open page (default 50)")
    add("--websocket-every", type=int, default=5, metavar="N", help="every n-th page uses WebSocket, the others SSE (default 5)")
    add("--no-micro-batch", action="store_true", help="leave out the micro-batches")
    add("--data-dir", type=Path, default=PROJECT_ROOT / ".local" / "bench", help="of the stack it starts; its data is deleted first")
    add("--port-base", type=int, default=25000, metavar="N", help="of the stack it starts (default 25000)")
    add("--stack", type=Path, metavar="FILE", help="stack.json of a running stack, to measure that one")
    add("--output", type=Path, default=RESULT_FILE, metavar="FILE", help="where the JSON goes (bench/results/freshness.json)")
    return parser


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def _measure_running(stack_file: Path, load: Load) -> tuple[Percentiles | None, list[Measured]]:
    info = read_info(stack_file)
    if info is None:
        raise BenchFailed(f"{stack_file} is not there: does the stack run?")
    return _kafka(info, load), [_end_to_end(info, load, REAL_TIME)]


def _measure_own(options: argparse.Namespace, load: Load) -> tuple[Percentiles | None, list[Measured]]:
    _reset(options.data_dir)
    with LocalStack(options.data_dir, options.port_base, _PARTS) as stack:
        kafka = _kafka(stack.info(), load)
        runs = [_end_to_end(stack.info(), load, REAL_TIME)]
        if not options.no_micro_batch:
            say(f"starting the context stream again with --trigger '{MICRO_BATCH}'")
            stack.restart("context_stream", ["--trigger", MICRO_BATCH])
            runs.append(_end_to_end(stack.info(), load, MICRO_BATCH))
    return kafka, runs


_PARTS: Final = ("kafka", "valkey", "context_writer", "context_stream", "gateway")


def _reset(data_dir: Path) -> None:
    """Every run begins with empty stores. Raises AlreadyRunning when a stack runs there."""
    folder = DataFolder(data_dir)
    folder.make()
    lock = SupervisorLock(folder.lock_file)
    lock.take()
    try:
        folder.reset()
    finally:
        lock.release()


def _kafka(info: StackInfo, load: Load) -> Percentiles | None:
    say(f"Kafka alone: {load.rate:g} records/s for {load.seconds:g} s")
    return percentiles(_run(kafka_alone.measure(info.kafka.bootstrap, load.rate, load.seconds)))


def _end_to_end(info: StackInfo, load: Load, trigger: str) -> Measured:
    say(f"trigger {trigger}: warming up for {load.warmup_s:g} s, then measuring for {load.seconds:g} s")
    return measured(trigger, _run(end_to_end.measure(info, load)))


def _run(work: Coroutine[Any, Any, T]) -> T:
    # What lives already is not looked at again: pauses of this process would be counted as the system's.
    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


if __name__ == "__main__":
    sys.exit(main())
